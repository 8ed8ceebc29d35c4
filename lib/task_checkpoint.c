/* SPDX-License-Identifier: Apache-2.0 */
/* Write a container to disk with criu. */
#include <embedshim/checkpoint.h>

#include <fcntl.h>
#include <string.h>

#include "criu.h"
#include "error.h"
#include "fs.h"
#include "opts.h"
#include "step.h"
#include "task_change.h"

#define EMPTY_NAMESPACES_MAX 8
#define DUMP_LOG_MAX	     (4 << 20)

static int check_opts(const struct es_checkpoint_opts *opts)
{
	const uint32_t known = ES_CHECKPOINT_EXIT | ES_CHECKPOINT_TCP | ES_CHECKPOINT_UNIX_SOCKETS |
			       ES_CHECKPOINT_SHELL_JOB | ES_CHECKPOINT_FILE_LOCKS;
	size_t n = 0;

	if (!opts->image_path || opts->image_path[0] != '/')
		return es_error_set(opts->error, -EINVAL,
				    "image_path must be an absolute path, not %s",
				    opts->image_path ? opts->image_path : "NULL");
	if (opts->work_path && opts->work_path[0] != '/')
		return es_error_set(opts->error, -EINVAL, "work_path is not an absolute path: %s",
				    opts->work_path);
	if (opts->flags & ~known)
		return es_error_set(opts->error, -EINVAL, "unknown flags %#x",
				    opts->flags & ~known);
	while (opts->empty_namespaces && opts->empty_namespaces[n])
		n++;
	if (n > EMPTY_NAMESPACES_MAX)
		return es_error_set(opts->error, -EINVAL, "more than %d empty namespaces",
				    EMPTY_NAMESPACES_MAX);
	return 0;
}

/* criu tells why in a file, of which the runtime repeats a line at best. */
static void keep_dump_log(const struct es_task *task, const char *work)
{
	cleanup_fd int from = open(work, O_PATH | O_DIRECTORY | O_CLOEXEC);
	cleanup_free char *text = NULL;
	size_t size;

	if (from >= 0 && es_file_read(from, "dump.log", DUMP_LOG_MAX, &text, &size) == 0)
		es_bundle_write(task->bundle, "criu-dump.log", text, size);
}

static int checkpoint(struct es_task *task, const struct es_checkpoint_opts *opts)
{
	CLEANUP(es_criu_env_clear) char *env = NULL;
	cleanup_free char *own_work = NULL;
	const char *work = opts->work_path;
	char log[ES_TASK_LOG_PATH_MAX];
	struct es_runc runc;
	int r;

	if (!work) {
		r = es_path_join(&own_work, es_bundle_work_dir(task->bundle), "criu-work");
		if (r < 0)
			return r;
		work = own_work;
	}
	r = es_dir_make_all(work, 0711);
	if (r < 0)
		return es_error_set_errno(opts->error, r, "cannot make %s", work);
	es_step("checkpoint.work");
	r = es_criu_dump_streams(task->init.pid, opts->image_path, work, &env);
	if (r < 0)
		return es_error_set_errno(opts->error, r, "cannot name the streams to criu");
	es_task_runtime(task, log, &runc);
	r = es_runc_checkpoint(&runc, opts, work, env, opts->error);
	es_step("checkpoint.runtime");
	if (own_work) {
		cleanup_fd int fd =
			open(es_bundle_work_dir(task->bundle), O_PATH | O_DIRECTORY | O_CLOEXEC);

		if (r < 0)
			keep_dump_log(task, work);
		if (fd >= 0)
			es_tree_remove(fd, "criu-work");
		es_step("checkpoint.work_removed");
	}
	return r;
}

int es_task_checkpoint(struct es_task *task, const struct es_checkpoint_opts *caller_opts)
{
	struct es_checkpoint_opts opts;
	int r, status;

	if (!task || !caller_opts)
		return -EINVAL;
	r = es_opts_copy(&opts, sizeof(opts), caller_opts);
	if (r < 0)
		return r;
	r = check_opts(&opts);
	if (r < 0)
		return r;
	status = es_task_change_begin(task, ES_TASK_EVENT_CHECKPOINT, "checkpoint", opts.error);
	if (status < 0)
		return status;
	r = checkpoint(task, &opts);
	es_task_change_end(task, (uint32_t)status);
	return r;
}
