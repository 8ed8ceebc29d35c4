/* SPDX-License-Identifier: Apache-2.0 */
/* es_exec_start(): from a runtime command to a process whose exit cannot be missed. */
#include <embedshim/exec.h>

#include <fcntl.h>

#include "error.h"
#include "exec_record.h"
#include "exec_registry.h"
#include "fs.h"
#include "process_io.h"
#include "process_io_end.h"
#include "process_start.h"
#include "step.h"
#include "task_change.h"

static int serve_streams(struct es_exec *exec, struct es_process_io *io, struct es_json *json,
			 struct es_error *error)
{
	const struct es_task *task = exec->task;
	const char *const name[] = { task->namespace_, task->id, exec->id, NULL };
	const struct es_process_io_opts opts = {
		.dir = exec->dir,
		.stream = (const char *const *)exec->stream,
		.name = name,
		.boot_id = task->manager->boot_id,
		.helper = task->manager->io_helper,
		.reaper = task->manager->reaper,
		.terminal = exec->terminal,
		.uid = exec->io_uid,
		.gid = exec->io_gid,
		.timeout_ms = task->record.timeout_ms,
	};
	int r;

	/* Of an earlier try that a crash interrupted. */
	es_process_io_end(exec->dir, task->manager->reaper);
	r = es_task_io_open(&io->stream, opts.stream, error);
	if (r == 0)
		r = es_process_io_start(io, &opts, json, error);
	return r < 0 ? r : es_process_io_open_stdin(exec->dir, exec->stream[0], error);
}

static int run_runtime(struct es_exec *exec, struct es_process_io *io, struct es_json *json,
		       struct es_error *error)
{
	cleanup_free char *log = NULL, *pid_file = NULL, *process = NULL;
	struct es_manager *m = exec->task->manager;
	char unused[ES_TASK_LOG_PATH_MAX];
	struct es_runc_exec command;
	struct es_runc runc;
	int r;

	r = serve_streams(exec, io, json, error);
	if (r < 0)
		return r;
	if ((r = es_path_join(&log, exec->dir, ES_TASK_LOG_FILE)) < 0 ||
	    (r = es_path_join(&pid_file, exec->dir, ES_PID_FILE)) < 0 ||
	    (r = es_path_join(&process, exec->dir, ES_EXEC_PROCESS_FILE)) < 0)
		return r;
	/* Of an earlier try. */
	es_pid_file_remove(exec->dir);
	r = es_process_reserve(m, exec->trace_id, error);
	if (r < 0)
		return r;
	es_task_runtime(exec->task, unused, &runc);
	runc.log = log;
	command = (struct es_runc_exec){
		.process_file = process,
		.pid_file = pid_file,
		.console_socket = *io->console_socket ? io->console_socket : NULL,
		.io = &io->stream,
		.mark_prog_fd = es_exitsnoop_mark_prog_fd(es_monitor_exitsnoop(m->monitor)),
		.trace_id = exec->trace_id,
	};
	return es_runc_exec(&runc, &command, error);
}

static int start(struct es_exec *exec, struct es_error *error)
{
	CLEANUP(es_process_io_close) struct es_process_io io = ES_PROCESS_IO_NULL;
	CLEANUP(cleanup_es_json_free) struct es_json *json = NULL;
	struct es_manager *m = exec->task->manager;
	struct es_pidref ref = ES_PIDREF_UNSET;
	int r;

	r = es_json_new(&json);
	if (r == 0)
		r = run_runtime(exec, &io, json, error);
	es_step("exec.runtime");
	if (r == 0)
		r = es_process_resolve(m, exec->dir, &exec->process, &ref, error);
	if (r == 0) {
		r = es_process_io_watch(exec->dir, &ref);
		if (r < 0)
			es_error_set_errno(error, r,
					   "the helper of the terminal or standard input "
					   "of exec %s does not answer",
					   exec->id);
	}
	es_step("exec.io_watched");
	if (r == 0) {
		r = es_process_record_write(exec->dir, json, &exec->process);
		if (r < 0)
			es_error_set_errno(error, r, "%s/init.json", exec->dir);
	}
	es_step("exec.init");
	if (r == 0) {
		/* Counted first: another thread may take the exit as soon as it is watched. */
		es_exec_set_running(exec);
		r = es_process_watch(m, exec->trace_id, &ref);
	}
	es_pidref_close(&ref);
	return r;
}

/* Nothing of a start that failed may stay: no process, no slot, no file but those of create. */
static void undo_start(struct es_exec *exec)
{
	struct es_manager *m = exec->task->manager;
	cleanup_fd int fd = open(exec->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

	es_process_kill_followed(m, exec->trace_id);
	es_process_io_end(exec->dir, m->reaper);
	es_monitor_forget(m->monitor, exec->trace_id);
	if (fd >= 0) {
		unlinkat(fd, "init.json", 0);
		es_pid_file_remove(exec->dir);
	}
	pthread_mutex_lock(&m->lock);
	if (exec->status == ES_TASK_RUNNING) {
		exec->task->running_execs--;
		exec->task->untold_execs--;
	}
	exec->status = ES_TASK_CREATED;
	exec->process.pid = 0;
	pthread_mutex_unlock(&m->lock);
}

static int begin_start(struct es_exec *exec, struct es_error *error)
{
	struct es_task *task = exec->task;
	enum es_task_status status;
	int r;

	r = es_context_enter(task->manager);
	if (r < 0)
		return es_error_set_errno(error, r, "cannot start exec %s", exec->id);
	es_task_refresh(task);
	pthread_mutex_lock(&task->manager->lock);
	status = es_task_current_status(task);
	if (exec->status == ES_TASK_DELETED)
		r = es_error_set(error, -EBUSY, "cannot start exec %s: it is deleted", exec->id);
	else if (exec->status != ES_TASK_CREATED || exec->starting)
		r = es_error_set(error, -EBUSY, "cannot start exec %s: it was started before",
				 exec->id);
	else if (task->gone_since_ns || (status != ES_TASK_RUNNING && status != ES_TASK_CREATED &&
					 status != ES_TASK_PAUSED && status != ES_TASK_PAUSING))
		r = es_error_set(error, -EBUSY,
				 "cannot start exec %s: the init process of %s/%s is not running",
				 exec->id, task->namespace_, task->id);
	if (r == 0) {
		exec->starting = true;
		task->starting_execs++;
	}
	pthread_mutex_unlock(&task->manager->lock);
	if (r < 0)
		es_context_leave(task->manager);
	return r;
}

static void end_start(struct es_exec *exec)
{
	struct es_task *task = exec->task;
	bool wake;

	pthread_mutex_lock(&task->manager->lock);
	exec->starting = false;
	task->starting_execs--;
	wake = task->gone_since_ns != 0;
	pthread_cond_broadcast(&task->manager->changed);
	pthread_mutex_unlock(&task->manager->lock);
	if (wake)
		es_context_wake(task->manager);
	es_context_leave(task->manager);
}

int es_exec_start(struct es_exec *exec, struct es_error *error)
{
	int r;

	if (!exec)
		return -EINVAL;
	if (error)
		error->code = 0;
	r = begin_start(exec, error);
	if (r < 0)
		return r;
	r = start(exec, error);
	if (r < 0) {
		undo_start(exec);
		if (error && error->code == 0)
			es_error_set_errno(error, r, "cannot start exec %s", exec->id);
	}
	end_start(exec);
	return r;
}
