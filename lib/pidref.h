/* SPDX-License-Identifier: Apache-2.0 */
/* A process as one value that cannot be confused with another: pid, pidfd, start time, pidfs inode.
 */
#ifndef ES_PIDREF_H
#define ES_PIDREF_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "util.h"

struct es_pidref {
	pid_t pid;	      /* in our PID namespace; 0 unset */
	int fd;		      /* pidfd, or -EBADF */
	uint64_t start_ticks; /* field 22 of /proc/<pid>/stat; 0 unknown */
	uint64_t inode;	      /* pidfs inode of the pidfd (Linux 6.9); 0 where it is not unique */
};

#define ES_PIDREF_UNSET ((struct es_pidref){ .fd = -EBADF })

/*
 * Open pid as it is now. A zombie is opened too. 0, -ESRCH, -EMFILE, -ENFILE, -ENOMEM.
 * start_ticks is read after the pidfd is open and confirmed alive-or-zombie, so both are of one
 * process.
 */
ES_HIDDEN int es_pidref_open(struct es_pidref *ref, pid_t pid);

/*
 * Open pid only if it is still the process described by start_ticks and inode (a value of 0 is not
 * compared). -ESRCH if it is gone or another process has the number now.
 */
ES_HIDDEN int es_pidref_reopen(struct es_pidref *ref, pid_t pid, uint64_t start_ticks,
			       uint64_t inode);

ES_HIDDEN void es_pidref_close(struct es_pidref *ref);

/* Whether the process has exited (all threads); a zombie has. Poll of the pidfd, never blocks. */
ES_HIDDEN bool es_pidref_has_exited(const struct es_pidref *ref);

/* pidfd_send_signal(2). 0, -ESRCH (exited or no pidfd), -EPERM, -EINVAL. */
ES_HIDDEN int es_pidref_signal(const struct es_pidref *ref, int signal);

/* Wait until it has exited: 0, or -ETIMEDOUT at the deadline (clock.h). */
ES_HIDDEN int es_pidref_wait(const struct es_pidref *ref, uint64_t deadline_ns);

/*
 * The wait status if the kernel still tells it: waitid(P_PIDFD) when the process is our own child
 * (we may be PID 1 or a subreaper), otherwise PIDFD_GET_INFO with PIDFD_INFO_EXIT (Linux 6.15, once
 * it has been reaped). reap: end the zombie of our child; the host must not be waiting for it.
 * 0 and *status, -ENODATA if nobody tells, -EAGAIN if it has not exited.
 */
ES_HIDDEN int es_pidref_take_status(const struct es_pidref *ref, bool reap, int *status);

/* Device and inode of /proc/<pid>/exe: changes when the process executes another program.
   0, -ESRCH, -EACCES. */
ES_HIDDEN int es_pidref_program(const struct es_pidref *ref, uint64_t *dev, uint64_t *inode);

#endif
