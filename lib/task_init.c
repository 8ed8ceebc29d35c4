/* SPDX-License-Identifier: Apache-2.0 */
/* The init process of a task, once the runtime has made it. */
#include "task_init.h"

#include <string.h>

#include "container_cgroup.h"
#include "criu.h"
#include "error.h"
#include "fs.h"
#include "process_io_end.h"
#include "process_start.h"
#include "step.h"
#include "task_change.h"

/* Where it runs, for its processes, its OOM kills and its statistics; also after its end. */
static int save_cgroups(struct es_task *task, const struct es_pidref *ref, struct es_error *error)
{
	cleanup_free char *text = NULL;
	int r;

	/* The text is that of another process if this one has gone meanwhile. */
	if (ref->fd < 0 || es_container_cgroup_read(ref->pid, &text) < 0 ||
	    es_pidref_has_exited(ref))
		return 0;
	r = es_bundle_write(task->bundle, ES_TASK_CGROUP_FILE, text, strlen(text));
	if (r < 0)
		return es_error_set_errno(error, r, "%s/%s", es_bundle_dir(task->bundle),
					  ES_TASK_CGROUP_FILE);
	es_task_set_cgroups(task, TAKE_PTR(text));
	es_step("create.cgroups");
	return 0;
}

int es_task_record_init(struct es_task *task, struct es_json *json, const struct es_pidref *ref,
			struct es_error *error)
{
	int r;

	if (ref->fd >= 0)
		es_pidref_program(ref, &task->init.program_dev, &task->init.program_inode);
	r = save_cgroups(task, ref, error);
	if (r < 0)
		return r;
	r = es_process_record_write(es_bundle_dir(task->bundle), json, &task->init);
	if (r < 0)
		return es_error_set_errno(error, r, "%s/init.json", es_bundle_dir(task->bundle));
	es_step("create.init");
	return 0;
}

int es_task_serve_streams(struct es_task *task, struct es_process_io *io, struct es_json *json,
			  struct es_error *error)
{
	const char *const name[] = { task->namespace_, task->id, NULL };
	const struct es_process_io_opts opts = {
		.dir = es_bundle_dir(task->bundle),
		.stream = (const char *const *)task->record.stream,
		.name = name,
		.boot_id = task->manager->boot_id,
		.helper = task->manager->io_helper,
		.reaper = task->manager->reaper,
		.terminal = task->record.flags & ES_TASK_TERMINAL,
		.uid = task->record.io_uid,
		.gid = task->record.io_gid,
		.timeout_ms = task->record.timeout_ms,
	};

	return es_process_io_start(io, &opts, json, error);
}

int es_task_watch_streams(const struct es_task *task, const struct es_pidref *ref,
			  struct es_error *error)
{
	int r = es_process_io_watch(es_bundle_dir(task->bundle), ref);

	if (r < 0)
		return es_error_set_errno(error, r,
					  "the helper of the container's terminal or "
					  "standard input does not answer");
	es_step("create.io_watched");
	return 0;
}

static int run_restore(struct es_task *task, struct es_process_io *io, struct es_json *json,
		       struct es_error *error)
{
	struct es_exitsnoop *snoop = es_monitor_exitsnoop(task->manager->monitor);
	CLEANUP(es_criu_env_clear) char *env = NULL;
	cleanup_free char *pid_file = NULL;
	char log[ES_TASK_LOG_PATH_MAX];
	struct es_runc_restore restore;
	struct es_runc runc;
	const char *work;
	int r;

	r = es_task_io_open(&io->stream, (const char *const *)task->record.stream, error);
	if (r == 0)
		r = es_task_serve_streams(task, io, json, error);
	if (r < 0)
		return r;
	r = es_path_join(&pid_file, es_bundle_dir(task->bundle), ES_PID_FILE);
	if (r < 0)
		return r;
	work = task->record.restore_work_path ? task->record.restore_work_path
					      : es_bundle_work_dir(task->bundle);
	r = es_criu_restore_streams(task->record.restore_path, work, &env);
	if (r < 0)
		return es_error_set_errno(error, r, "cannot name the streams of %s to criu",
					  task->record.restore_path);
	r = es_process_reserve(task->manager, task->record.trace_id, error);
	if (r < 0)
		return r;
	es_task_runtime(task, log, &runc);
	runc.bundle = task->record.oci_bundle;
	restore = (struct es_runc_restore){
		.image_path = task->record.restore_path,
		.work_path = work,
		.env = env,
		.create = { .pid_file = pid_file,
			    .no_pivot = task->record.flags & ES_TASK_NO_PIVOT,
			    .console_socket = *io->console_socket ? io->console_socket : NULL,
			    .io = &io->stream,
			    .mark_prog_fd = es_exitsnoop_mark_prog_fd(snoop),
			    .trace_id = task->record.trace_id },
	};
	r = es_process_io_open_stdin(es_bundle_dir(task->bundle), task->record.stream[0], error);
	return r < 0 ? r : es_runc_restore(&runc, &restore, error);
}

/* The task is listed already: others may be reading its pid. */
static void set_init(struct es_task *task, const struct es_process_record *init)
{
	pthread_mutex_lock(&task->manager->lock);
	task->init = *init;
	pthread_mutex_unlock(&task->manager->lock);
}

/* Nothing of a restore that failed may stay. */
static void undo_restore(struct es_task *task)
{
	const struct es_process_record nobody = { 0 };
	char log[ES_TASK_LOG_PATH_MAX];
	struct es_runc runc;

	es_process_kill_followed(task->manager, task->record.trace_id);
	es_task_runtime(task, log, &runc);
	es_runc_delete(&runc, true, NULL);
	es_process_io_end(es_bundle_dir(task->bundle), task->manager->reaper);
	es_monitor_forget(task->manager->monitor, task->record.trace_id);
	es_task_stop_counting_oom(task);
	set_init(task, &nobody);
}

int es_task_restore(struct es_task *task, struct es_error *error)
{
	CLEANUP(es_process_io_close) struct es_process_io io = ES_PROCESS_IO_NULL;
	CLEANUP(cleanup_es_json_free) struct es_json *json = NULL;
	const char *dir = es_bundle_dir(task->bundle);
	struct es_pidref ref = ES_PIDREF_UNSET;
	struct es_process_record init = { 0 };
	int r;

	init.trace_id = task->record.trace_id;
	memcpy(init.boot_id, task->manager->boot_id, sizeof(init.boot_id));
	r = es_json_new(&json);
	if (r == 0)
		r = run_restore(task, &io, json, error);
	es_step("restore.runtime");
	if (r == 0)
		r = es_process_resolve(task->manager, dir, &init, &ref, error);
	if (r == 0)
		set_init(task, &init);
	if (r == 0)
		r = es_task_watch_streams(task, &ref, error);
	if (r == 0)
		r = es_task_record_init(task, json, &ref, error);
	if (r == 0)
		r = es_process_watch(task->manager, task->record.trace_id, &ref);
	es_process_io_close(&io);
	if (r < 0)
		undo_restore(task);
	es_pidref_close(&ref);
	return r;
}
