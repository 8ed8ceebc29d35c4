/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file embedshim.h
 * @brief Run containers without a shim process: includes all public headers.
 */
#ifndef EMBEDSHIM_EMBEDSHIM_H
#define EMBEDSHIM_EMBEDSHIM_H

#include <embedshim/base.h>
#include <embedshim/bundle.h>
#include <embedshim/checkpoint.h>
#include <embedshim/exec.h>
#include <embedshim/exit.h>
#include <embedshim/idalloc.h>
#include <embedshim/manager.h>
#include <embedshim/monitor.h>
#include <embedshim/task.h>

#endif
