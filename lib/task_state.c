/* SPDX-License-Identifier: Apache-2.0 */
/* Which operation is allowed in which state of a task: one table, no I/O. */
#include "task_state.h"

/* Rows: state; columns: event. A state to go to, or the errno of a refused operation. */
static const int transitions[ES_TASK_DELETED + 1][ES_TASK_EVENT_COUNT] = {
	[ES_TASK_CREATED] = {
		[ES_TASK_EVENT_START] = ES_TASK_RUNNING,
		[ES_TASK_EVENT_EXIT] = ES_TASK_STOPPED,
		[ES_TASK_EVENT_KILL] = ES_TASK_CREATED,
		[ES_TASK_EVENT_DELETE] = ES_TASK_DELETED,
	},
	[ES_TASK_RUNNING] = {
		[ES_TASK_EVENT_START] = -EBUSY,
		[ES_TASK_EVENT_EXIT] = ES_TASK_STOPPED,
		[ES_TASK_EVENT_KILL] = ES_TASK_RUNNING,
		[ES_TASK_EVENT_DELETE] = -EBUSY,
	},
	[ES_TASK_STOPPED] = {
		[ES_TASK_EVENT_START] = -EBUSY,
		[ES_TASK_EVENT_EXIT] = ES_TASK_STOPPED,
		[ES_TASK_EVENT_KILL] = -ESRCH,
		[ES_TASK_EVENT_DELETE] = ES_TASK_DELETED,
	},
	[ES_TASK_DELETED] = {
		[ES_TASK_EVENT_START] = -ENOENT,
		[ES_TASK_EVENT_EXIT] = ES_TASK_DELETED,
		[ES_TASK_EVENT_KILL] = -ESRCH,
		[ES_TASK_EVENT_DELETE] = -ENOENT,
	},
};

int es_task_state_next(enum es_task_status state, enum es_task_event event)
{
	if (state < ES_TASK_CREATED || state > ES_TASK_DELETED || event >= ES_TASK_EVENT_COUNT)
		return -EINVAL;
	return transitions[state][event];
}

const char *es_task_status_name(enum es_task_status status)
{
	switch (status) {
	case ES_TASK_CREATED:
		return "created";
	case ES_TASK_RUNNING:
		return "running";
	case ES_TASK_STOPPED:
		return "stopped";
	case ES_TASK_DELETED:
		return "deleted";
	}
	return "unknown";
}
