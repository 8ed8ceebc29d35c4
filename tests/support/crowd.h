/* SPDX-License-Identifier: Apache-2.0 */
/* Tasks of a manager that was killed, and what the next one does with them. */
#ifndef ES_TEST_CROWD_H
#define ES_TEST_CROWD_H

#include "support.h"

/* Start "live-0", "live-1" ... and create "created-0" ... in another process, and SIGKILL that. */
void leave_crowd(struct env *env, int live, int created);
/* The same with an exec named "exec", which sleeps, in "live-0". */
void leave_exec(struct env *env);

/* The task of that name or a failure. */
struct es_task *get(struct es_manager *m, const char *id);
struct es_task_state state_of(struct es_task *task);
/* The task, killed if it is alive, must end with this code, and goes. */
void kill_and_delete(struct env *env, struct es_manager *m, const char *id, int code);

#endif
