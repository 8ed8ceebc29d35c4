/* SPDX-License-Identifier: Apache-2.0 */
/* An additional process: state, wait, kill, delete, find. */
#include <embedshim/exec.h>

#include <signal.h>
#include <string.h>

#include "clock.h"
#include "error.h"
#include "exec_registry.h"
#include "process_io_end.h"
#include "step.h"

int es_exec_state(struct es_exec *exec, struct es_exec_state *ret)
{
	struct es_manager *m;
	int r;

	if (!exec || !ret)
		return -EINVAL;
	m = exec->task->manager;
	r = es_context_enter(m);
	if (r == -ECHILD)
		return r;
	if (r == 0) {
		es_exec_note_exit(exec);
		es_context_leave(m);
	}
	memset(ret, 0, sizeof(*ret));
	pthread_mutex_lock(&m->lock);
	ret->trace_id = exec->trace_id;
	ret->status = exec->exit_known && exec->status == ES_TASK_RUNNING ? ES_TASK_STOPPED
									  : exec->status;
	if (exec->status == ES_TASK_RUNNING || exec->exit_known)
		ret->pid = exec->process.pid;
	pthread_mutex_unlock(&m->lock);
	return 0;
}

static bool was_started(struct es_exec *exec)
{
	bool started;

	pthread_mutex_lock(&exec->task->manager->lock);
	started = exec->status == ES_TASK_RUNNING || exec->exit_known;
	pthread_mutex_unlock(&exec->task->manager->lock);
	return started;
}

static bool read_exit(struct es_exec *exec, struct es_exit *ret)
{
	bool known;

	pthread_mutex_lock(&exec->task->manager->lock);
	known = exec->exit_known;
	if (ret)
		*ret = exec->exit;
	pthread_mutex_unlock(&exec->task->manager->lock);
	return known;
}

int es_exec_wait(struct es_exec *exec, int timeout_ms, struct es_exit *ret)
{
	uint64_t deadline = es_deadline_after_ms(timeout_ms);
	struct es_manager *m;
	struct es_exit exit;
	int r;

	if (!exec || timeout_ms < -1)
		return -EINVAL;
	m = exec->task->manager;
	if (m->owner != getpid())
		return -ECHILD;
	if (read_exit(exec, ret))
		return 0;
	if (!was_started(exec))
		return -EBUSY;
	r = es_context_enter(m);
	if (r < 0)
		return r;
	r = es_monitor_wait(m->monitor, exec->trace_id, deadline, m->close_fd, &exit);
	es_exec_note_exit(exec);
	es_context_leave(m);
	return r == 0 || read_exit(exec, NULL) ? (read_exit(exec, ret), 0) : r;
}

int es_exec_kill(struct es_exec *exec, int signal)
{
	struct es_manager *m;
	int r;

	if (!exec || signal < 1 || signal > SIGRTMAX)
		return -EINVAL;
	m = exec->task->manager;
	r = es_context_enter(m);
	if (r < 0)
		return r;
	r = was_started(exec) ? es_monitor_signal(m->monitor, exec->trace_id, signal) : -EBUSY;
	es_context_leave(m);
	return r == -ENOENT ? -ESRCH : r;
}

static int begin_delete(struct es_exec *exec, struct es_error *error)
{
	const char *why = NULL;
	int r = -EBUSY;

	es_exec_note_exit(exec);
	pthread_mutex_lock(&exec->task->manager->lock);
	if (exec->status == ES_TASK_DELETED) {
		why = "it is deleted";
		r = -ENOENT;
	} else if (exec->starting) {
		why = "it is being started";
	} else if (exec->status == ES_TASK_RUNNING && !exec->exit_known) {
		why = "it is running";
	} else {
		/* Of several that delete at once this one does. */
		exec->status = ES_TASK_DELETED;
	}
	pthread_mutex_unlock(&exec->task->manager->lock);
	return why ? es_error_set(error, r, "cannot delete exec %s: %s", exec->id, why) : 0;
}

int es_exec_delete(struct es_exec *exec, struct es_exit *ret, struct es_error *error)
{
	struct es_manager *m;
	uint32_t status;
	int r;

	if (!exec)
		return -EINVAL;
	m = exec->task->manager;
	r = es_context_enter(m);
	if (r < 0)
		return es_error_set_errno(error, r, "cannot delete exec %s", exec->id);
	pthread_mutex_lock(&m->lock);
	status = exec->status;
	pthread_mutex_unlock(&m->lock);
	r = begin_delete(exec, error);
	if (r == 0) {
		es_process_io_end(exec->dir, m->reaper);
		es_step("exec.streams");
		r = es_exec_remove_files(exec);
		es_step("exec.removed");
		if (r < 0) {
			es_error_set_errno(error, r, "cannot remove %s", exec->dir);
			pthread_mutex_lock(&m->lock);
			exec->status = status;
			pthread_mutex_unlock(&m->lock);
		}
	}
	if (r == 0) {
		es_exec_set_told(exec);
		es_monitor_forget(m->monitor, exec->trace_id);
		es_step("exec.slot");
		es_exec_unregister(exec);
		read_exit(exec, ret);
	}
	es_context_leave(m);
	return r;
}

/* Find */

int es_task_get_exec(struct es_task *task, const char *id, struct es_exec **ret)
{
	struct es_exec *exec;

	if (!task || !id || !ret)
		return -EINVAL;
	if (task->manager->owner != getpid())
		return -ECHILD;
	exec = es_exec_find(task, id);
	if (!exec)
		return -ENOENT;
	*ret = exec;
	return 0;
}

int es_task_list_execs(struct es_task *task, struct es_exec ***ret_list)
{
	struct es_exec **list, *exec;
	size_t n = 0;

	if (!task || !ret_list)
		return -EINVAL;
	if (task->manager->owner != getpid())
		return -ECHILD;
	pthread_mutex_lock(&task->manager->lock);
	TAILQ_FOREACH(exec, &task->execs, link)
	n++;
	list = calloc(n + 1, sizeof(struct es_exec *));
	n = 0;
	if (list) {
		TAILQ_FOREACH(exec, &task->execs, link)
		{
			exec->refs++;
			list[n++] = exec;
		}
	}
	pthread_mutex_unlock(&task->manager->lock);
	if (!list)
		return -ENOMEM;
	*ret_list = list;
	return (int)n;
}

void es_exec_list_free(struct es_exec **list)
{
	if (!list)
		return;
	for (struct es_exec **exec = list; *exec; exec++)
		es_exec_free(*exec);
	free(list);
}

const char *es_exec_id(const struct es_exec *exec)
{
	return exec ? exec->id : NULL;
}

const char *es_exec_stream(const struct es_exec *exec, int stream)
{
	return exec && stream >= 0 && stream <= 2 ? exec->stream[stream] : NULL;
}
