/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Takes a half-made task apart: waits for the runtime that may still be making it, kills what it
 * has started, lets the runtime delete the rest, removes the bundle, frees the map entries.
 */
#ifndef ES_ROLLBACK_H
#define ES_ROLLBACK_H

#include "context.h"

struct es_rollback_opts {
	bool runtime_may_run; /* a runtime command of an earlier process may still be under way */
	bool runtime_killed;  /* it was killed in the middle: its cgroups are nobody's now */
	bool runtime_ran;     /* the runtime may know the container */
};

/*
 * Begin. The task is in the registry with status 0 and keeps its name taken until the rollback has
 * ended. NULL: out of memory (the next es_manager_open() finds the bundle).
 */
ES_HIDDEN struct es_rollback *es_rollback_new(struct es_task *task,
					      const struct es_rollback_opts *opts);

/*
 * Do all of it if that takes no longer than the runtime's deadline, otherwise leave the rest to
 * es_rollback_drive(). Takes the rollback; NULL is accepted.
 */
ES_HIDDEN void es_rollback_run(struct es_rollback *rollback);

/* Leave all of it to es_rollback_drive(). Takes the rollback; NULL is accepted. */
ES_HIDDEN void es_rollback_later(struct es_rollback *rollback);

/* Advance whatever can be advanced without waiting. Number of rollbacks that are not done. */
ES_HIDDEN unsigned int es_rollback_drive(struct es_manager *manager);

/* Wait until a rollback may have become ready, at most timeout_ms. */
ES_HIDDEN void es_rollback_wait(struct es_manager *manager, int timeout_ms);

/* Drop all rollbacks where they are; the next es_manager_open() takes them up again. */
ES_HIDDEN void es_rollback_abandon(struct es_manager *manager);

#endif
