/* SPDX-License-Identifier: Apache-2.0 */
/* Takes a half-made task apart, in stages none of which waits for a runtime. */
#include "rollback.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <sys/wait.h>

#include "cgroup.h"
#include "clock.h"
#include "error.h"
#include "fs.h"
#include "log.h"
#include "process_io_end.h"
#include "runc.h"
#include "step.h"

/* A SIGKILLed process that is not gone by then hangs in the kernel; going on is all we can do. */
#define KILLED_WAIT_MS 10000

/* How long es_rollback_wait() polls before it looks again at what other threads changed. */
#define WAIT_SLICE_MS 50

enum stage {
	STAGE_RUNTIME, /* a runtime command may still be making the container */
	STAGE_KILL,    /* nothing makes new processes any more: kill what there is */
	STAGE_DELETE,  /* runtime delete --force */
	STAGE_STREAMS, /* whoever served its streams has nothing to do any more */
	STAGE_REMOVE,  /* bundle, cgroups, map entries */
	STAGE_DONE
};

struct es_rollback {
	struct es_task *task; /* counted reference */
	enum stage stage;
	struct es_rollback_opts opts;
	uint64_t deadline_ns;	    /* of the stage; 0: not entered yet */
	struct es_pidref process;   /* what the stage waits for */
	struct es_runc_child child; /* the runtime's delete */
	int streams_turn;	    /* how often that was told to end */
	struct es_cgroup_set cgroups;
	TAILQ_ENTRY(es_rollback) link;
};

struct es_rollback *es_rollback_new(struct es_task *task, const struct es_rollback_opts *opts)
{
	struct es_rollback *c = calloc(1, sizeof(*c));

	if (!c) {
		es_log(ES_LOG_ERROR, "out of memory: %s/%s stays half made until the next start",
		       task->namespace_, task->id);
		return NULL;
	}
	es_task_ref(task);
	c->task = task;
	c->opts = *opts;
	c->process = ES_PIDREF_UNSET;
	c->child.process = ES_PIDREF_UNSET;
	return c;
}

static void rollback_free(struct es_rollback *c)
{
	es_pidref_close(&c->process);
	es_pidref_close(&c->child.process);
	es_cgroup_set_clear(&c->cgroups);
	es_task_free(c->task);
	free(c);
}

static void describe_runtime(const struct es_task *task, char *log, size_t size,
			     struct es_runc *ret)
{
	snprintf(log, size, "%s/%s", es_bundle_dir(task->bundle), ES_TASK_LOG_FILE);
	*ret = (struct es_runc){
		.program = task->record.runtime,
		.root = task->record.runtime_root,
		.id = task->id,
		/* The caller's bundle may be gone; ours is there for the log. */
		.bundle = es_bundle_dir(task->bundle),
		.log = log,
		.systemd_cgroup = task->record.flags & ES_TASK_SYSTEMD_CGROUP,
		.timeout_ms = task->record.timeout_ms,
	};
}

/* A process of the follow that is alive, opened; or one that only the slot knows. */
static int open_next_alive(const struct es_rollback *c, bool runtime_only, struct es_pidref *ret)
{
	struct es_exitsnoop_process procs[ES_EXITSNOOP_FOLLOW_MAX];
	struct es_exitsnoop *snoop = es_monitor_exitsnoop(c->task->manager->monitor);
	uint64_t trace_id = c->task->record.trace_id;
	struct es_exit exit;
	bool overflow;
	int n;

	n = es_exitsnoop_followed(snoop, trace_id, procs, &overflow);
	for (int i = 0; i < n && (i == 0 || !runtime_only); i++) {
		uint64_t ticks = procs[i].start_boot_ns / (NSEC_PER_SEC / 100);

		if (!procs[i].exited && procs[i].pid > 0 &&
		    es_pidref_reopen(ret, procs[i].pid, ticks, 0) == 0)
			return 0;
	}
	if (runtime_only || es_exitsnoop_lookup(snoop, trace_id, &exit) != -EAGAIN || !exit.pid)
		return -ESRCH;
	return es_pidref_reopen(ret, exit.pid, exit.started_boot_ns / (NSEC_PER_SEC / 100), 0);
}

/* Whether c->process is gone or not worth waiting for any longer. Kills it at the deadline. */
static bool process_is_over(struct es_rollback *c)
{
	if (c->process.fd < 0)
		return true;
	if (!es_pidref_has_exited(&c->process)) {
		if (es_deadline_poll_ms(c->deadline_ns) > 0)
			return false;
		es_pidref_signal(&c->process, SIGKILL);
		c->opts.runtime_killed = true;
	}
	es_pidref_close(&c->process);
	return true;
}

/*
 * Let an orphaned runtime finish rather than kill it: between making a cgroup and noting it down
 * it would leave something that nobody knows.
 */
static bool step_runtime(struct es_rollback *c)
{
	if (c->process.fd < 0) {
		if (!c->opts.runtime_may_run || open_next_alive(c, true, &c->process) < 0)
			return true;
		c->deadline_ns = es_deadline_after_ms(c->task->record.timeout_ms);
	}
	return process_is_over(c);
}

/*
 * Whether nobody has killed the runtime, or a part of it: otherwise there can be cgroups that it
 * did not come to note down. In doubt somebody has: only empty ones are removed.
 */
static bool runtime_ended_itself(const struct es_rollback *c)
{
	struct es_exitsnoop_process procs[ES_EXITSNOOP_FOLLOW_MAX];
	bool overflow;
	int n;

	n = es_exitsnoop_followed(es_monitor_exitsnoop(c->task->manager->monitor),
				  c->task->record.trace_id, procs, &overflow);
	if (n <= 0 || overflow)
		return false;
	for (int i = 0; i < n; i++)
		if (procs[i].exited && !WIFEXITED(procs[i].status))
			return false;
	return procs[0].exited;
}

static bool step_kill(struct es_rollback *c)
{
	for (;;) {
		if (c->process.fd < 0) {
			if (open_next_alive(c, false, &c->process) < 0)
				return true;
			es_cgroup_set_add_process(&c->cgroups, c->process.pid);
			es_pidref_signal(&c->process, SIGKILL);
			c->deadline_ns = es_deadline_after_ms(KILLED_WAIT_MS);
		}
		if (!es_pidref_has_exited(&c->process) && es_deadline_poll_ms(c->deadline_ns) > 0)
			return false;
		if (!es_pidref_has_exited(&c->process)) {
			es_log(ES_LOG_ERROR, "process %d of half-made task %s/%s does not die",
			       c->process.pid, c->task->namespace_, c->task->id);
			es_pidref_close(&c->process);
			return true;
		}
		es_pidref_close(&c->process);
	}
}

static bool step_delete(struct es_rollback *c)
{
	struct es_error error = { 0 };
	struct es_runc runc;
	char log[4096];
	int r;

	if (!c->opts.runtime_ran)
		return true;
	describe_runtime(c->task, log, sizeof(log), &runc);
	if (c->child.process.fd < 0) {
		r = es_runc_delete_begin(&runc, &c->child, &error);
		if (r == 0)
			c->deadline_ns = es_deadline_after_ms(c->task->record.timeout_ms);
	} else {
		r = 0;
	}
	if (r == 0) {
		if (!es_pidref_has_exited(&c->child.process)) {
			if (es_deadline_poll_ms(c->deadline_ns) > 0)
				return false;
			/* Wedged: its exit is collected at once, SIGKILL does not wait. */
			es_pidref_signal(&c->child.process, SIGKILL);
			es_pidref_wait(&c->child.process, es_deadline_after_ms(WAIT_SLICE_MS));
		}
		r = es_runc_delete_end(&runc, &c->child, &error);
		if (r == -EAGAIN)
			es_pidref_close(&c->child.process);
	}
	if (r < 0) {
		es_log(ES_LOG_ERROR, "clean-up of half-made task %s/%s: %s", c->task->namespace_,
		       c->task->id, *error.message ? error.message : strerrordesc_np(-r));
		c->opts.runtime_killed = true;
	}
	return true;
}

/*
 * Helpers and loggers end when the container does. Those that do not get the time of a delete, then
 * a signal, then SIGKILL.
 */
static bool step_streams(struct es_rollback *c)
{
	const int patience_ms[] = { ES_IO_DRAIN_MS, ES_LOGGER_END_MS, KILLED_WAIT_MS };
	struct es_io_served served;

	if (!c->task->bundle)
		return true;
	while (es_process_io_next(es_bundle_dir(c->task->bundle), &served) == 0) {
		bool helper = served.server == ES_IO_HELPER_PROCESS;

		/* Another than before: it begins anew. */
		if (c->process.pid != served.process.pid) {
			es_pidref_close(&c->process);
			c->process = served.process;
			c->streams_turn = 0;
			c->deadline_ns = es_deadline_after_ms(patience_ms[0]);
		} else {
			es_pidref_close(&served.process);
		}
		if (es_deadline_poll_ms(c->deadline_ns) > 0)
			return false;
		if (++c->streams_turn == (int)ES_ARRAY_SIZE(patience_ms)) {
			es_log(ES_LOG_ERROR,
			       "process %d, which serves streams of %s/%s, does not "
			       "die",
			       c->process.pid, c->task->namespace_, c->task->id);
			break;
		}
		es_pidref_signal(&c->process, helper || c->streams_turn == 2 ? SIGKILL : SIGTERM);
		c->deadline_ns = es_deadline_after_ms(patience_ms[c->streams_turn]);
	}
	es_pidref_close(&c->process);
	es_reaper_run(c->task->manager->reaper);
	return true;
}

/* The path that config.json names, when the runtime cannot be asked to remove it. */
static void add_configured_cgroup(struct es_rollback *c)
{
	CLEANUP(cleanup_es_json_free) struct es_json *json = NULL;
	cleanup_free char *text = NULL, *path = NULL;
	cleanup_fd int fd = -EBADF;
	size_t size;

	if (c->task->record.oci_bundle)
		fd = open(c->task->record.oci_bundle, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || es_json_new(&json) < 0 ||
	    es_file_read(fd, "config.json", 16 << 20, &text, &size) < 0 ||
	    es_json_load(json, text, size) < 0)
		return;
	es_json_get_string(json, "$.linux.cgroupsPath", &path);
	es_cgroup_set_add_path(&c->cgroups, path, c->task->id);
}

static void step_remove(struct es_rollback *c)
{
	struct es_task *task = c->task;
	struct es_error error = { 0 };
	int r;

	if (c->opts.runtime_killed)
		add_configured_cgroup(c);
	if (c->opts.runtime_killed && es_cgroup_set_remove(&c->cgroups) > 0)
		es_log(ES_LOG_WARNING, "cgroups of half-made task %s/%s are still in use",
		       task->namespace_, task->id);
	es_step("rollback.cgroups");
	r = task->bundle ? es_bundle_remove(task->bundle, &error) : 0;
	if (r < 0) {
		/* Its directory stays, and the next es_manager_open() tries again. */
		es_log(ES_LOG_ERROR, "half-made task %s/%s: %s", task->namespace_, task->id,
		       error.message);
	}
	es_step("rollback.bundle");
	if (task->record.trace_id)
		es_monitor_forget(task->manager->monitor, task->record.trace_id);
	es_step("rollback.slot");
	es_registry_remove(task);
}

/* Advance as far as possible without waiting. Whether it is done. */
static bool rollback_step(struct es_rollback *c)
{
	switch (c->stage) {
	case STAGE_RUNTIME:
		if (!step_runtime(c))
			return false;
		if (c->opts.runtime_ran && !runtime_ended_itself(c))
			c->opts.runtime_killed = true;
		es_step("rollback.runtime_over");
		c->stage = STAGE_KILL;
		/* fall through */
	case STAGE_KILL:
		if (!step_kill(c))
			return false;
		es_step("rollback.killed");
		c->stage = STAGE_DELETE;
		/* fall through */
	case STAGE_DELETE:
		if (!step_delete(c))
			return false;
		es_step("rollback.deleted");
		c->stage = STAGE_STREAMS;
		/* fall through */
	case STAGE_STREAMS:
		if (!step_streams(c))
			return false;
		es_step("rollback.streams");
		c->stage = STAGE_REMOVE;
		/* fall through */
	case STAGE_REMOVE:
		step_remove(c);
		c->stage = STAGE_DONE;
		/* fall through */
	case STAGE_DONE:
		break;
	}
	return true;
}

static int waits_for(const struct es_rollback *c)
{
	return c->process.fd >= 0 ? c->process.fd : c->child.process.fd;
}

void es_rollback_run(struct es_rollback *c)
{
	uint64_t give_up;

	if (!c)
		return;
	give_up = es_deadline_after_ms(c->task->record.timeout_ms);
	while (!rollback_step(c)) {
		struct pollfd fd = { .fd = waits_for(c), .events = POLLIN };

		if (es_deadline_poll_ms(give_up) == 0) {
			es_rollback_later(c);
			return;
		}
		poll(&fd, 1,
		     es_deadline_poll_ms(give_up < c->deadline_ns ? give_up : c->deadline_ns));
	}
	rollback_free(c);
}

/* Wake the manager's descriptor when c can go on. Call with the lock held. */
static void arm(struct es_manager *m, const struct es_rollback *c)
{
	struct epoll_event event = { .events = EPOLLIN };

	if (waits_for(c) < 0) {
		es_context_arm_timer(m, 0);
		return;
	}
	/* It may be there already; closing the pidfd takes it out. If it cannot be added, the
	   deadline still wakes us. */
	epoll_ctl(m->epoll_fd, EPOLL_CTL_ADD, waits_for(c), &event);
	es_context_arm_timer(m, c->deadline_ns);
}

static void requeue(struct es_manager *m, struct es_rollback *c)
{
	pthread_mutex_lock(&m->lock);
	TAILQ_INSERT_TAIL(&m->rollbacks, c, link);
	arm(m, c);
	pthread_mutex_unlock(&m->lock);
}

void es_rollback_later(struct es_rollback *c)
{
	if (c)
		requeue(c->task->manager, c);
}

/* The rollbacks that wait now, as a list of their own. */
static void take_all(struct es_manager *m, struct es_rollback_list *list)
{
	uint64_t ticks;
	ssize_t n;

	TAILQ_INIT(list);
	pthread_mutex_lock(&m->lock);
	n = read(m->timer_fd, &ticks, sizeof(ticks));
	(void)n;
	TAILQ_CONCAT(list, &m->rollbacks, link);
	m->rollbacks_running++;
	pthread_mutex_unlock(&m->lock);
}

unsigned int es_rollback_drive(struct es_manager *m)
{
	struct es_rollback_list list;
	struct es_rollback *c;
	unsigned int left;

	take_all(m, &list);
	while ((c = TAILQ_FIRST(&list))) {
		TAILQ_REMOVE(&list, c, link);
		if (rollback_step(c))
			rollback_free(c);
		else
			requeue(m, c);
	}
	pthread_mutex_lock(&m->lock);
	/* Another thread's are not done either. */
	left = --m->rollbacks_running;
	TAILQ_FOREACH(c, &m->rollbacks, link)
	left++;
	pthread_mutex_unlock(&m->lock);
	return left;
}

void es_rollback_wait(struct es_manager *m, int timeout_ms)
{
	struct pollfd fds[64];
	struct es_rollback *c;
	nfds_t n = 0;

	pthread_mutex_lock(&m->lock);
	TAILQ_FOREACH(c, &m->rollbacks, link)
	{
		if (n < ES_ARRAY_SIZE(fds) && waits_for(c) >= 0)
			fds[n++] = (struct pollfd){ .fd = waits_for(c), .events = POLLIN };
	}
	pthread_mutex_unlock(&m->lock);
	/* Another thread may close one of them meanwhile: then the slice ends the wait. */
	poll(fds, n, timeout_ms < 0 || timeout_ms > WAIT_SLICE_MS ? WAIT_SLICE_MS : timeout_ms);
}

void es_rollback_abandon(struct es_manager *m)
{
	struct es_rollback_list list;
	struct es_rollback *c;

	take_all(m, &list);
	while ((c = TAILQ_FIRST(&list))) {
		TAILQ_REMOVE(&list, c, link);
		rollback_free(c);
	}
	pthread_mutex_lock(&m->lock);
	m->rollbacks_running--;
	pthread_mutex_unlock(&m->lock);
}
