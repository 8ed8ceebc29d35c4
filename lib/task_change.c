/* SPDX-License-Identifier: Apache-2.0 */
/* What every call that changes a task has around it: its turn, its state, its runtime. */
#include "task_change.h"

#include "clock.h"
#include "error.h"
#include "log.h"

void es_task_runtime(const struct es_task *task, char log_path[ES_TASK_LOG_PATH_MAX],
		     struct es_runc *ret)
{
	snprintf(log_path, ES_TASK_LOG_PATH_MAX, "%s/%s", es_bundle_dir(task->bundle),
		 ES_TASK_LOG_FILE);
	*ret = (struct es_runc){
		.program = task->record.runtime,
		.root = task->record.runtime_root,
		.id = task->id,
		/* The caller's bundle may be gone; ours is there for the log. */
		.bundle = es_bundle_dir(task->bundle),
		.log = log_path,
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

void es_task_refresh(struct es_task *task)
{
	/* The exit first: a process that is gone has no program any more. */
	if (!es_task_note_exit(task))
		resolve_doubt(task);
}

enum es_task_status es_task_current_status(const struct es_task *task)
{
	if (task->exit_known && task->status != ES_TASK_DELETED)
		return ES_TASK_STOPPED;
	return (enum es_task_status)task->status;
}

/* Until nobody else changes the task. Call with the lock held. 0, -EBUSY, -ESHUTDOWN. */
static int wait_for_turn(struct es_task *task)
{
	struct es_manager *m = task->manager;
	uint64_t deadline = es_deadline_after_ms(task->record.timeout_ms);
	struct timespec t = { .tv_sec = (time_t)(deadline / NSEC_PER_SEC),
			      .tv_nsec = (long)(deadline % NSEC_PER_SEC) };

	while (task->busy) {
		if (m->closed)
			return -ESHUTDOWN;
		if (pthread_cond_timedwait(&m->changed, &m->lock, &t) == ETIMEDOUT)
			return -EBUSY;
	}
	return 0;
}

int es_task_change_begin(struct es_task *task, enum es_task_event event, const char *verb,
			 struct es_error *error)
{
	enum es_task_status status = 0;
	struct es_manager *m;
	int turn, r;

	if (!task)
		return -EINVAL;
	m = task->manager;
	r = es_context_enter(m);
	if (r < 0)
		return es_error_set_errno(error, r, "cannot %s %s/%s", verb, task->namespace_,
					  task->id);
	es_task_refresh(task);
	pthread_mutex_lock(&m->lock);
	turn = wait_for_turn(task);
	if (turn == 0) {
		status = es_task_current_status(task);
		r = es_task_state_next(status, event);
		task->busy = r >= 0;
	}
	pthread_mutex_unlock(&m->lock);
	if (turn == 0 && r >= 0)
		return (int)status;
	es_context_leave(m);
	if (turn == -EBUSY)
		return es_error_set(error, turn, "cannot %s %s/%s: another call is changing it",
				    verb, task->namespace_, task->id);
	if (turn < 0)
		return es_error_set_errno(error, turn, "cannot %s %s/%s", verb, task->namespace_,
					  task->id);
	return es_error_set(error, r, "cannot %s %s/%s: it is %s", verb, task->namespace_, task->id,
			    es_task_status_name(status));
}

void es_task_change_end(struct es_task *task, uint32_t status)
{
	pthread_mutex_lock(&task->manager->lock);
	task->busy = false;
	task->status = status;
	task->listed = status != ES_TASK_DELETED;
	pthread_cond_broadcast(&task->manager->changed);
	pthread_mutex_unlock(&task->manager->lock);
	es_context_leave(task->manager);
}
