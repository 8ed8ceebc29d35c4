/* SPDX-License-Identifier: Apache-2.0 */
/* The exit monitor: owner of a root directory's exit records and of the pidfds that go with them.
 */
#include <embedshim/monitor.h>

#include <poll.h>

#include "clock.h"
#include "error.h"
#include "exit_status.h"
#include "exitsnoop.h"
#include "fs.h"
#include "monitor_watch.h"
#include "opts.h"
#include "pidref.h"
#include "root_lock.h"
#include "watch_set.h"

struct es_monitor {
	pid_t owner;
	int lock_fd;
	struct es_exitsnoop *snoop;
	struct es_watch_set set;
};

static bool used_after_fork(const struct es_monitor *m)
{
	return m->owner != getpid();
}

static void monitor_free(struct es_monitor *m)
{
	if (!m)
		return;
	es_watch_set_close(&m->set);
	es_exitsnoop_close(m->snoop);
	es_close(m->lock_fd);
	free(m);
}
ES_DEFINE_CLEANUP(struct es_monitor, monitor_free)

static int check_opts(const struct es_monitor_opts *opts)
{
	if (!opts->root_dir || opts->root_dir[0] != '/')
		return es_error_set(opts->error, -EINVAL,
				    "root_dir must be an absolute path, not %s",
				    opts->root_dir ? opts->root_dir : "NULL");
	if (opts->bpf_dir && opts->bpf_dir[0] != '/')
		return es_error_set(opts->error, -EINVAL,
				    "bpf_dir must be an absolute path, not %s", opts->bpf_dir);
	if (opts->flags & ~(uint32_t)ES_MONITOR_REQUIRE_PERSISTENT)
		return es_error_set(opts->error, -EINVAL, "unknown flags %#x", opts->flags);
	return 0;
}

int es_monitor_open(const struct es_monitor_opts *caller_opts, struct es_monitor **ret)
{
	CLEANUP(cleanup_monitor_free) struct es_monitor *m = NULL;
	struct es_exitsnoop_opts snoop_opts = { 0 };
	struct es_monitor_opts opts;
	int r;

	if (!caller_opts || !ret)
		return -EINVAL;
	r = es_opts_copy(&opts, sizeof(opts), caller_opts);
	if (r < 0)
		return r;
	r = check_opts(&opts);
	if (r < 0)
		return r;
	m = calloc(1, sizeof(*m));
	if (!m)
		return es_error_set_errno(opts.error, -ENOMEM, "cannot open the exit monitor");
	m->owner = getpid();
	m->lock_fd = -EBADF;
	es_watch_set_init(&m->set);

	r = es_dir_make_all(opts.root_dir, 0711);
	if (r < 0)
		return es_error_set_errno(opts.error, r, "cannot make root directory %s",
					  opts.root_dir);
	r = es_root_lock(opts.root_dir, opts.error);
	if (r < 0)
		return r;
	m->lock_fd = r;
	snoop_opts.root_dir = opts.root_dir;
	snoop_opts.bpf_dir = opts.bpf_dir;
	snoop_opts.capacity = opts.capacity;
	snoop_opts.require_persistent = opts.flags & ES_MONITOR_REQUIRE_PERSISTENT;
	snoop_opts.error = opts.error;
	r = es_exitsnoop_open(&snoop_opts, &m->snoop);
	if (r < 0)
		return r;
	r = es_watch_set_open(&m->set, m->snoop);
	if (r < 0)
		return es_error_set_errno(opts.error, r, "cannot open the exit monitor");
	*ret = TAKE_PTR(m);
	return 0;
}

void es_monitor_close(struct es_monitor *m)
{
	cleanup_free uint64_t *ids = NULL;

	if (!m)
		return;
	/* In a forked child the pins and the lock belong to the parent. */
	if (!used_after_fork(m)) {
		if (es_exitsnoop_list(m->snoop, &ids) == 0)
			es_exitsnoop_close_and_unpin(TAKE_PTR(m->snoop));
		es_root_unlock(m->lock_fd);
	}
	monitor_free(m);
}

const char *es_monitor_warning(const struct es_monitor *m)
{
	return m ? es_exitsnoop_warning(m->snoop) : NULL;
}

struct es_exitsnoop *es_monitor_exitsnoop(struct es_monitor *m)
{
	return m->snoop;
}

int es_monitor_fd(const struct es_monitor *m)
{
	return m ? m->set.epoll_fd : -EINVAL;
}

/* Begin and end a watch */

int es_monitor_adopt(struct es_monitor *m, uint64_t trace_id, struct es_pidref *ref, bool reap)
{
	struct es_watch *w;
	int r;

	if (used_after_fork(m))
		return -ECHILD;
	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->trace_id = trace_id;
	w->users = 1;
	w->reap = reap;
	w->ref = *ref;
	pthread_mutex_lock(&m->set.lock);
	r = es_watch_insert(&m->set, w);
	pthread_mutex_unlock(&m->set.lock);
	if (r < 0) {
		free(w);
		return r;
	}
	*ref = ES_PIDREF_UNSET;
	return 0;
}

int es_monitor_adopt_exit(struct es_monitor *m, const struct es_exit *exit)
{
	struct es_watch *w;
	int r;

	if (used_after_fork(m))
		return -ECHILD;
	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->trace_id = exit->trace_id;
	w->users = 1;
	w->ref = ES_PIDREF_UNSET;
	w->exit = *exit;
	pthread_mutex_lock(&m->set.lock);
	r = es_watch_insert(&m->set, w);
	if (r == 0)
		es_watch_set_known(&m->set, w);
	pthread_mutex_unlock(&m->set.lock);
	if (r < 0)
		free(w);
	return r;
}

int es_monitor_watch(struct es_monitor *m, uint64_t trace_id, int32_t pid)
{
	struct es_pidref ref = ES_PIDREF_UNSET;
	int r;

	if (!m || trace_id == 0 || trace_id > INT64_MAX || pid <= 0)
		return -EINVAL;
	if (used_after_fork(m))
		return -ECHILD;
	r = es_pidref_open(&ref, pid);
	if (r < 0)
		return r;
	r = es_exitsnoop_reserve(m->snoop, trace_id);
	if (r == 0) {
		r = es_exitsnoop_attach(m->snoop, trace_id, pid);
		if (r == 0)
			r = es_monitor_adopt(m, trace_id, &ref, false);
		if (r < 0)
			es_exitsnoop_release(m->snoop, trace_id);
	}
	es_pidref_close(&ref);
	return r;
}

/* The process of a slot that says ALIVE, or its exit if that has happened meanwhile. */
static int reopen_process(struct es_monitor *m, struct es_exit *exit, struct es_pidref *ref)
{
	/* /proc counts from the boot in ticks of 1/100 s, rounded down. */
	uint64_t ticks = exit->started_boot_ns / (NSEC_PER_SEC / 100);
	int r;

	r = es_pidref_reopen(ref, exit->pid, ticks, 0);
	if (r != -ESRCH)
		return r;
	r = es_exitsnoop_lookup(m->snoop, exit->trace_id, exit);
	if (r == -EAGAIN) {
		es_exit_set_lost(exit);
		return 0;
	}
	return r;
}

int es_monitor_resume(struct es_monitor *m, uint64_t trace_id)
{
	struct es_pidref ref = ES_PIDREF_UNSET;
	struct es_exit exit = { .trace_id = trace_id };
	int r;

	if (!m || trace_id == 0)
		return -EINVAL;
	if (used_after_fork(m))
		return -ECHILD;
	r = es_exitsnoop_lookup(m->snoop, trace_id, &exit);
	exit.trace_id = trace_id;
	if (r == -EAGAIN)
		r = exit.pid ? reopen_process(m, &exit, &ref) : -ENOENT;
	if (r < 0)
		return r;
	if (ref.fd < 0)
		return es_monitor_adopt_exit(m, &exit);
	r = es_monitor_adopt(m, trace_id, &ref, false);
	es_pidref_close(&ref);
	return r;
}

int es_monitor_forget(struct es_monitor *m, uint64_t trace_id)
{
	struct es_watch *w;

	if (!m || trace_id == 0)
		return -EINVAL;
	if (used_after_fork(m))
		return -ECHILD;
	pthread_mutex_lock(&m->set.lock);
	w = es_watch_find(&m->set, trace_id);
	if (w)
		es_watch_remove(&m->set, w);
	pthread_mutex_unlock(&m->set.lock);
	return es_exitsnoop_release(m->snoop, trace_id);
}

/* Use */

int es_monitor_next_exit(struct es_monitor *m, struct es_exit *ret)
{
	struct es_watch *w;

	if (!m || !ret)
		return -EINVAL;
	if (used_after_fork(m))
		return -ECHILD;
	pthread_mutex_lock(&m->set.lock);
	if (TAILQ_EMPTY(&m->set.exits))
		es_watch_set_drain(&m->set);
	w = TAILQ_FIRST(&m->set.exits);
	if (w) {
		es_watch_unlink(&m->set, w);
		*ret = w->exit;
	}
	pthread_mutex_unlock(&m->set.lock);
	return w ? 1 : 0;
}

void es_monitor_untake_exit(struct es_monitor *m, uint64_t trace_id)
{
	struct es_watch *w;

	pthread_mutex_lock(&m->set.lock);
	w = es_watch_find(&m->set, trace_id);
	if (w && w->known && !w->queued)
		es_watch_requeue(&m->set, w);
	pthread_mutex_unlock(&m->set.lock);
}

int es_monitor_exit(struct es_monitor *m, uint64_t trace_id, struct es_exit *ret)
{
	struct es_watch *w;
	int r = -ENOENT;

	if (!m || trace_id == 0 || !ret)
		return -EINVAL;
	if (used_after_fork(m))
		return -ECHILD;
	pthread_mutex_lock(&m->set.lock);
	w = es_watch_find(&m->set, trace_id);
	if (w) {
		es_watch_settle(&m->set, w);
		r = w->known ? 0 : -EAGAIN;
		if (w->known)
			*ret = w->exit;
	}
	pthread_mutex_unlock(&m->set.lock);
	return r;
}

/* One round of waiting: blocks on the pidfd, or on the timer once that has fired unrecorded. */
static int wait_round(const struct es_watch *w, bool unrecorded, uint64_t deadline_ns,
		      int cancel_fd)
{
	struct pollfd fds[2] = {
		{ .fd = unrecorded ? -1 : w->ref.fd, .events = POLLIN },
		{ .fd = cancel_fd, .events = POLLIN },
	};
	int timeout_ms = es_deadline_poll_ms(deadline_ns);
	int retry_ms = (int)(ES_WATCH_RETRY_NS / NSEC_PER_MSEC);

	if (unrecorded && (timeout_ms < 0 || timeout_ms > retry_ms))
		timeout_ms = retry_ms;
	if (poll(fds, 2, timeout_ms) < 0 && errno != EINTR)
		return es_neg_errno();
	if (fds[1].revents)
		return -ESHUTDOWN;
	return 0;
}

int es_monitor_wait(struct es_monitor *m, uint64_t trace_id, uint64_t deadline_ns, int cancel_fd,
		    struct es_exit *ret)
{
	struct es_watch *w;
	int r = 0;

	if (used_after_fork(m))
		return -ECHILD;
	pthread_mutex_lock(&m->set.lock);
	w = es_watch_find(&m->set, trace_id);
	if (!w) {
		pthread_mutex_unlock(&m->set.lock);
		return -ENOENT;
	}
	w->users++;
	for (;;) {
		bool unrecorded;

		es_watch_settle(&m->set, w);
		if (w->known)
			break;
		if (r == 0 && es_deadline_poll_ms(deadline_ns) == 0)
			r = -ETIMEDOUT;
		if (r < 0)
			break;
		unrecorded = w->unrecorded_since_ns != 0;
		pthread_mutex_unlock(&m->set.lock);
		r = wait_round(w, unrecorded, deadline_ns, cancel_fd);
		pthread_mutex_lock(&m->set.lock);
	}
	if (w->known) {
		*ret = w->exit;
		r = 0;
	}
	es_watch_put(w);
	pthread_mutex_unlock(&m->set.lock);
	return r;
}

int es_monitor_signal(struct es_monitor *m, uint64_t trace_id, int signal)
{
	struct es_watch *w;
	int r;

	if (used_after_fork(m))
		return -ECHILD;
	pthread_mutex_lock(&m->set.lock);
	w = es_watch_find(&m->set, trace_id);
	if (!w)
		r = -ENOENT;
	else
		r = w->known ? -ESRCH : es_pidref_signal(&w->ref, signal);
	pthread_mutex_unlock(&m->set.lock);
	return r;
}
