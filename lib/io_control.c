/* SPDX-License-Identifier: Apache-2.0 */
/* Terminals and standard inputs of what runs: resize, close. */
#include <embedshim/exec.h>

#include "exec_registry.h"
#include "io_helper.h"
#include "log.h"

#define SIDE_MAX 65535 /* unsigned short in struct winsize */

/* Whose helper is asked. */
struct target {
	struct es_manager *manager;
	uint64_t trace_id;
	const char *dir;
	const char *name;
	bool started;
	bool starting; /* its client can know of it by its FIFOs already */
};

static bool has_exited(const struct target *t)
{
	struct es_exit exit;

	return es_monitor_exit(t->manager->monitor, t->trace_id, &exit) == 0;
}

/* Its answer. -ESRCH: the process it served has ended, and so has the helper. */
static int ask(const struct target *t, const struct es_io_request *request)
{
	int r;

	if (!t->started && !t->starting)
		return -EBUSY;
	if (has_exited(t))
		return -ESRCH;
	r = es_io_helper_ask(t->dir, request, NULL, 0);
	if (r == -ENOENT && t->starting)
		return -EBUSY;
	if (r != -ENOENT && r != -ECONNREFUSED && r != -EPIPE)
		return r;
	if (has_exited(t))
		return -ESRCH;
	es_log(ES_LOG_WARNING,
	       "embedshim-io of %s is gone: the process goes on without its terminal or stdin",
	       t->name);
	return -EPIPE;
}

static int resize(const struct target *t, uint32_t columns, uint32_t rows)
{
	const struct es_io_request request = { .command = ES_IO_RESIZE, .a = columns, .b = rows };

	return ask(t, &request);
}

static int close_stdin(const struct target *t)
{
	const struct es_io_request request = { .command = ES_IO_CLOSE_STDIN };
	int r = ask(t, &request);

	return r == -ESRCH ? 0 : r;
}

/* Enters the context. */
static int target_task(struct es_task *task, struct target *ret)
{
	int r = es_context_enter(task->manager);

	if (r < 0)
		return r;
	*ret = (struct target){ .manager = task->manager,
				.trace_id = task->record.trace_id,
				.dir = es_bundle_dir(task->bundle),
				.name = task->id };
	pthread_mutex_lock(&task->manager->lock);
	/* One that is to be restored has no process yet. */
	ret->started = task->init.pid != 0;
	if (task->status == ES_TASK_DELETED)
		r = -ESRCH;
	pthread_mutex_unlock(&task->manager->lock);
	if (r < 0)
		es_context_leave(task->manager);
	return r;
}

static int target_exec(struct es_exec *exec, struct target *ret)
{
	struct es_manager *m = exec->task->manager;
	int r = es_context_enter(m);

	if (r < 0)
		return r;
	*ret = (struct target){
		.manager = m, .trace_id = exec->trace_id, .dir = exec->dir, .name = exec->id
	};
	pthread_mutex_lock(&m->lock);
	ret->started = exec->status == ES_TASK_RUNNING;
	ret->starting = exec->starting;
	if (exec->status == ES_TASK_DELETED || exec->exit_known)
		r = -ESRCH;
	pthread_mutex_unlock(&m->lock);
	if (r < 0)
		es_context_leave(m);
	return r;
}

int es_task_has_terminal(const struct es_task *task)
{
	return task && task->record.flags & ES_TASK_TERMINAL ? 1 : 0;
}

int es_exec_has_terminal(const struct es_exec *exec)
{
	return exec && exec->terminal ? 1 : 0;
}

int es_task_resize(struct es_task *task, uint32_t columns, uint32_t rows)
{
	struct target target;
	int r;

	if (!task || columns > SIDE_MAX || rows > SIDE_MAX)
		return -EINVAL;
	if (!es_task_has_terminal(task))
		return -ENOTTY;
	r = target_task(task, &target);
	if (r < 0)
		return r;
	r = resize(&target, columns, rows);
	es_context_leave(task->manager);
	return r;
}

int es_exec_resize(struct es_exec *exec, uint32_t columns, uint32_t rows)
{
	struct target target;
	int r;

	if (!exec || columns > SIDE_MAX || rows > SIDE_MAX)
		return -EINVAL;
	if (!exec->terminal)
		return -ENOTTY;
	r = target_exec(exec, &target);
	if (r < 0)
		return r;
	r = resize(&target, columns, rows);
	es_context_leave(exec->task->manager);
	return r;
}

int es_task_close_stdin(struct es_task *task)
{
	struct target target;
	int r;

	if (!task)
		return -EINVAL;
	r = target_task(task, &target);
	if (r < 0)
		return r == -ESRCH ? 0 : r;
	r = task->record.stream[0] ? close_stdin(&target) : 0;
	es_context_leave(task->manager);
	return r;
}

int es_exec_close_stdin(struct es_exec *exec)
{
	struct target target;
	int r;

	if (!exec)
		return -EINVAL;
	r = target_exec(exec, &target);
	if (r < 0)
		return r == -ESRCH ? 0 : r;
	r = exec->stream[0] ? close_stdin(&target) : 0;
	es_context_leave(exec->task->manager);
	return r;
}
