/* SPDX-License-Identifier: Apache-2.0 */
/* The OCI runtime's commands as functions, with the arguments containerd's shim gives them. */
#ifndef ES_RUNC_H
#define ES_RUNC_H

#include <embedshim/base.h>
#include <stdbool.h>
#include <sys/types.h>

#include "pidref.h"
#include "task_io.h"
#include "util.h"

/* One container as the runtime knows it. Everything is borrowed. */
struct es_runc {
	const char *program; /* absolute */
	const char *root;    /* --root */
	const char *id;
	const char *bundle; /* cwd and --bundle */
	const char *log;    /* --log */
	bool systemd_cgroup;
	uint32_t timeout_ms;
};

struct es_runc_create {
	const char *pid_file;
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
