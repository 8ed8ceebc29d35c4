/* SPDX-License-Identifier: Apache-2.0 */
/* What happened to tasks, in an order that makes sense: OOM kills, exits of execs, init's exit. */
#ifndef ES_EVENT_H
#define ES_EVENT_H

#include <embedshim/manager.h>

#include "util.h"

/* Give up the exits that wait for those of their execs; a later manager tells them. */
ES_HIDDEN void es_event_drop_held(struct es_manager *manager);

#endif
