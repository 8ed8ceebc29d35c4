/* SPDX-License-Identifier: Apache-2.0 */
/* One container after its creation: state, start, wait, kill, delete. */
#include <embedshim/task.h>

#include <signal.h>
#include <string.h>

#include "clock.h"
#include "context.h"
#include "error.h"
#include "exit_status.h"
#include "log.h"
#include "runc.h"
#include "step.h"
#include "task_state.h"

/* A SIGKILLed init process of a created container has nothing to clean up. */
#define KILLED_WAIT_MS 10000

const char *es_task_id(const struct es_task *task)
{
	return task ? task->id : NULL;
}

const char *es_task_namespace(const struct es_task *task)
{
	return task ? task->namespace_ : NULL;
}

const char *es_task_bundle_dir(const struct es_task *task)
{
	return task ? task->record.oci_bundle : NULL;
}

static void runtime_of(const struct es_task *task, char *log, size_t size, struct es_runc *ret)
{
	snprintf(log, size, "%s/%s", es_bundle_dir(task->bundle), ES_TASK_LOG_FILE);
	*ret = (struct es_runc){
		.program = task->record.runtime,
		.root = task->record.runtime_root,
		.id = task->id,
		.bundle = es_bundle_dir(task->bundle),
		.log = log,
		.systemd_cgroup = task->record.flags & ES_TASK_SYSTEMD_CGROUP,
		.timeout_ms = task->record.timeout_ms,
	};
}

/* Whether the init process has executed the user's program since it was created. */
static bool program_has_changed(const struct es_task *task)
{
	struct es_pidref ref = { .pid = task->init.pid, .fd = -EBADF };
	uint64_t dev, inode;

	if (es_pidref_program(&ref, &dev, &inode) < 0)
		return false;
	return dev != task->init.program_dev || inode != task->init.program_inode;
}

/* A start that a crash interrupted goes on in the runtime: see whether it has come through. */
static void resolve_doubt(struct es_task *task)
{
	struct es_manager *m = task->manager;
	bool doubt;

	pthread_mutex_lock(&m->lock);
	doubt = task->start_in_doubt;
	pthread_mutex_unlock(&m->lock);
	if (!doubt || !program_has_changed(task))
		return;
	if (es_task_start_mark_write(task->bundle, ES_TASK_STARTED) < 0)
		es_log(ES_LOG_DEBUG, "cannot mark %s/%s as started", task->namespace_, task->id);
	pthread_mutex_lock(&m->lock);
	if (task->status == ES_TASK_CREATED)
		task->status = ES_TASK_RUNNING;
	task->start_in_doubt = false;
	pthread_mutex_unlock(&m->lock);
}

/* Call with the lock held. */
static enum es_task_status current_status(const struct es_task *task)
{
	if (task->exit_known && task->status != ES_TASK_DELETED)
		return ES_TASK_STOPPED;
	return (enum es_task_status)task->status;
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
		/* The exit first: a process that is gone has no program any more. */
		if (!es_task_note_exit(task))
			resolve_doubt(task);
		es_context_leave(m);
	}
	memset(ret, 0, sizeof(*ret));
	pthread_mutex_lock(&m->lock);
	ret->trace_id = task->record.trace_id;
	ret->pid = task->init.pid;
	ret->status = current_status(task);
	ret->flags = task->flags;
	pthread_mutex_unlock(&m->lock);
	return 0;
}

/*
 * Begin an operation that changes the task: the state must allow it, and nobody else may be at it.
 * Enters the context on success; end with end_change().
 */
static int begin_change(struct es_task *task, enum es_task_event event, const char *verb,
			struct es_error *error)
{
	struct es_manager *m;
	enum es_task_status status;
	bool busy = false;
	int r;

	if (!task)
		return -EINVAL;
	m = task->manager;
	r = es_context_enter(m);
	if (r < 0)
		return es_error_set_errno(error, r, "cannot %s %s/%s", verb, task->namespace_,
					  task->id);
	if (!es_task_note_exit(task))
		resolve_doubt(task);
	pthread_mutex_lock(&m->lock);
	status = current_status(task);
	r = es_task_state_next(status, event);
	busy = r >= 0 && task->busy;
	if (busy)
		r = -EBUSY;
	if (r >= 0)
		task->busy = true;
	pthread_mutex_unlock(&m->lock);
	if (r >= 0)
		return 0;
	es_context_leave(m);
	if (busy)
		return es_error_set(error, r, "cannot %s %s/%s: another call is changing it", verb,
				    task->namespace_, task->id);
	return es_error_set(error, r, "cannot %s %s/%s: it is %s", verb, task->namespace_, task->id,
			    es_task_status_name(status));
}

static void end_change(struct es_task *task, uint32_t status)
{
	pthread_mutex_lock(&task->manager->lock);
	task->busy = false;
	task->status = status;
	task->listed = status != ES_TASK_DELETED;
	pthread_mutex_unlock(&task->manager->lock);
	es_context_leave(task->manager);
}

static int start(struct es_task *task, struct es_error *error)
{
	struct es_runc runc;
	char log[4096];
	int r;

	r = es_task_start_mark_write(task->bundle, ES_TASK_STARTING);
	if (r < 0)
		return es_error_set_errno(error, r, "%s", es_bundle_dir(task->bundle));
	es_step("start.starting");
	runtime_of(task, log, sizeof(log), &runc);
	r = es_runc_start(&runc, error);
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

	r = begin_change(task, ES_TASK_EVENT_START, "start", error);
	if (r < 0)
		return r;
	r = start(task, error);
	if (r == -ETIMEDOUT) {
		pthread_mutex_lock(&task->manager->lock);
		task->start_in_doubt = true;
		pthread_mutex_unlock(&task->manager->lock);
	}
	end_change(task, r == 0 ? ES_TASK_RUNNING : ES_TASK_CREATED);
	return r;
}

int es_task_wait(struct es_task *task, int timeout_ms, struct es_exit *ret)
{
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
	if (known)
		exit = task->exit;
	pthread_mutex_unlock(&m->lock);
	if (!known) {
		r = es_context_enter(m);
		if (r < 0)
			return r;
		r = es_monitor_wait(m->monitor, task->record.trace_id,
				    es_deadline_after_ms(timeout_ms), m->close_fd, &exit);
		es_task_note_exit(task);
		es_context_leave(m);
		if (r < 0)
			return r;
	}
	if (ret)
		*ret = exit;
	return 0;
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
	es_context_leave(task->manager);
	return r == -ENOENT ? -ESRCH : r;
}

/* A created task still has the runtime's process waiting for its start. */
static int end_init(struct es_task *task, struct es_error *error)
{
	struct es_exit exit;
	int r;

	if (es_task_note_exit(task))
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
	char log[4096];
	int r;

	runtime_of(task, log, sizeof(log), &runc);
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
	es_task_forbid_save(task);
	r = es_bundle_remove(task->bundle, error);
	if (r < 0)
		return r;
	es_step("delete.bundle");
	es_monitor_forget(task->manager->monitor, task->record.trace_id);
	es_step("delete.slot");
	es_registry_remove(task);
	return 0;
}

int es_task_delete(struct es_task *task, struct es_exit *ret, struct es_error *error)
{
	enum es_task_status status;
	int r;

	r = begin_change(task, ES_TASK_EVENT_DELETE, "delete", error);
	if (r < 0)
		return r;
	status = (enum es_task_status)task->status;
	/* The registry's reference goes; the caller's stays. */
	r = delete (task, error);
	end_change(task, r == 0 ? ES_TASK_DELETED : status);
	if (r == 0 && ret)
		*ret = task->exit;
	return r;
}
