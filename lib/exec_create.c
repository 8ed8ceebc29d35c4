/* SPDX-License-Identifier: Apache-2.0 */
/* es_exec_create(): an additional process is asked for; nothing runs yet. */
#include <embedshim/exec.h>

#include <fcntl.h>
#include <string.h>

#include "error.h"
#include "exec_record.h"
#include "exec_registry.h"
#include "fs.h"
#include "opts.h"
#include "step.h"
#include "task_change.h"

static int check_process(struct es_json *json, const struct es_exec_opts *opts, bool *terminal)
{
	size_t size = opts->process_size ? opts->process_size : strlen(opts->process);
	int r;

	r = es_json_load(json, opts->process, size);
	if (r == -EBADMSG || (r == 0 && !es_json_is_object(json)))
		return es_error_set(opts->error, -EINVAL, "process is not a JSON object");
	if (r < 0)
		return r;
	r = es_json_get_bool(json, "$.terminal", terminal);
	if (r < 0 && r != -ENOENT)
		return es_error_set(opts->error, -EINVAL, "process.terminal is not a boolean");
	return 0;
}

/* Its directory with everything but the mark that makes it an exec: exec.json comes last. */
static int write_files(const struct es_exec *exec, struct es_json *json,
		       const struct es_exec_opts *opts)
{
	size_t size = opts->process_size ? opts->process_size : strlen(opts->process);
	struct es_exec_record record = { .trace_id = exec->trace_id };
	cleanup_fd int fd = -EBADF;
	int r;

	r = es_dir_make_all(exec->dir, 0700);
	if (r < 0)
		return r;
	es_step("exec.dir");
	fd = open(exec->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return es_neg_errno();
	r = es_file_write(fd, ES_EXEC_PROCESS_FILE, opts->process, size, 0600);
	if (r < 0)
		return r;
	es_step("exec.process");
	memcpy(record.id, exec->id, sizeof(record.id));
	memcpy(record.boot_id, exec->process.boot_id, sizeof(record.boot_id));
	memcpy(record.stream, exec->stream, sizeof(record.stream));
	record.terminal = exec->terminal;
	record.io_uid = exec->io_uid;
	record.io_gid = exec->io_gid;
	r = es_exec_record_write(exec->dir, json, &record);
	es_step("exec.record");
	return r;
}

static int fill(struct es_exec *exec, const struct es_exec_opts *opts)
{
	const char *const streams[3] = { opts->stdin_path, opts->stdout_path, opts->stderr_path };

	for (int i = 0; i < 3; i++) {
		if (!streams[i] || !*streams[i])
			continue;
		exec->stream[i] = strdup(streams[i]);
		if (!exec->stream[i])
			return -ENOMEM;
	}
	exec->io_uid = opts->io_uid;
	exec->io_gid = opts->io_gid;
	exec->process.trace_id = exec->trace_id;
	memcpy(exec->process.boot_id, exec->task->manager->boot_id, sizeof(exec->process.boot_id));
	return 0;
}

static int create(struct es_task *task, const char *id, const struct es_exec_opts *opts,
		  struct es_exec **ret)
{
	CLEANUP(cleanup_es_json_free) struct es_json *json = NULL;
	struct es_exec *exec;
	bool terminal = false;
	uint64_t trace_id;
	int r;

	if ((r = es_json_new(&json)) < 0 || (r = check_process(json, opts, &terminal)) < 0)
		return r;
	r = es_idalloc_next(task->manager->ids, &trace_id);
	if (r < 0)
		return es_error_set_errno(opts->error, r, "cannot take a trace ID");
	exec = es_exec_alloc(task, id, trace_id);
	if (!exec)
		return -ENOMEM;
	exec->terminal = terminal;
	r = fill(exec, opts);
	if (r == 0)
		r = es_exec_register(exec);
	if (r == -EEXIST)
		es_error_set(opts->error, r, "exec %s of %s/%s exists already", id,
			     task->namespace_, task->id);
	if (r == 0) {
		r = write_files(exec, json, opts);
		if (r < 0) {
			es_error_set_errno(opts->error, r, "cannot write %s", exec->dir);
			es_exec_remove_files(exec);
			es_exec_unregister(exec);
		}
	}
	if (r < 0) {
		es_exec_free(exec);
		return r;
	}
	*ret = exec;
	return 0;
}

int es_exec_create(struct es_task *task, const char *id, const struct es_exec_opts *caller_opts,
		   struct es_exec **ret)
{
	struct es_exec_opts opts;
	int r, status;

	if (!task || !id || !caller_opts || !ret)
		return -EINVAL;
	r = es_opts_copy(&opts, sizeof(opts), caller_opts);
	if (r < 0)
		return r;
	if (!opts.process)
		return es_error_set(opts.error, -EINVAL, "exec %.100s: no process is given", id);
	r = es_identifier_check(id);
	if (r < 0)
		return es_error_set(opts.error, r, "exec ID is not a valid identifier: \"%.100s\"",
				    id);
	if (opts.error)
		opts.error->code = 0;
	status = es_task_change_begin(task, ES_TASK_EVENT_EXEC, "exec in", opts.error);
	if (status < 0)
		return status;
	r = create(task, id, &opts, ret);
	es_task_change_end(task, (uint32_t)status);
	if (r < 0 && opts.error && opts.error->code == 0)
		es_error_set_errno(opts.error, r, "cannot add exec %s", id);
	return r;
}
