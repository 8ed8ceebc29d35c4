/* SPDX-License-Identifier: Apache-2.0 */
/* The init process of a task, once the runtime has made it. */
#ifndef ES_TASK_INIT_H
#define ES_TASK_INIT_H

#include "context.h"

/* Write down who it is and where it runs: init.json and cgroup. 0 or a negative errno. */
ES_HIDDEN int es_task_record_init(struct es_task *task, struct es_json *json,
				  const struct es_pidref *ref, struct es_error *error);

/* runc restore: make the init process of a task that was created to be restored. On failure
   nothing of it is left. */
ES_HIDDEN int es_task_restore(struct es_task *task, struct es_error *error);

#endif
