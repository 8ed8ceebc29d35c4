/* SPDX-License-Identifier: Apache-2.0 */
/* One command of an OCI runtime: run it with a deadline, read its log, say why it failed. */
#ifndef ES_RUNC_COMMAND_H
#define ES_RUNC_COMMAND_H

#include <embedshim/base.h>
#include <stdbool.h>
#include <sys/types.h>

#include "pidref.h"
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

#define ES_RUNC_ARGUMENTS_MAX 40

/* Of a runtime's stderr the end is kept: the last thing it says is why it stopped. */
#define ES_RUNC_STDERR_KEPT 2048

struct es_runc_command {
	const struct es_runc *runc;
	const char *verb; /* for messages */
	const char *argv[ES_RUNC_ARGUMENTS_MAX];
	size_t argc;
	int fd[3];
	int stderr_pipe; /* read end; -EBADF: stderr is the container's */
	const char *env; /* NAME=value beside the host's; borrowed; NULL: none */
	int mark_prog_fd;
	uint64_t trace_id;
	off_t log_start;
	char stderr_text[ES_RUNC_STDERR_KEPT + 1];
	size_t stderr_size;
};

/* `<program> <global options> <verb>`; arguments are borrowed until the command has run. */
ES_HIDDEN void es_runc_command_init(struct es_runc_command *c, const struct es_runc *runc,
				    const char *verb);
ES_HIDDEN void es_runc_command_add(struct es_runc_command *c, const char *argument);
ES_HIDDEN void es_runc_command_clear(struct es_runc_command *c);

/* Start it, and collect it once its pidfd is readable. Results as the functions of runc.h. */
ES_HIDDEN int es_runc_command_spawn(struct es_runc_command *c, struct es_pidref *child,
				    struct es_error *error);
ES_HIDDEN int es_runc_command_collect(struct es_runc_command *c, const struct es_pidref *child,
				      struct es_error *error);

/* Both, and wait in between, at most the deadline. */
ES_HIDDEN int es_runc_command_run(struct es_runc_command *c, struct es_error *error);
/* The same when the streams are not a container's: its stderr may explain a failure. */
ES_HIDDEN int es_runc_command_run_plain(struct es_runc_command *c, struct es_error *error);

#endif
