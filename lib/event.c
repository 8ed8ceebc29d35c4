/* SPDX-License-Identifier: Apache-2.0 */
/* What happened to tasks, in an order that makes sense: OOM kills, exits of execs, init's exit. */
#include "event.h"

#include "exec_registry.h"
#include "rollback.h"

/* A task whose exit was held back; its reference is the caller's. NULL: none (that is ready). */
static struct es_task *take_held(struct es_manager *m, bool ready_only)
{
	struct es_task *task;

	pthread_mutex_lock(&m->lock);
	TAILQ_FOREACH(task, &m->held, held_link)
	if (!ready_only || (task->exit_known && task->untold_execs == 0))
		break;
	if (task) {
		TAILQ_REMOVE(&m->held, task, held_link);
		task->held = false;
	}
	pthread_mutex_unlock(&m->lock);
	return task;
}

void es_event_drop_held(struct es_manager *m)
{
	struct es_task *task;

	while ((task = take_held(m, false)))
		es_task_free(task);
}

/* Keep an exit until those of its execs have been handed out. Takes the reference. */
static void hold(struct es_task *task)
{
	struct es_manager *m = task->manager;
	bool drop;

	pthread_mutex_lock(&m->lock);
	drop = task->held;
	if (!drop)
		TAILQ_INSERT_TAIL(&m->held, task, held_link);
	task->held = true;
	pthread_mutex_unlock(&m->lock);
	if (drop)
		es_task_free(task);
}

/* See again whether those that hold exits back have ended: some wait for a time only. */
static void refresh_held(struct es_manager *m)
{
	struct es_task *task, *again = NULL;

	/* The list changes only here and in next_event(); one round is enough. */
	for (;;) {
		pthread_mutex_lock(&m->lock);
		task = again ? TAILQ_NEXT(again, held_link) : TAILQ_FIRST(&m->held);
		if (again && !again->held)
			task = NULL;
		if (task)
			task->refs++;
		pthread_mutex_unlock(&m->lock);
		es_task_free(again);
		if (!task)
			return;
		es_task_note_exit(task);
		again = task;
	}
}

static int exit_event(struct es_task *task, struct es_event *ret)
{
	ret->type = ES_EVENT_EXIT;
	ret->exit = task->exit;
	ret->task = task;
	return 1;
}

/* What was killed for memory comes before any exit that it led to. */
static int oom_event(struct es_task *task, struct es_event *ret)
{
	ret->type = ES_EVENT_OOM;
	ret->task = task;
	return 1;
}

static int exec_event(struct es_exec *exec, struct es_event *ret)
{
	struct es_manager *m = exec->task->manager;
	bool known;

	es_task_ref(exec->task);
	ret->task = exec->task;
	if (es_task_take_oom(exec->task)) {
		es_monitor_untake_exit(m->monitor, exec->trace_id);
		es_exec_free(exec);
		ret->type = ES_EVENT_OOM;
		return 1;
	}
	known = es_exec_note_exit(exec);
	if (known)
		ret->exit = exec->exit;
	es_exec_set_told(exec);
	ret->type = ES_EVENT_EXEC_EXIT;
	ret->exec = exec;
	return 1;
}

static bool is_ready(struct es_task *task)
{
	bool ready;

	pthread_mutex_lock(&task->manager->lock);
	ready = task->untold_execs == 0;
	pthread_mutex_unlock(&task->manager->lock);
	return es_task_note_exit(task) && ready;
}

/* The exit of a process that is known: of an exec, or of a task, which may have to wait. */
static int event_of_exit(struct es_manager *m, uint64_t trace_id, struct es_event *ret)
{
	struct es_exec *exec = es_exec_find_trace_id(m, trace_id);
	struct es_task *task;

	if (exec)
		return exec_event(exec, ret);
	task = es_registry_find_trace_id(m, trace_id);
	if (!task)
		return 0;
	if (es_task_take_oom(task)) {
		es_monitor_untake_exit(m->monitor, trace_id);
		return oom_event(task, ret);
	}
	if (is_ready(task))
		return exit_event(task, ret);
	hold(task);
	return 0;
}

/* A task whose exit was held back and is not any more. */
static int held_event(struct es_manager *m, struct es_event *ret)
{
	struct es_task *task;

	refresh_held(m);
	task = take_held(m, true);
	if (!task)
		return 0;
	if (es_task_take_oom(task)) {
		es_task_ref(task);
		hold(task);
		return oom_event(task, ret);
	}
	return exit_event(task, ret);
}

static int next_oom(struct es_manager *m, struct es_event *ret)
{
	struct es_task *task;
	uint64_t trace_id;
	int r;

	while ((r = es_oom_watch_next(es_exitsnoop_oom(es_monitor_exitsnoop(m->monitor)),
				      &trace_id)) > 0) {
		task = es_registry_find_trace_id(m, trace_id);
		if (task)
			return oom_event(task, ret);
	}
	return r;
}

static int next_event(struct es_manager *m, struct es_event *ret)
{
	struct es_exit exit;
	uint64_t woken;
	ssize_t n;
	int r;

	n = read(m->ready_fd, &woken, sizeof(woken));
	(void)n;
	for (;;) {
		r = es_monitor_next_exit(m->monitor, &exit);
		if (r < 0)
			return r;
		if (r > 0) {
			r = event_of_exit(m, exit.trace_id, ret);
			if (r == 0)
				continue;
			return r;
		}
		return held_event(m, ret);
	}
}

int es_manager_next_event(struct es_manager *m, struct es_event *ret)
{
	struct es_event event = { 0 };
	int r;

	if (!ret)
		return -EINVAL;
	r = es_context_enter(m);
	if (r < 0)
		return r;
	r = next_oom(m, &event);
	if (r == 0)
		r = next_event(m, &event);
	if (r == 0) {
		/* Nobody waits for an exit now: the time for what can be done later. */
		es_task_save_exits(m);
		es_reaper_run(m->reaper);
		es_rollback_drive(m);
	}
	es_context_leave(m);
	if (r > 0)
		*ret = event;
	return r;
}

void es_event_clear(struct es_event *event)
{
	if (!event)
		return;
	es_exec_free(event->exec);
	es_task_free(event->task);
	event->exec = NULL;
	event->task = NULL;
}
