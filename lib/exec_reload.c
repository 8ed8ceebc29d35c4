/* SPDX-License-Identifier: Apache-2.0 */
/* Brings the execs of a task back after a restart. */
#include "exec_reload.h"

#include <dirent.h>
#include <string.h>

#include "exec_record.h"
#include "exec_registry.h"
#include "fs.h"
#include "log.h"
#include "process_io.h"
#include "process_io_end.h"
#include "process_start.h"
#include "step.h"

/*
 * A start was under way. If the runtime has got as far as telling the process, that is the exec's;
 * otherwise nothing of it may stay.
 */
static int finish_start(struct es_exec *exec, struct es_json *json)
{
	struct es_manager *m = exec->task->manager;
	struct es_exitsnoop *snoop = es_monitor_exitsnoop(m->monitor);
	struct es_pidref ref = ES_PIDREF_UNSET;
	int r;

	r = es_process_resolve(m, exec->dir, &exec->process, &ref, NULL);
	if (r == 0)
		r = es_process_record_write(exec->dir, json, &exec->process);
	es_step("reload.exec_resolved");
	if (r == 0) {
		if (es_process_io_watch(exec->dir, &ref) < 0)
			es_log(ES_LOG_WARNING, "exec %s of %s/%s has lost its terminal or stdin",
			       exec->id, exec->task->namespace_, exec->task->id);
		es_exec_set_running(exec);
		r = es_process_watch(m, exec->trace_id, &ref);
	} else if (r != -ENOMEM) {
		es_process_kill_followed(m, exec->trace_id);
		es_exitsnoop_release(snoop, exec->trace_id);
		exec->process.pid = 0;
		r = 0;
	}
	es_pidref_close(&ref);
	return r;
}

static int load_process(struct es_exec *exec, struct es_json *json,
			const struct es_exec_record *record)
{
	struct es_manager *m = exec->task->manager;
	struct es_exit exit;
	int r;

	r = es_process_record_read(exec->dir, json, &exec->process);
	if (r == -ENOMEM)
		return r;
	if (r == 0) {
		es_exec_set_running(exec);
		return es_process_reload(m, exec->dir, json, &exec->process);
	}
	exec->process = (struct es_process_record){ .trace_id = exec->trace_id };
	memcpy(exec->process.boot_id, record->boot_id, sizeof(record->boot_id));
	if (es_exitsnoop_lookup(es_monitor_exitsnoop(m->monitor), exec->trace_id, &exit) == -ENOENT)
		return 0;
	return finish_start(exec, json);
}

static int load_exec(struct es_task *task, struct es_json *json, const char *dir)
{
	struct es_exec_record record = { 0 };
	struct es_exec *exec;
	int r;

	r = es_exec_record_read(dir, json, &record);
	if (r < 0) {
		if (r == -ENOMEM)
			return r;
		es_log(ES_LOG_WARNING, "task %s/%s: %s cannot be read (%s) and is left as it is",
		       task->namespace_, task->id, dir, strerrordesc_np(-r));
		return 0;
	}
	exec = es_exec_alloc(task, record.id, record.trace_id);
	r = exec ? 0 : -ENOMEM;
	for (int i = 0; r == 0 && i < 3; i++)
		exec->stream[i] = TAKE_PTR(record.stream[i]);
	if (r == 0)
		r = es_exec_register(exec);
	if (r == 0) {
		exec->terminal = record.terminal;
		exec->io_uid = record.io_uid;
		exec->io_gid = record.io_gid;
		es_process_io_reload(dir, (const char *[]){ task->namespace_, task->id, exec->id },
				     json, task->manager->reaper);
		r = load_process(exec, json, &record);
	} else if (r == -EEXIST)
		r = 0; /* a copy of another one's files */
	es_exec_free(exec);
	es_exec_record_clear(&record);
	return r;
}

/* Trace IDs are given in order, so their order is that of the creation. */
static int compare_numbers(const struct dirent **a, const struct dirent **b)
{
	unsigned long long x = strtoull((*a)->d_name, NULL, 10);
	unsigned long long y = strtoull((*b)->d_name, NULL, 10);

	return (x > y) - (x < y);
}

static int is_number(const struct dirent *entry)
{
	return entry->d_name[0] && strspn(entry->d_name, "0123456789") == strlen(entry->d_name);
}

int es_exec_reload_all(struct es_task *task, struct es_json *json)
{
	cleanup_free char *parent = NULL;
	struct dirent **entries;
	int n, r;

	r = es_path_join(&parent, es_bundle_dir(task->bundle), "execs");
	if (r < 0)
		return r;
	n = scandir(parent, &entries, is_number, compare_numbers);
	if (n < 0)
		return errno == ENOMEM ? -ENOMEM : 0;
	for (int i = 0; i < n; i++) {
		cleanup_free char *dir = NULL;

		if (r == 0)
			r = es_path_join(&dir, parent, entries[i]->d_name);
		if (r == 0)
			r = load_exec(task, json, dir);
		free(entries[i]);
	}
	free(entries);
	return r;
}
