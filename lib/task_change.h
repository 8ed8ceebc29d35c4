/* SPDX-License-Identifier: Apache-2.0 */
/* What every call that changes a task has around it: its turn, its state, its runtime. */
#ifndef ES_TASK_CHANGE_H
#define ES_TASK_CHANGE_H

#include "context.h"
#include "runc.h"
#include "task_state.h"

/* Call with the lock held. */
ES_HIDDEN enum es_task_status es_task_current_status(const struct es_task *task);

/* Bring up to date what the kernel knows: the exit, and whether a start in doubt came through. */
ES_HIDDEN void es_task_refresh(struct es_task *task);

/*
 * Begin an operation that changes the task: wait for the one before it, at most the runtime's
 * deadline, and see whether the state allows it. Enters the context on success; end with
 * es_task_change_end(). Returns the status it had, or the errno of the table; also -EBUSY when the
 * wait was too long, -EINVAL, -ESHUTDOWN, -ECHILD.
 */
ES_HIDDEN int es_task_change_begin(struct es_task *task, enum es_task_event event, const char *verb,
				   struct es_error *error);
ES_HIDDEN void es_task_change_end(struct es_task *task, uint32_t status);

/* The task as its runtime is asked for it. *log_path is filled and must outlive *ret. */
#define ES_TASK_LOG_PATH_MAX 4096
ES_HIDDEN void es_task_runtime(const struct es_task *task, char log_path[ES_TASK_LOG_PATH_MAX],
			       struct es_runc *ret);

#endif
