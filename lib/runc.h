/* SPDX-License-Identifier: Apache-2.0 */
/* The OCI runtime's commands as functions, with the arguments containerd's shim gives them. */
#ifndef ES_RUNC_H
#define ES_RUNC_H

#include <embedshim/task.h>
#include <embedshim/checkpoint.h>

#include "runc_command.h"
#include "task_io.h"

struct es_runc_create {
	const char *pid_file;
	const char *console_socket; /* NULL: no terminal */
	bool no_pivot, no_new_keyring;
	struct es_task_io *io;
	int mark_prog_fd;
	uint64_t trace_id;
};

/*
 * runc create: blocks until the runtime has finished. 0; -EIO with the runtime's message and exit
 * code in error; -ETIMEDOUT after the deadline, the runtime process itself SIGKILLed and reaped
 * (what it has left is the caller's to clean); what es_spawn() returns.
 */
ES_HIDDEN int es_runc_create(const struct es_runc *runc, const struct es_runc_create *create,
			     struct es_error *error);
ES_HIDDEN int es_runc_start(const struct es_runc *runc, struct es_error *error);
/* runc delete [--force]. A container the runtime does not know is success. */
ES_HIDDEN int es_runc_delete(const struct es_runc *runc, bool force, struct es_error *error);

/* runc pause, runc resume. */
ES_HIDDEN int es_runc_pause(const struct es_runc *runc, struct es_error *error);
ES_HIDDEN int es_runc_resume(const struct es_runc *runc, struct es_error *error);

/* runc update --resources=-: a JSON object as linux.resources of config.json. */
ES_HIDDEN int es_runc_update(const struct es_runc *runc, const char *resources, size_t size,
			     struct es_error *error);

struct es_runc_exec {
	const char *process_file; /* the process object of config.json */
	const char *pid_file;
	const char *console_socket; /* NULL: no terminal */
	struct es_task_io *io;
	int mark_prog_fd;
	uint64_t trace_id;
};
/* runc exec --detach. */
ES_HIDDEN int es_runc_exec(const struct es_runc *runc, const struct es_runc_exec *exec,
			   struct es_error *error);

/*
 * runc checkpoint; options as of containerd's runc shim. work_path is not NULL; env is a variable
 * for criu (criu.h), or NULL.
 */
ES_HIDDEN int es_runc_checkpoint(const struct es_runc *runc,
				 const struct es_checkpoint_opts *checkpoint, const char *work_path,
				 const char *env, struct es_error *error);

struct es_runc_restore {
	const char *image_path;
	const char *work_path;
	const char *env; /* for criu (criu.h), or NULL */
	struct es_runc_create create;
};
/* runc restore --detach. */
ES_HIDDEN int es_runc_restore(const struct es_runc *runc, const struct es_runc_restore *restore,
			      struct es_error *error);

/*
 * The same delete --force in two halves for callers that must not block: start it, poll the pidfd
 * of child->process, then collect. The caller enforces the deadline (es_pidref_signal(SIGKILL)).
 */
struct es_runc_child {
	struct es_pidref process;
	off_t log_start;
};
ES_HIDDEN int es_runc_delete_begin(const struct es_runc *runc, struct es_runc_child *child,
				   struct es_error *error);
/* -EAGAIN while it runs. Closes the child otherwise. Results as es_runc_delete(). */
ES_HIDDEN int es_runc_delete_end(const struct es_runc *runc, struct es_runc_child *child,
				 struct es_error *error);

#endif
