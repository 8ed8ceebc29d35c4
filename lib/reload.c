/* SPDX-License-Identifier: Apache-2.0 */
/* Brings the tasks of a state directory back after a restart, a kill -9 or a reboot. */
#include "reload.h"

#include <dirent.h>
#include <string.h>

#include "container_cgroup.h"
#include "error.h"
#include "exec_reload.h"
#include "fs.h"
#include "log.h"
#include "process_io_end.h"
#include "process_start.h"
#include "rollback.h"
#include "spawn.h"
#include "step.h"

/* One bundle being loaded. */
struct loading {
	struct es_manager *manager;
	struct es_task *task;
	struct es_json *json;
	bool has_init; /* init.json, or the runtime's own word on it */
	bool is_copy;  /* its files tell of another task */
};

static void mark_damaged(struct loading *l, const char *file, int code)
{
	l->task->flags |= ES_TASK_DAMAGED;
	es_log(ES_LOG_WARNING, "task %s/%s: %s: %s; the task is kept and marked as damaged",
	       l->task->namespace_, l->task->id, file, strerrordesc_np(-code));
}

/* What a task has whose task.json cannot be read: the manager's defaults. */
static int assume_record(struct loading *l)
{
	struct es_task_record *record = &l->task->record;
	int r;

	record->trace_id = 0;
	record->timeout_ms = l->manager->timeout_ms;
	memcpy(record->boot_id, l->manager->boot_id, sizeof(record->boot_id));
	if (es_spawn_find_program(l->manager->runtime, &record->runtime) < 0)
		record->runtime = strdup(l->manager->runtime);
	record->oci_bundle = strdup(es_bundle_dir(l->task->bundle));
	r = es_path_join(&record->runtime_root, l->manager->runtime_root, l->task->namespace_);
	return r < 0 || !record->runtime || !record->oci_bundle ? -ENOMEM : 0;
}

static int read_record(struct loading *l)
{
	struct es_task *task = l->task;
	int r;

	if (l->is_copy)
		return assume_record(l);
	r = es_task_record_read(task->bundle, l->json, &task->record);
	if (r == 0 || r == -ENOMEM)
		return r;
	mark_damaged(l, "task.json", r);
	return assume_record(l);
}

static int read_init(struct loading *l)
{
	struct es_task *task = l->task;
	int r;

	if (l->is_copy)
		return 0;
	r = es_process_record_read(es_bundle_dir(task->bundle), l->json, &task->init);
	if (r == -ENOMEM)
		return r;
	if (r < 0) {
		mark_damaged(l, "init.json", r);
		r = es_task_init_from_runtime(task->record.runtime_root, task->id, l->json,
					      &task->init);
		task->init.trace_id = task->record.trace_id;
		memcpy(task->init.boot_id, task->record.boot_id, sizeof(task->init.boot_id));
	}
	l->has_init = r == 0;
	if (l->has_init && !task->record.trace_id) {
		task->record.trace_id = task->init.trace_id;
		memcpy(task->record.boot_id, task->init.boot_id, sizeof(task->record.boot_id));
	}
	return 0;
}

/* Both files that name the trace ID are unreadable: give the task one of its own. */
static int ensure_trace_id(struct loading *l)
{
	if (l->task->record.trace_id)
		return 0;
	return es_idalloc_next(l->manager->ids, &l->task->record.trace_id);
}

/* Let the monitor know of the init process, alive or not. */
static int load_process(struct loading *l)
{
	struct es_task *task = l->task;

	if (!l->has_init)
		task->init = (struct es_process_record){ 0 };
	task->init.trace_id = task->record.trace_id;
	memcpy(task->init.boot_id, task->record.boot_id, sizeof(task->init.boot_id));
	return es_process_reload(l->manager, es_bundle_dir(task->bundle), l->json, &task->init);
}

static void load_cgroups(struct es_task *task)
{
	cleanup_free char *text = NULL;

	if (es_bundle_read(task->bundle, ES_TASK_CGROUP_FILE, 64 * 1024, &text, NULL) < 0)
		return;
	es_task_set_cgroups(task, TAKE_PTR(text));
	if (task->status == ES_TASK_RUNNING && es_container_cgroup_is_frozen(task->cgroups))
		task->status = ES_TASK_PAUSED;
}

static int load_task(struct loading *l)
{
	struct es_task *task = l->task;
	enum es_task_start_mark mark;
	int r;

	r = ensure_trace_id(l);
	if (r < 0)
		return r;
	r = es_registry_add_trace_id(task);
	if (r == -EEXIST) {
		/* A copied file. Its own ID keeps it apart from the original. */
		mark_damaged(l, "trace ID of another task", -EEXIST);
		task->record.trace_id = 0;
		r = ensure_trace_id(l);
		if (r == 0)
			r = es_registry_add_trace_id(task);
	}
	if (r == 0)
		r = load_process(l);
	if (r < 0)
		return r;
	mark = es_task_start_mark_read(task->bundle);
	/* A restored process runs as soon as there is one: init.json is written after the restore.
	 */
	if (task->record.restore_path && mark == ES_TASK_STARTING)
		mark = ES_TASK_STARTED;
	task->status = mark == ES_TASK_STARTED ? ES_TASK_RUNNING : ES_TASK_CREATED;
	task->start_in_doubt = mark == ES_TASK_STARTING;
	if (!l->is_copy) {
		load_cgroups(task);
		es_process_io_reload(es_bundle_dir(task->bundle),
				     (const char *[]){ task->namespace_, task->id, NULL }, l->json,
				     l->manager->reaper);
		r = es_exec_reload_all(task, l->json);
		if (r < 0)
			return r;
	}
	task->listed = true;
	/* The work directory goes with a root that somebody removed. */
	r = es_bundle_remake_work(task->bundle);
	if (r < 0)
		es_log(ES_LOG_WARNING, "cannot make %s again: %s", es_bundle_work_dir(task->bundle),
		       strerrordesc_np(-r));
	/* A crash between the commit and this; harmless otherwise. */
	es_exitsnoop_unfollow(es_monitor_exitsnoop(l->manager->monitor), task->record.trace_id);
	return 0;
}

/*
 * A bundle without its mark: a create or a delete was interrupted. One that has it but never
 * became a task was prepared by a caller that did not come to es_task_create().
 */
static int load_half_made(struct loading *l)
{
	struct es_task *task = l->task;
	struct es_rollback_opts opts = { .runtime_may_run = true };
	int r;

	r = es_task_record_read(task->bundle, l->json, &task->record);
	if (r == 0)
		r = es_registry_add_trace_id(task);
	if (r == -ENOMEM)
		return r;
	opts.runtime_ran = r == 0 && strcmp(task->record.boot_id, l->manager->boot_id) == 0;
	if (r < 0) {
		/* Not readable, or copied from a task, with which a rollback has nothing to do. */
		es_task_record_clear(&task->record);
		r = assume_record(l);
		if (r < 0)
			return r;
	}
	es_log(ES_LOG_INFO, "cleaning up half-made task %s/%s", task->namespace_, task->id);
	es_rollback_later(es_rollback_new(task, &opts));
	return 0;
}

/* In doubt it has. */
static bool has_file(const struct es_bundle *bundle, const char *name)
{
	cleanup_free char *path = NULL;

	return es_path_join(&path, es_bundle_dir(bundle), name) < 0 || access(path, F_OK) == 0;
}

static bool never_was_a_task(const struct es_bundle *bundle)
{
	static const char *const traces[] = { "task.json", "init.json", "exit.json", "start",
					      ES_PID_FILE };
	for (size_t i = 0; i < ES_ARRAY_SIZE(traces); i++)
		if (has_file(bundle, traces[i]))
			return false;
	return true;
}

/* It was created to be restored, and has no process yet, or only half of one. */
static int load_unrestored(struct loading *l)
{
	struct es_task *task = l->task;

	if (es_task_start_mark_read(task->bundle) != ES_TASK_NOT_STARTED) {
		es_task_record_clear(&task->record);
		return load_half_made(l);
	}
	task->status = ES_TASK_CREATED;
	task->listed = true;
	return es_registry_add_trace_id(task);
}

/* Returns 1 for a bundle that is half made, and does nothing then. */
static int load_bundle(struct loading *l)
{
	struct es_task *task = l->task;
	int valid, r;

	r = es_bundle_open(l->manager->store, task->namespace_, task->id, &task->bundle);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	valid = es_bundle_is_valid(task->bundle);
	if (valid == 0 || (valid > 0 && never_was_a_task(task->bundle)))
		return 1;
	r = es_registry_add(task);
	if (r < 0)
		return r;
	if (valid < 0)
		mark_damaged(l, "work", valid);
	l->is_copy = valid == -EBADMSG;
	r = read_record(l);
	if (r < 0)
		return r;
	/* A restore that failed may have left the file. */
	if (task->record.restore_path &&
	    (!has_file(task->bundle, "init.json") ||
	     es_task_start_mark_read(task->bundle) == ES_TASK_NOT_STARTED))
		return load_unrestored(l);
	r = read_init(l);
	return r < 0 ? r : load_task(l);
}

static int load_name(struct es_manager *m, struct es_json *json, const struct es_bundle_name *name,
		     bool half_made)
{
	struct loading l = { .manager = m, .json = json };
	int r;

	l.task = es_task_alloc(m, name->namespace_, name->id);
	if (!l.task)
		return -ENOMEM;
	r = load_bundle(&l);
	if (r == 1 && half_made) {
		r = es_registry_add(l.task);
		if (r == 0)
			r = load_half_made(&l);
	}
	es_task_free(l.task);
	return r;
}

/* The valid ones first: what is taken apart must be known not to be one of them. */
static int load_names(struct es_manager *m, struct es_json *json, struct es_bundle_name *names,
		      int n, struct es_error *error)
{
	int n_half_made = 0, r;

	for (int i = 0; i < n; i++) {
		r = load_name(m, json, &names[i], false);
		if (r < 0)
			return es_error_set_errno(error, r, "cannot load task %s/%s",
						  names[i].namespace_, names[i].id);
		if (r == 1)
			names[n_half_made++] = names[i];
	}
	for (int i = 0; i < n_half_made; i++) {
		r = load_name(m, json, &names[i], true);
		if (r < 0)
			return es_error_set_errno(error, r, "cannot load half-made task %s/%s",
						  names[i].namespace_, names[i].id);
	}
	return 0;
}

/* Slots and follows of no task: a delete or a cleanup was interrupted at its very end. */
static void release_orphans(struct es_manager *m)
{
	struct es_exitsnoop *snoop = es_monitor_exitsnoop(m->monitor);
	cleanup_free uint64_t *ids = NULL;
	int n;

	n = es_exitsnoop_list(snoop, &ids);
	for (int i = 0; i < n; i++) {
		if (es_registry_has_trace_id(m, ids[i]))
			continue;
		es_log(ES_LOG_DEBUG, "releasing exit record %llu, which belongs to no task",
		       (unsigned long long)ids[i]);
		es_exitsnoop_release(snoop, ids[i]);
	}
}

static bool has_trace_id(uint64_t trace_id, void *arg)
{
	return es_registry_has_trace_id(arg, trace_id);
}

int es_reload(struct es_manager *m, struct es_error *error)
{
	cleanup_free struct es_bundle_name *names = NULL;
	CLEANUP(cleanup_es_json_free) struct es_json *json = NULL;
	int n, r;

	r = es_json_new(&json);
	if (r < 0)
		return r;
	n = es_bundle_store_list(m->store, &names);
	if (n < 0)
		return es_error_set_errno(error, n, "cannot read state directory %s",
					  es_bundle_store_state_dir(m->store));
	r = load_names(m, json, names, n, error);
	if (r < 0)
		return r;
	es_step("reload.loaded");
	es_oom_watch_prune(es_exitsnoop_oom(es_monitor_exitsnoop(m->monitor)), has_trace_id, m);
	release_orphans(m);
	es_step("reload.orphans");
	r = es_bundle_store_prune(m->store);
	if (r < 0)
		es_log(ES_LOG_WARNING, "cannot remove left-over work directories: %s",
		       strerrordesc_np(-r));
	es_step("reload.pruned");
	return 0;
}

/* The IDs of execs are the names of their directories. */
static uint64_t largest_exec(const struct es_bundle *bundle)
{
	cleanup_free char *path = NULL;
	uint64_t largest = 0;
	struct dirent *entry;
	DIR *dir = NULL;

	if (es_path_join(&path, es_bundle_dir(bundle), "execs") == 0)
		dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		uint64_t id = strtoull(entry->d_name, NULL, 10);

		if (id > largest && id <= INT64_MAX)
			largest = id;
	}
	if (dir)
		closedir(dir);
	return largest;
}

static uint64_t largest_of(const struct es_bundle *bundle, struct es_json *json)
{
	struct es_task_record record = { 0 };
	struct es_process_record init;
	uint64_t largest = largest_exec(bundle);

	if (es_task_record_read(bundle, json, &record) == 0 && record.trace_id > largest)
		largest = record.trace_id;
	es_task_record_clear(&record);
	if (es_process_record_read(es_bundle_dir(bundle), json, &init) == 0 &&
	    init.trace_id > largest)
		largest = init.trace_id;
	return largest;
}

uint64_t es_reload_largest_trace_id(struct es_bundle_store *store)
{
	cleanup_free struct es_bundle_name *names = NULL;
	CLEANUP(cleanup_es_json_free) struct es_json *json = NULL;
	uint64_t largest = 0;
	int n;

	n = es_bundle_store_list(store, &names);
	if (n <= 0 || es_json_new(&json) < 0)
		return 0;
	for (int i = 0; i < n; i++) {
		struct es_bundle *bundle;
		uint64_t id;

		if (es_bundle_open(store, names[i].namespace_, names[i].id, &bundle) < 0)
			continue;
		id = largest_of(bundle, json);
		if (id > largest)
			largest = id;
		es_bundle_free(bundle);
	}
	return largest;
}
