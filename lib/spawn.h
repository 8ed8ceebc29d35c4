/* SPDX-License-Identifier: Apache-2.0 */
/* Run one child process without touching the host process. */
#ifndef ES_SPAWN_H
#define ES_SPAWN_H

#include <stdint.h>

#include "pidref.h"
#include "util.h"

#define ES_SPAWN_MORE_MAX 4

struct es_spawn {
	const char *program; /* absolute path: see es_spawn_find_program() */
	char *const *argv;
	const char *const *env;	     /* the whole environment, ended by NULL; NULL: the host's */
	const char *const *env_drop; /* names removed from the host's, ended by NULL; may be NULL */
	const char *env_add;	     /* NAME=value beside the host's; may be NULL */
	const char *cwd;	     /* NULL: "/" */
	int fd[3];		     /* become 0, 1, 2; a negative one is /dev/null */
	const int *more_fd;	     /* become 3, 4, ...; a negative one stays closed */
	size_t more;		     /* their number, at most ES_SPAWN_MORE_MAX */
	int mark_prog_fd;  /* BPF program run in the child before exec, or < 0 (exitsnoop.h) */
	uint64_t mark_arg; /* its argument: the trace ID */
};

/*
 * Start the child: vfork-like, with a pidfd, in its own session, all signals at their default and
 * unblocked, every descriptor but those given closed. SIGCHLD is the only thing the host may
 * notice. Blocks until the child has executed or failed. 0 and *ret (owned by the caller:
 * es_spawn_reap() then es_pidref_close()); otherwise the errno of what failed: -ENOENT, -EACCES,
 * -ENOEXEC, -ENOTDIR (cwd) ..., -ENOSPC if the mark was refused for lack of room, -EMFILE, -EAGAIN,
 * -ENOMEM. Nothing is left running on failure.
 */
ES_HIDDEN int es_spawn(const struct es_spawn *spawn, struct es_pidref *ret);

/* The same for a child that will be looked for after a restart: start_ticks and inode are filled.
 */
ES_HIDDEN int es_spawn_lasting(const struct es_spawn *spawn, struct es_pidref *ret);

/*
 * Wait for the child until the deadline and reap it by its pidfd. 0 and *status (wait status);
 * -ETIMEDOUT; -ENODATA if the host reaped it first (SIGCHLD ignored, or waitpid(-1)).
 */
ES_HIDDEN int es_spawn_reap(const struct es_pidref *child, uint64_t deadline_ns, int *status);

/*
 * Where execvp(3) would find name: as it is if it has a slash, otherwise along PATH (default
 * "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"). *ret is malloc()ed, absolute.
 * -ENOENT, -EACCES (found but not executable), -ENOMEM.
 */
ES_HIDDEN int es_spawn_find_program(const char *name, char **ret);

#endif
