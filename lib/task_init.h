/* SPDX-License-Identifier: Apache-2.0 */
/* The init process of a task, once the runtime has made it. */
#ifndef ES_TASK_INIT_H
#define ES_TASK_INIT_H

#include "context.h"
#include "process_io.h"

/* Write down who it is and where it runs: init.json and cgroup. 0 or a negative errno. */
ES_HIDDEN int es_task_record_init(struct es_task *task, struct es_json *json,
				  const struct es_pidref *ref, struct es_error *error);

/* Start who serves the streams that es_task_io_open() has opened. On failure nobody is left. */
ES_HIDDEN int es_task_serve_streams(struct es_task *task, struct es_process_io *io,
				    struct es_json *json, struct es_error *error);
/* Tell them which process it is that they serve. */
ES_HIDDEN int es_task_watch_streams(const struct es_task *task, const struct es_pidref *ref,
				    struct es_error *error);

/* runc restore: make the init process of a task that was created to be restored. On failure
   nothing of it is left. */
ES_HIDDEN int es_task_restore(struct es_task *task, struct es_error *error);

#endif
