/* SPDX-License-Identifier: Apache-2.0 */
/* The root handle: open, list, find, close. */
#include <embedshim/manager.h>

#include <search.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>

#include "clock.h"
#include "error.h"
#include "event.h"
#include "exec_registry.h"
#include "fs.h"
#include "opts.h"
#include "reload.h"
#include "rollback.h"
#include "step.h"

#define DEFAULT_RUNTIME	   "runc"
#define DEFAULT_TIMEOUT_MS 120000

/* Not a namespace name: identifiers begin with a letter or a digit. */
#define DEFAULT_RUNTIME_ROOT ".runtime"
#define TRACE_ID_FILE	     "trace-ids.db"

static int check_dir(const char *what, const char *dir, struct es_error *error)
{
	if (!dir || dir[0] != '/')
		return es_error_set(error, -EINVAL, "%s must be an absolute path, not %s", what,
				    dir ? dir : "NULL");
	return 0;
}

static int check_opts(const struct es_manager_opts *opts)
{
	int r;

	if ((r = check_dir("root_dir", opts->root_dir, opts->error)) < 0 ||
	    (r = check_dir("state_dir", opts->state_dir, opts->error)) < 0)
		return r;
	if (opts->runtime_root &&
	    (r = check_dir("runtime_root", opts->runtime_root, opts->error)) < 0)
		return r;
	if (opts->io_helper && (r = check_dir("io_helper", opts->io_helper, opts->error)) < 0)
		return r;
	if (opts->flags & ~(uint32_t)ES_MANAGER_REQUIRE_PERSISTENT)
		return es_error_set(opts->error, -EINVAL, "unknown flags %#x", opts->flags);
	return 0;
}

static int open_monitor(struct es_manager *m, const struct es_manager_opts *opts)
{
	struct es_monitor_opts monitor = {
		.size = sizeof(monitor),
		.root_dir = opts->root_dir,
		.bpf_dir = opts->bpf_dir,
		.capacity = opts->capacity,
		.flags = opts->flags & ES_MANAGER_REQUIRE_PERSISTENT ? ES_MONITOR_REQUIRE_PERSISTENT
								     : 0,
		.error = opts->error,
	};

	return es_monitor_open(&monitor, &m->monitor);
}

static int open_ids(struct es_manager *m, const struct es_manager_opts *opts)
{
	cleanup_free char *path = NULL;
	struct es_idalloc_opts ids = { .size = sizeof(ids), .error = opts->error };
	int r;

	r = es_path_join(&path, opts->root_dir, TRACE_ID_FILE);
	if (r < 0)
		return r;
	ids.path = path;
	/* The database goes with a root that somebody removed; the bundles then know more. */
	if (access(path, F_OK) < 0)
		ids.floor = es_reload_largest_trace_id(m->store);
	return es_idalloc_open(&ids, &m->ids);
}

static int add_to_epoll(const struct es_manager *m, int fd)
{
	struct epoll_event event = { .events = EPOLLIN };

	return epoll_ctl(m->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? es_neg_errno() : 0;
}

static int open_descriptors(struct es_manager *m)
{
	int r;

	m->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	m->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	m->close_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	m->ready_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (m->epoll_fd < 0 || m->timer_fd < 0 || m->close_fd < 0 || m->ready_fd < 0)
		return es_neg_errno();
	if ((r = add_to_epoll(m, es_monitor_fd(m->monitor))) < 0 ||
	    (r = add_to_epoll(
		     m, es_oom_watch_fd(es_exitsnoop_oom(es_monitor_exitsnoop(m->monitor))))) < 0 ||
	    (r = add_to_epoll(m, m->timer_fd)) < 0 ||
	    (r = add_to_epoll(m, es_reaper_fd(m->reaper))) < 0)
		return r;
	return add_to_epoll(m, m->ready_fd);
}

static int set_defaults(struct es_manager *m, const struct es_manager_opts *opts)
{
	m->timeout_ms = opts->runtime_timeout_ms ? opts->runtime_timeout_ms : DEFAULT_TIMEOUT_MS;
	m->runtime = strdup(opts->runtime && *opts->runtime ? opts->runtime : DEFAULT_RUNTIME);
	m->io_helper = strdup(opts->io_helper ? opts->io_helper : ES_IO_HELPER);
	if (!m->runtime || !m->io_helper)
		return -ENOMEM;
	if (!opts->runtime_root)
		return es_path_join(&m->runtime_root, opts->state_dir, DEFAULT_RUNTIME_ROOT);
	m->runtime_root = strdup(opts->runtime_root);
	return m->runtime_root ? 0 : -ENOMEM;
}

/* Close the parts that were opened; nothing on disk changes. */
static void close_services(struct es_manager *m)
{
	es_idalloc_free(TAKE_PTR(m->ids));
	es_monitor_close(TAKE_PTR(m->monitor));
	es_bundle_store_free(TAKE_PTR(m->store));
	es_reaper_close(TAKE_PTR(m->reaper));
	es_close(TAKE_FD(m->epoll_fd));
	es_close(TAKE_FD(m->timer_fd));
	es_close(TAKE_FD(m->close_fd));
	es_close(TAKE_FD(m->ready_fd));
}

static int open_services(struct es_manager *m, const struct es_manager_opts *opts)
{
	int r;

	r = set_defaults(m, opts);
	if (r < 0)
		return r;
	es_boot_id_read(m->boot_id);
	r = es_bundle_store_open(opts->root_dir, opts->state_dir, opts->error, &m->store);
	if (r < 0)
		return r;
	/* The monitor first: it takes the lock of the root directory. */
	if ((r = open_monitor(m, opts)) < 0 || (r = open_ids(m, opts)) < 0)
		return r;
	es_step("reload.opened");
	r = es_reaper_open(&m->reaper);
	return r < 0 ? r : open_descriptors(m);
}

static void release_node(void *node)
{
	/* Execs and their task hold each other. */
	es_exec_release_all(node);
	es_task_free(node);
}

static void ignore_node(void *node)
{
	(void)node; /* the other tree holds the references */
}

void es_context_teardown(struct es_manager *m)
{
	void *tasks;

	es_task_save_exits(m);
	es_rollback_abandon(m);
	es_event_drop_held(m);
	pthread_mutex_lock(&m->lock);
	tasks = TAKE_PTR(m->tasks);
	tdestroy(TAKE_PTR(m->trace_ids), ignore_node);
	pthread_mutex_unlock(&m->lock);
	tdestroy(tasks, release_node);
	close_services(m);
}

static void init_lock(struct es_manager *m)
{
	pthread_condattr_t attr;

	pthread_mutex_init(&m->lock, NULL);
	/* Its waits have deadlines of clock.h. */
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&m->changed, &attr);
	pthread_condattr_destroy(&attr);
}

int es_manager_open(const struct es_manager_opts *caller_opts, struct es_manager **ret)
{
	struct es_manager_opts opts;
	struct es_manager *m;
	int r;

	if (!caller_opts || !ret)
		return -EINVAL;
	r = es_opts_copy(&opts, sizeof(opts), caller_opts);
	if (r < 0)
		return r;
	if (opts.error)
		opts.error->code = 0;
	r = check_opts(&opts);
	if (r < 0)
		return r;
	m = calloc(1, sizeof(*m));
	if (!m)
		return -ENOMEM;
	m->owner = getpid();
	m->refs = 1;
	m->epoll_fd = m->timer_fd = m->close_fd = m->ready_fd = -EBADF;
	init_lock(m);
	TAILQ_INIT(&m->rollbacks);
	TAILQ_INIT(&m->held);
	TAILQ_INIT(&m->unsaved);
	r = open_services(m, &opts);
	if (r == 0)
		r = es_reload(m, opts.error);
	if (r < 0) {
		if (opts.error && opts.error->code == 0)
			es_error_set_errno(opts.error, r, "cannot open %s", opts.root_dir);
		es_context_teardown(m);
		es_context_put(m);
		return r;
	}
	*ret = m;
	return 0;
}

void es_manager_close(struct es_manager *m)
{
	uint64_t one = 1;
	bool idle;
	ssize_t n;

	if (!m)
		return;
	if (m->owner == getpid()) {
		pthread_mutex_lock(&m->lock);
		m->closed = true;
		idle = m->calls == 0;
		/* Under the lock: the last call may close the descriptor as soon as it is free. */
		n = write(m->close_fd, &one, sizeof(one));
		(void)n;
		pthread_cond_broadcast(&m->changed);
		pthread_mutex_unlock(&m->lock);
		if (idle)
			es_context_teardown(m);
	}
	es_context_put(m);
}

const char *es_manager_warning(const struct es_manager *m)
{
	return m ? es_monitor_warning(m->monitor) : NULL;
}

struct es_bundle_store *es_manager_bundles(struct es_manager *m)
{
	return m ? m->store : NULL;
}

int es_manager_fd(const struct es_manager *m)
{
	return m ? m->epoll_fd : -EINVAL;
}

int es_manager_settle(struct es_manager *m, int timeout_ms)
{
	uint64_t deadline = es_deadline_after_ms(timeout_ms);
	int r;

	if (timeout_ms < -1)
		return -EINVAL;
	for (;;) {
		r = es_context_enter(m);
		if (r < 0)
			return r;
		if (es_rollback_drive(m) == 0) {
			es_context_leave(m);
			return 0;
		}
		if (es_deadline_poll_ms(deadline) == 0)
			r = -ETIMEDOUT;
		else
			es_rollback_wait(m, es_deadline_poll_ms(deadline));
		es_context_leave(m);
		if (r < 0)
			return r;
	}
}

int es_manager_list(struct es_manager *m, const char *namespace_, struct es_task ***ret_list)
{
	int r;

	if (!ret_list)
		return -EINVAL;
	r = es_context_enter(m);
	if (r < 0)
		return r;
	r = es_registry_list(m, namespace_, ret_list);
	es_context_leave(m);
	return r;
}

void es_task_list_free(struct es_task **list)
{
	if (!list)
		return;
	for (struct es_task **task = list; *task; task++)
		es_task_free(*task);
	free(list);
}

int es_manager_get(struct es_manager *m, const char *namespace_, const char *id,
		   struct es_task **ret)
{
	struct es_task *task;
	int r;

	if (!namespace_ || !id || !ret)
		return -EINVAL;
	r = es_context_enter(m);
	if (r < 0)
		return r;
	task = es_registry_find(m, namespace_, id);
	es_context_leave(m);
	if (!task)
		return -ENOENT;
	*ret = task;
	return 0;
}
