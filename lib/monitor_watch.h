/* SPDX-License-Identifier: Apache-2.0 */
/* What the manager needs of the exit monitor beyond the public functions. */
#ifndef ES_MONITOR_WATCH_H
#define ES_MONITOR_WATCH_H

#include <embedshim/monitor.h>
#include <stdbool.h>

#include "exitsnoop.h"
#include "pidref.h"

/* Owned by the monitor. */
ES_HIDDEN struct es_exitsnoop *es_monitor_exitsnoop(struct es_monitor *monitor);

/*
 * Watch a process whose slot is in order already. *ref is taken on success. reap: collect the
 * zombie if the kernel makes us its parent (we are PID 1 or a subreaper).
 * 0, -EEXIST, -ENOMEM, -ENOSPC (epoll watches), -ECHILD.
 */
ES_HIDDEN int es_monitor_adopt(struct es_monitor *monitor, uint64_t trace_id, struct es_pidref *ref,
			       bool reap);

/* Keep an exit that is known already; it is handed out like any other. 0, -EEXIST, -ENOMEM. */
ES_HIDDEN int es_monitor_adopt_exit(struct es_monitor *monitor, const struct es_exit *exit);

/*
 * Block until the exit of trace_id is known. 0, -ETIMEDOUT, -ENOENT, -ESHUTDOWN (cancel_fd became
 * readable; -EBADF: none).
 */
ES_HIDDEN int es_monitor_wait(struct es_monitor *monitor, uint64_t trace_id, uint64_t deadline_ns,
			      int cancel_fd, struct es_exit *ret);

/* Put an exit that was taken last back to the front. */
ES_HIDDEN void es_monitor_untake_exit(struct es_monitor *monitor, uint64_t trace_id);

/* Signal the watched process. 0, -ENOENT, -ESRCH, -EPERM, -EINVAL. */
ES_HIDDEN int es_monitor_signal(struct es_monitor *monitor, uint64_t trace_id, int signal);

#endif
