/* SPDX-License-Identifier: Apache-2.0 */
/* es_task_create(): from a bundle to a container whose exit cannot be missed. */
#include <embedshim/task.h>

#include <fcntl.h>
#include <string.h>

#include "error.h"
#include "fs.h"
#include "json.h"
#include "opts.h"
#include "process_start.h"
#include "rollback.h"
#include "runc.h"
#include "spawn.h"
#include "step.h"
#include "task_init.h"

#define CONFIG_SIZE_MAX (16 << 20)

/* One create under way. */
struct creation {
	struct es_manager *manager;
	struct es_task *task;
	struct es_task_opts opts;
	struct es_json *json;
	struct es_process_io io;
	struct es_rollback_opts undo;
};

static void creation_clear(struct creation *c)
{
	es_json_free(c->json);
	es_process_io_close(&c->io);
	es_task_free(c->task);
}

static int check_opts(const struct es_task_opts *opts)
{
	const uint32_t known = ES_TASK_NO_PIVOT | ES_TASK_NO_NEW_KEYRING | ES_TASK_SYSTEMD_CGROUP;

	if (opts->bundle_dir && opts->spec)
		return es_error_set(opts->error, -EINVAL, "both bundle_dir and spec are given");
	if (opts->bundle_dir && opts->bundle_dir[0] != '/')
		return es_error_set(opts->error, -EINVAL, "bundle_dir is not an absolute path: %s",
				    opts->bundle_dir);
	if (opts->runtime_root && opts->runtime_root[0] != '/')
		return es_error_set(opts->error, -EINVAL,
				    "runtime_root is not an absolute path: %s", opts->runtime_root);
	if ((opts->restore_path && opts->restore_path[0] != '/') ||
	    (opts->restore_work_path && opts->restore_work_path[0] != '/'))
		return es_error_set(opts->error, -EINVAL, "restore paths must be absolute");
	if (opts->flags & ~known)
		return es_error_set(opts->error, -EINVAL, "unknown flags %#x",
				    opts->flags & ~known);
	return 0;
}

static int check_identifier(const char *what, const char *id, struct es_error *error)
{
	int r = es_identifier_check(id);

	if (r == -ENAMETOOLONG)
		return es_error_set(error, r, "%s is longer than %d bytes: %.100s", what, ES_ID_MAX,
				    id);
	if (r < 0)
		return es_error_set(error, r, "%s is not a valid identifier: \"%.100s\"", what,
				    id ? id : "");
	return 0;
}

static int copy_string(char **ret, const char *s)
{
	*ret = s && *s ? strdup(s) : NULL;
	return s && *s && !*ret ? -ENOMEM : 0;
}

/* What task.json will say, but for the bundle and the trace ID. */
static int fill_record(struct creation *c)
{
	const char *root = c->opts.runtime_root ? c->opts.runtime_root : c->manager->runtime_root;
	const char *runtime = c->opts.runtime ? c->opts.runtime : c->manager->runtime;
	struct es_task_record *record = &c->task->record;
	int r;

	memcpy(record->boot_id, c->manager->boot_id, sizeof(record->boot_id));
	record->flags = c->opts.flags;
	record->io_uid = c->opts.io_uid;
	record->io_gid = c->opts.io_gid;
	record->timeout_ms =
		c->opts.runtime_timeout_ms ? c->opts.runtime_timeout_ms : c->manager->timeout_ms;
	r = es_spawn_find_program(runtime, &record->runtime);
	if (r < 0)
		return es_error_set_errno(c->opts.error, r, "OCI runtime \"%s\"", runtime);
	if ((r = es_path_join(&record->runtime_root, root, c->task->namespace_)) < 0 ||
	    (r = copy_string(&record->stream[0], c->opts.stdin_path)) < 0 ||
	    (r = copy_string(&record->stream[1], c->opts.stdout_path)) < 0 ||
	    (r = copy_string(&record->stream[2], c->opts.stderr_path)) < 0 ||
	    (r = copy_string(&record->restore_path, c->opts.restore_path)) < 0 ||
	    (r = copy_string(&record->restore_work_path, c->opts.restore_work_path)) < 0)
		return r;
	return 0;
}

/* The bundle that holds our files, and the one that the runtime works on. */
static int make_bundle(struct creation *c)
{
	struct es_bundle_opts opts = { .size = sizeof(opts),
				       .spec = c->opts.spec,
				       .spec_size = c->opts.spec_size,
				       .error = c->opts.error };
	struct es_task *task = c->task;
	int r;

	if (c->opts.spec || c->opts.bundle_dir) {
		r = es_bundle_begin(c->manager->store, task->namespace_, task->id, &opts,
				    &task->bundle);
	} else {
		r = es_bundle_open(c->manager->store, task->namespace_, task->id, &task->bundle);
		if (r == -ENOENT)
			return es_error_set(c->opts.error, r,
					    "no bundle of %s/%s: give bundle_dir or spec, or make "
					    "it in the store first",
					    task->namespace_, task->id);
		/* From here on it is a task in the making: only the end makes it valid again. */
		if (r == 0)
			r = es_bundle_uncommit(task->bundle, c->opts.error);
	}
	if (r < 0)
		return r;
	return copy_string(&task->record.oci_bundle,
			   c->opts.bundle_dir ? c->opts.bundle_dir : es_bundle_dir(task->bundle));
}

/* Whether the container is given no PID namespace of its own, or is to join one. */
static int shares_pid_namespace(struct es_json *json)
{
	size_t n = 0;
	int r;

	r = es_json_get_length(json, "$.linux.namespaces", &n);
	if (r == -ENOMEM)
		return r;
	for (size_t i = 0; i < n; i++) {
		cleanup_free char *type = NULL, *path = NULL;
		char key[64];

		snprintf(key, sizeof(key), "$.linux.namespaces[%zu].type", i);
		if (es_json_get_string(json, key, &type) < 0 || strcmp(type, "pid") != 0)
			continue;
		snprintf(key, sizeof(key), "$.linux.namespaces[%zu].path", i);
		return es_json_get_string(json, key, &path) == 0 && *path;
	}
	return 1;
}

/* The runtime reads config.json itself; a clear word on what we cannot serve comes from here. */
static int check_config(struct creation *c)
{
	const char *dir = c->task->record.oci_bundle;
	cleanup_free char *text = NULL;
	cleanup_fd int fd = -EBADF;
	bool terminal = false;
	size_t size;
	int r;

	fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) {
		r = es_neg_errno();
		return es_error_set_errno(c->opts.error, r, "bundle %s", dir);
	}
	r = es_file_read(fd, "config.json", CONFIG_SIZE_MAX, &text, &size);
	if (r < 0)
		return es_error_set_errno(c->opts.error, r, "%s/config.json", dir);
	r = es_json_load(c->json, text, size);
	if (r == -EBADMSG)
		return es_error_set(c->opts.error, -EINVAL, "%s/config.json is not valid JSON",
				    dir);
	if (r < 0)
		return r;
	r = es_json_get_bool(c->json, "$.process.terminal", &terminal);
	if (r < 0 && r != -ENOENT)
		return es_error_set(c->opts.error, -EINVAL,
				    "%s/config.json: process.terminal is not a boolean", dir);
	r = shares_pid_namespace(c->json);
	if (r < 0)
		return r;
	if (r > 0)
		c->task->record.flags |= ES_TASK_SHARES_PIDNS;
	if (terminal)
		c->task->record.flags |= ES_TASK_TERMINAL;
	return 0;
}

/* task.json, with the ID under which the exit will be known. */
static int write_record(struct creation *c)
{
	struct es_task *task = c->task;
	int r;

	r = es_idalloc_next(c->manager->ids, &task->record.trace_id);
	if (r < 0)
		return es_error_set_errno(c->opts.error, r, "cannot take a trace ID");
	r = es_registry_add_trace_id(task);
	if (r < 0)
		return r;
	r = es_task_record_write(task->bundle, c->json, &task->record);
	if (r < 0)
		return es_error_set_errno(c->opts.error, r, "%s/task.json",
					  es_bundle_dir(task->bundle));
	es_step("create.record");
	return 0;
}

static int run_runtime(struct creation *c)
{
	struct es_task *task = c->task;
	cleanup_free char *log = NULL, *pid_file = NULL;
	struct es_runc runc = {
		.program = task->record.runtime,
		.root = task->record.runtime_root,
		.id = task->id,
		.bundle = task->record.oci_bundle,
		.systemd_cgroup = task->record.flags & ES_TASK_SYSTEMD_CGROUP,
		.timeout_ms = task->record.timeout_ms,
	};
	struct es_runc_create create = {
		.no_pivot = task->record.flags & ES_TASK_NO_PIVOT,
		.no_new_keyring = task->record.flags & ES_TASK_NO_NEW_KEYRING,
		.io = &c->io.stream,
		.mark_prog_fd =
			es_exitsnoop_mark_prog_fd(es_monitor_exitsnoop(c->manager->monitor)),
		.trace_id = task->record.trace_id,
	};
	int r;

	if ((r = es_path_join(&log, es_bundle_dir(task->bundle), ES_TASK_LOG_FILE)) < 0 ||
	    (r = es_path_join(&pid_file, es_bundle_dir(task->bundle), ES_PID_FILE)) < 0)
		return r;
	/* runc makes its own directory below, but not the parents of its root. */
	r = es_dir_make_all(task->record.runtime_root, 0711);
	if (r < 0)
		return es_error_set_errno(c->opts.error, r, "cannot make %s",
					  task->record.runtime_root);
	r = es_task_serve_streams(task, &c->io, c->json, c->opts.error);
	if (r < 0)
		return r;
	runc.log = log;
	create.pid_file = pid_file;
	create.console_socket = *c->io.console_socket ? c->io.console_socket : NULL;
	c->undo.runtime_ran = true;
	r = es_runc_create(&runc, &create, c->opts.error);
	if (r == -ETIMEDOUT)
		c->undo.runtime_killed = true;
	return r;
}

static void set_status(struct es_task *task, uint32_t status, bool listed)
{
	pthread_mutex_lock(&task->manager->lock);
	task->status = status;
	task->listed = listed;
	pthread_mutex_unlock(&task->manager->lock);
}

static int commit(struct creation *c)
{
	struct es_pidref ref = ES_PIDREF_UNSET;
	struct es_task *task = c->task;
	int r;

	task->init.trace_id = task->record.trace_id;
	memcpy(task->init.boot_id, task->record.boot_id, sizeof(task->init.boot_id));
	r = es_process_resolve(c->manager, es_bundle_dir(task->bundle), &task->init, &ref,
			       c->opts.error);
	if (r == 0)
		r = es_task_watch_streams(task, &ref, c->opts.error);
	if (r == 0)
		r = es_task_record_init(task, c->json, &ref, c->opts.error);
	if (r == 0)
		r = es_bundle_commit(task->bundle, c->opts.error);
	if (r == 0) {
		es_step("create.committed");
		/* With a status first: another thread may take the exit as soon as it is watched.
		 */
		set_status(task, ES_TASK_CREATED, false);
		r = es_process_watch(c->manager, task->record.trace_id, &ref);
	}
	es_pidref_close(&ref);
	set_status(task, r < 0 ? 0 : ES_TASK_CREATED, r == 0);
	return r;
}

/* To be restored: there is no process before the start. */
static int commit_restore(struct creation *c)
{
	int r;

	r = write_record(c);
	if (r == 0)
		r = es_bundle_commit(c->task->bundle, c->opts.error);
	if (r == 0)
		set_status(c->task, ES_TASK_CREATED, true);
	return r;
}

static int create_in_registry(struct creation *c)
{
	int r;

	r = es_json_new(&c->json);
	if (r < 0)
		return r;
	if ((r = fill_record(c)) < 0 || (r = make_bundle(c)) < 0 || (r = check_config(c)) < 0)
		return r;
	if (c->task->record.restore_path)
		return commit_restore(c);
	if ((r = write_record(c)) < 0 ||
	    (r = es_process_reserve(c->manager, c->task->record.trace_id, c->opts.error)) < 0 ||
	    (r = run_runtime(c)) < 0)
		return r;
	es_step("create.runtime");
	return commit(c);
}

static int create(struct creation *c, struct es_task **ret)
{
	const char *const streams[3] = { c->opts.stdin_path, c->opts.stdout_path,
					 c->opts.stderr_path };
	struct es_task *task = c->task;
	int r;

	/*
	 * Before anything is made: most mistakes are in what the caller gave us. A restore opens
	 * them when it runs: to close them until then would tell a reader that the output has
	 * ended.
	 */
	r = c->opts.restore_path ? 0 : es_task_io_open(&c->io.stream, streams, c->opts.error);
	if (r < 0)
		return r;
	r = es_registry_add(task);
	if (r == -EEXIST)
		return es_error_set(c->opts.error, r,
				    "task %s/%s exists already, or is being "
				    "cleaned up",
				    task->namespace_, task->id);
	if (r < 0)
		return r;
	r = create_in_registry(c);
	if (r < 0) {
		/* A logger ends when nobody can write to it any more. */
		es_process_io_close(&c->io);
		if (task->bundle)
			es_rollback_run(es_rollback_new(task, &c->undo));
		else
			es_registry_remove(task);
		return r;
	}
	*ret = TAKE_PTR(c->task);
	return 0;
}

int es_task_create(struct es_manager *manager, const char *namespace_, const char *id,
		   const struct es_task_opts *opts, struct es_task **ret)
{
	CLEANUP(creation_clear)
	struct creation c = { .manager = manager, .io = ES_PROCESS_IO_NULL };
	int r;

	if (!manager || !opts || !ret)
		return -EINVAL;
	r = es_opts_copy(&c.opts, sizeof(c.opts), opts);
	if (r < 0)
		return r;
	if (c.opts.error)
		c.opts.error->code = 0;
	if ((r = check_identifier("namespace", namespace_, c.opts.error)) < 0 ||
	    (r = check_identifier("task ID", id, c.opts.error)) < 0 ||
	    (r = check_opts(&c.opts)) < 0)
		return r;
	r = es_context_enter(manager);
	if (r < 0)
		return es_error_set_errno(c.opts.error, r, "cannot create %s/%s", namespace_, id);
	c.task = es_task_alloc(manager, namespace_, id);
	r = c.task ? create(&c, ret) : -ENOMEM;
	/* Failures without a text of their own: out of memory or descriptors. */
	if (r < 0 && c.opts.error && c.opts.error->code == 0)
		es_error_set_errno(c.opts.error, r, "cannot create %s/%s", namespace_, id);
	es_context_leave(manager);
	return r;
}
