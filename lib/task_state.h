/* SPDX-License-Identifier: Apache-2.0 */
/* Which operation is allowed in which state of a task: one table, no I/O. */
#ifndef ES_TASK_STATE_H
#define ES_TASK_STATE_H

#include <embedshim/task.h>

#include "util.h"

enum es_task_event {
	ES_TASK_EVENT_START, /* es_task_start() begins */
	ES_TASK_EVENT_EXIT,  /* init has exited */
	ES_TASK_EVENT_KILL,
	ES_TASK_EVENT_DELETE,
	ES_TASK_EVENT_PAUSE,
	ES_TASK_EVENT_RESUME,
	ES_TASK_EVENT_UPDATE,
	ES_TASK_EVENT_CHECKPOINT,
	ES_TASK_EVENT_EXEC, /* an exec is added */
	ES_TASK_EVENT_COUNT
};

/* Next state after event in state: an enum es_task_status (may be the same), or the negative errno
   that the operation returns. */
ES_HIDDEN int es_task_state_next(enum es_task_status state, enum es_task_event event);

ES_HIDDEN const char *es_task_status_name(enum es_task_status status);

#endif
