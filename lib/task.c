/* SPDX-License-Identifier: Apache-2.0 */
/* One container after its creation: state, start, wait, kill, delete. */
#include <embedshim/task.h>

#include <poll.h>
#include <signal.h>
#include <string.h>

#include "clock.h"
#include "container_cgroup.h"
#include "error.h"
#include "exit_status.h"
#include "exec_registry.h"
#include "process_io.h"
#include "process_io_end.h"
#include "step.h"
#include "task_change.h"
#include "task_init.h"

/* A SIGKILLed init process of a created container has nothing to clean up. */
#define KILLED_WAIT_MS 10000

/* How long a wait for init's exit looks at one of the execs that hold it back. */
#define HELD_SLICE_MS 20

const char *es_task_id(const struct es_task *task)
{
	return task ? task->id : NULL;
}

const char *es_task_namespace(const struct es_task *task)
{
	return task ? task->namespace_ : NULL;
}

const char *es_task_cgroups(const struct es_task *task)
{
	return task ? task->cgroups : NULL;
}

const char *es_task_stream(const struct es_task *task, int stream)
{
	return task && stream >= 0 && stream <= 2 ? task->record.stream[stream] : NULL;
}

const char *es_task_bundle_dir(const struct es_task *task)
{
	return task ? task->record.oci_bundle : NULL;
}

int es_task_state(struct es_task *task, struct es_task_state *ret)
{
	struct es_manager *m;
	int r;

	if (!task || !ret)
		return -EINVAL;
	m = task->manager;
	r = es_context_enter(m);
	if (r == -ECHILD)
		return r;
	if (r == 0) {
		es_task_refresh(task);
		es_context_leave(m);
	}
	memset(ret, 0, sizeof(*ret));
	pthread_mutex_lock(&m->lock);
	ret->trace_id = task->record.trace_id;
	ret->pid = task->init.pid;
	ret->status = es_task_current_status(task);
	ret->flags = task->flags;
	pthread_mutex_unlock(&m->lock);
	return 0;
}

static int start(struct es_task *task, struct es_error *error)
{
	struct es_runc runc;
	char log[ES_TASK_LOG_PATH_MAX];
	int r;

	r = es_task_start_mark_write(task->bundle, ES_TASK_STARTING);
	if (r < 0)
		return es_error_set_errno(error, r, "%s", es_bundle_dir(task->bundle));
	es_step("start.starting");
	es_task_runtime(task, log, &runc);
	if (task->record.restore_path) {
		r = es_task_restore(task, error);
	} else {
		r = es_process_io_open_stdin(es_bundle_dir(task->bundle), task->record.stream[0],
					     error);
		es_step("start.stdin");
		if (r == 0)
			r = es_runc_start(&runc, error);
	}
	es_step("start.runtime");
	/* The process tells what a mark that could not be written does not: see resolve_doubt(). */
	es_task_start_mark_write(task->bundle, r == 0		 ? ES_TASK_STARTED
					       : r == -ETIMEDOUT ? ES_TASK_STARTING
								 : ES_TASK_NOT_STARTED);
	es_step("start.marked");
	return r;
}

int es_task_start(struct es_task *task, struct es_error *error)
{
	int r;

	r = es_task_change_begin(task, ES_TASK_EVENT_START, "start", error);
	if (r < 0)
		return r;
	r = start(task, error);
	if (r == -ETIMEDOUT) {
		pthread_mutex_lock(&task->manager->lock);
		task->start_in_doubt = true;
		pthread_mutex_unlock(&task->manager->lock);
	}
	es_task_change_end(task, r == 0 ? ES_TASK_RUNNING : ES_TASK_CREATED);
	return r;
}

/* Of any exec that runs. -ENOENT: none does. */
static uint64_t running_exec(struct es_task *task)
{
	const struct es_exec *exec;
	uint64_t trace_id = 0;

	pthread_mutex_lock(&task->manager->lock);
	TAILQ_FOREACH(exec, &task->execs, link)
	if (exec->status == ES_TASK_RUNNING && !exec->exit_known)
		trace_id = exec->trace_id;
	pthread_mutex_unlock(&task->manager->lock);
	return trace_id;
}

/* Init is gone: wait for what holds its exit back. */
static int wait_for_execs(struct es_task *task, uint64_t deadline_ns)
{
	struct es_manager *m = task->manager;

	while (!es_task_note_exit(task)) {
		uint64_t trace_id = running_exec(task), slice = es_deadline_after_ms(HELD_SLICE_MS);
		struct pollfd fd = { .fd = m->close_fd, .events = POLLIN };
		struct es_exit exit;
		int r = -ENOENT;

		if (slice > deadline_ns)
			slice = deadline_ns;
		if (trace_id)
			r = es_monitor_wait(m->monitor, trace_id, slice, m->close_fd, &exit);
		else if (poll(&fd, 1, es_deadline_poll_ms(slice)) > 0)
			r = -ESHUTDOWN;
		if (r == 0)
			es_exec_note_exit_of(m, trace_id);
		if (r == -ESHUTDOWN || es_deadline_poll_ms(deadline_ns) == 0)
			return r == -ESHUTDOWN ? r : -ETIMEDOUT;
	}
	return 0;
}

/* A task that is to be restored has no process before its start. */
static int wait_for_process(struct es_task *task, uint64_t deadline_ns)
{
	struct es_manager *m = task->manager;
	struct timespec t = { .tv_sec = (time_t)(deadline_ns / NSEC_PER_SEC),
			      .tv_nsec = (long)(deadline_ns % NSEC_PER_SEC) };
	int r = 0;

	pthread_mutex_lock(&m->lock);
	while (r == 0 && !task->init.pid) {
		if (m->closed || task->status == ES_TASK_DELETED)
			r = -ESHUTDOWN;
		else if (deadline_ns == ES_DEADLINE_NEVER)
			pthread_cond_wait(&m->changed, &m->lock);
		else if (pthread_cond_timedwait(&m->changed, &m->lock, &t) == ETIMEDOUT)
			r = -ETIMEDOUT;
	}
	pthread_mutex_unlock(&m->lock);
	return r;
}

int es_task_wait(struct es_task *task, int timeout_ms, struct es_exit *ret)
{
	uint64_t deadline = es_deadline_after_ms(timeout_ms);
	struct es_manager *m;
	struct es_exit exit;
	bool known;
	int r;

	if (!task || timeout_ms < -1)
		return -EINVAL;
	m = task->manager;
	if (m->owner != getpid())
		return -ECHILD;
	pthread_mutex_lock(&m->lock);
	known = task->exit_known;
	pthread_mutex_unlock(&m->lock);
	if (!known) {
		r = es_context_enter(m);
		if (r < 0)
			return r;
		r = wait_for_process(task, deadline);
		if (r == 0)
			r = es_monitor_wait(m->monitor, task->record.trace_id, deadline,
					    m->close_fd, &exit);
		if (r == 0)
			r = wait_for_execs(task, deadline);
		es_context_leave(m);
		if (r < 0)
			return r;
	}
	/* Known, it does not change any more. */
	if (ret)
		*ret = task->exit;
	return 0;
}

static bool is_paused(struct es_task *task)
{
	bool paused;

	pthread_mutex_lock(&task->manager->lock);
	paused = task->status == ES_TASK_PAUSED || task->status == ES_TASK_PAUSING;
	pthread_mutex_unlock(&task->manager->lock);
	return paused;
}

int es_task_kill(struct es_task *task, int signal)
{
	int r;

	if (!task || signal < 1 || signal > SIGRTMAX)
		return -EINVAL;
	r = es_context_enter(task->manager);
	if (r < 0)
		return r;
	r = es_monitor_signal(task->manager->monitor, task->record.trace_id, signal);
	if (r == 0 && signal == SIGKILL && is_paused(task))
		es_container_cgroup_thaw_v1(task->cgroups);
	es_context_leave(task->manager);
	return r == -ENOENT ? -ESRCH : r;
}

/* A created task still has the runtime's process waiting for its start. */
static int end_init(struct es_task *task, struct es_error *error)
{
	struct es_exit exit;
	int r;

	/* One that is to be restored has no process before. */
	if (!task->init.pid || es_task_note_exit(task))
		return 0;
	r = es_monitor_signal(task->manager->monitor, task->record.trace_id, SIGKILL);
	if (r < 0 && r != -ESRCH)
		return es_error_set_errno(error, r, "cannot kill process %d of %s/%s",
					  task->init.pid, task->namespace_, task->id);
	r = es_monitor_wait(task->manager->monitor, task->record.trace_id,
			    es_deadline_after_ms(KILLED_WAIT_MS), task->manager->close_fd, &exit);
	if (r < 0)
		return es_error_set_errno(error, r, "process %d of %s/%s does not die",
					  task->init.pid, task->namespace_, task->id);
	es_task_note_exit(task);
	return 0;
}

static int delete_from_runtime(struct es_task *task, struct es_error *error)
{
	struct es_runc runc;
	char log[ES_TASK_LOG_PATH_MAX];
	int r;

	es_task_runtime(task, log, &runc);
	r = es_runc_delete(&runc, false, error);
	/* What has ended may be forced: a runtime that lost count of its states still cleans up. */
	if (r == -EIO)
		r = es_runc_delete(&runc, true, error);
	return r;
}

static int delete (struct es_task *task, struct es_error *error)
{
	int r;

	r = end_init(task, error);
	if (r < 0)
		return r;
	es_step("delete.ended");
	r = delete_from_runtime(task, error);
	if (r < 0)
		return r;
	es_step("delete.runtime");
	es_process_io_end(es_bundle_dir(task->bundle), task->manager->reaper);
	es_step("delete.streams");
	es_task_forbid_save(task);
	r = es_bundle_remove(task->bundle, error);
	if (r < 0)
		return r;
	es_step("delete.bundle");
	es_exec_forget_all(task);
	es_task_stop_counting_oom(task);
	es_monitor_forget(task->manager->monitor, task->record.trace_id);
	es_step("delete.slot");
	es_registry_remove(task);
	return 0;
}

int es_task_delete(struct es_task *task, struct es_exit *ret, struct es_error *error)
{
	uint32_t status;
	int r;

	r = es_task_change_begin(task, ES_TASK_EVENT_DELETE, "delete", error);
	if (r < 0)
		return r;
	/* Not "stopped", which is known by the exit. */
	status = task->status;
	/* The registry's reference goes; the caller's stays. */
	r = delete (task, error);
	if (r == 0 && !task->exit_known)
		es_exit_set_lost(&task->exit);
	es_task_change_end(task, r == 0 ? ES_TASK_DELETED : status);
	if (r == 0 && ret)
		*ret = task->exit;
	return r;
}
