/* SPDX-License-Identifier: Apache-2.0 */
/* Hands log lines to the callback of es_log_set(). */
#ifndef ES_LOG_H
#define ES_LOG_H

#include <embedshim/base.h>

#include "util.h"

/* Emit one line. Preserves errno. Must not be called with a lock held. */
ES_HIDDEN void es_log(enum es_log_level level, const char *fmt, ...) ES_PRINTF(2, 3);

#endif
