/* SPDX-License-Identifier: Apache-2.0 */
/* The execs of tasks: lifetimes, lookup, and how their exits hold init's back. */
#ifndef ES_EXEC_REGISTRY_H
#define ES_EXEC_REGISTRY_H

#include <embedshim/exec.h>

#include "context.h"

struct es_exec {
	uint64_t trace_id;    /* first: the tree compares it */
	struct es_task *task; /* counted reference */
	char id[ES_ID_MAX + 1];
	char *dir;	 /* `<bundle>/execs/<trace ID>`: the ID itself is no file name */
	char *stream[3]; /* as given; NULL is null */
	bool terminal;
	uint32_t io_uid, io_gid;
	struct es_process_record process;
	pthread_mutex_t save_lock; /* held while exit.json is written */

	/* Protected by the manager's lock. */
	unsigned int refs; /* handles, and the task's list */
	uint32_t status;   /* enum es_task_status without STOPPED */
	bool starting;
	bool exit_known;
	bool told; /* its exit was handed out */
	struct es_exit exit;
	TAILQ_ENTRY(es_exec) link;
};

/* One reference for the caller. NULL: out of memory. */
ES_HIDDEN struct es_exec *es_exec_alloc(struct es_task *task, const char *id, uint64_t trace_id);
ES_HIDDEN void es_exec_ref(struct es_exec *exec);

/* Put it on its task's list, which holds a reference. -EEXIST: the ID is taken. -ENOMEM. */
ES_HIDDEN int es_exec_register(struct es_exec *exec);
ES_HIDDEN void es_exec_unregister(struct es_exec *exec);
/* A new reference, or NULL. */
ES_HIDDEN struct es_exec *es_exec_find(struct es_task *task, const char *id);
ES_HIDDEN struct es_exec *es_exec_find_trace_id(struct es_manager *manager, uint64_t trace_id);

/* From now on its exit holds init's back. */
ES_HIDDEN void es_exec_set_running(struct es_exec *exec);
/* Take the exit if the monitor knows it, and write it to disk. Whether it is known. */
ES_HIDDEN bool es_exec_note_exit(struct es_exec *exec);
/* The same by trace ID, if there is such an exec. */
ES_HIDDEN void es_exec_note_exit_of(struct es_manager *manager, uint64_t trace_id);
/* Its exit was handed out, or never will be. */
ES_HIDDEN void es_exec_set_told(struct es_exec *exec);

/* Remove its directory; one that is gone is no error. */
ES_HIDDEN int es_exec_remove_files(const struct es_exec *exec);

/* All execs of a task are deleted with it. */
ES_HIDDEN void es_exec_forget_all(struct es_task *task);
/* Drop the list's references; nothing on disk or in the kernel changes. */
ES_HIDDEN void es_exec_release_all(struct es_task *task);

#endif
