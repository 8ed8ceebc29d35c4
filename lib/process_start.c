/* SPDX-License-Identifier: Apache-2.0 */
/* From a runtime command to the process it has started, whose exit cannot be missed. */
#include "process_start.h"

#include <signal.h>
#include <string.h>

#include "clock.h"
#include "error.h"
#include "exit_status.h"
#include "log.h"
#include "step.h"

/* A SIGKILLed process that is not gone by then hangs in the kernel. */
#define KILLED_WAIT_MS 5000

int es_process_reserve(struct es_manager *m, uint64_t trace_id, struct es_error *error)
{
	struct es_exitsnoop *snoop = es_monitor_exitsnoop(m->monitor);
	int r;

	r = es_exitsnoop_reserve(snoop, trace_id);
	if (r == -ENOSPC)
		return es_error_set(error, r,
				    "the capacity of %u processes is used up: no exit could be "
				    "recorded for another one",
				    es_exitsnoop_capacity(snoop));
	if (r < 0)
		return es_error_set_errno(error, r, "cannot reserve an exit record");
	es_step("create.reserved");
	r = es_exitsnoop_follow(snoop, trace_id);
	if (r < 0)
		return es_error_set_errno(error, r,
					  "cannot follow the processes of the OCI runtime");
	es_step("create.followed");
	return 0;
}

int es_process_resolve(struct es_manager *m, const char *dir, struct es_process_record *record,
		       struct es_pidref *ref, struct es_error *error)
{
	struct es_exitsnoop *snoop = es_monitor_exitsnoop(m->monitor);
	int opened, r;

	r = es_pid_file_read(dir);
	if (r < 0)
		return es_error_set(error, -EIO, "the OCI runtime wrote no pid to %s/%s", dir,
				    ES_PID_FILE);
	record->pid = (pid_t)r;
	opened = es_pidref_open(ref, record->pid);
	r = es_exitsnoop_resolve(snoop, record->trace_id, record->pid);
	/* A runtime that makes its processes in a way we did not follow. */
	if (r == -ESRCH && opened == 0)
		r = es_exitsnoop_attach(snoop, record->trace_id, record->pid);
	if (r < 0)
		return es_error_set_errno(error, r, "cannot watch the container's process %d",
					  record->pid);
	if (opened < 0 && opened != -ESRCH)
		return opened;
	es_step("create.resolved");
	record->start_ticks = ref->start_ticks;
	record->inode = ref->inode;
	return 0;
}

int es_process_watch(struct es_manager *m, uint64_t trace_id, struct es_pidref *ref)
{
	struct es_exitsnoop *snoop = es_monitor_exitsnoop(m->monitor);
	struct es_exit exit;
	int r;

	if (ref->fd >= 0) {
		r = es_monitor_adopt(m->monitor, trace_id, ref, true);
	} else {
		r = es_exitsnoop_lookup(snoop, trace_id, &exit);
		if (r == 0)
			r = es_monitor_adopt_exit(m->monitor, &exit);
	}
	if (r < 0)
		return r;
	/* What else the runtime started (hooks that stay) is no business of ours any more. */
	es_exitsnoop_unfollow(snoop, trace_id);
	es_step("create.unfollowed");
	return 0;
}

/* The exit as far as any record of it survives; lost otherwise. */
static int reload_exit(struct es_manager *m, const char *dir, struct es_json *json,
		       const struct es_process_record *record)
{
	struct es_exit exit = { 0 };

	if (es_exit_record_read(dir, json, record->trace_id, &exit) < 0) {
		memset(&exit, 0, sizeof(exit));
		es_exit_set_lost(&exit);
		exit.trace_id = record->trace_id;
		exit.pid = record->pid;
	}
	return es_monitor_adopt_exit(m->monitor, &exit);
}

/*
 * The exit that the map has. Its times on the wall clock are those that were told before, if they
 * were: that clock may have been set since.
 */
static int adopt_recorded(struct es_manager *m, const char *dir, struct es_json *json,
			  struct es_exit *exit)
{
	struct es_exit told;

	if (es_exit_record_read(dir, json, exit->trace_id, &told) == 0 &&
	    told.exited_boot_ns == exit->exited_boot_ns) {
		exit->started_real_ns = told.started_real_ns;
		exit->exited_real_ns = told.exited_real_ns;
	}
	return es_monitor_adopt_exit(m->monitor, exit);
}

/* The pins are gone but the process is not: begin to record anew. */
static void rewatch(struct es_manager *m, const char *dir, const struct es_process_record *record)
{
	struct es_exitsnoop *snoop = es_monitor_exitsnoop(m->monitor);
	int r;

	r = es_exitsnoop_reserve(snoop, record->trace_id);
	if (r == 0 || r == -EEXIST)
		r = es_exitsnoop_attach(snoop, record->trace_id, record->pid);
	if (r < 0 && r != -EBUSY)
		es_log(ES_LOG_WARNING, "%s: the exit of process %d will not be recorded: %s", dir,
		       record->pid, strerrordesc_np(-r));
}

int es_process_reload(struct es_manager *m, const char *dir, struct es_json *json,
		      struct es_process_record *record)
{
	struct es_exitsnoop *snoop = es_monitor_exitsnoop(m->monitor);
	struct es_pidref ref = ES_PIDREF_UNSET;
	struct es_exit exit = { 0 };
	int recorded, r;

	recorded = es_exitsnoop_lookup(snoop, record->trace_id, &exit);
	if (recorded == 0) {
		if (!record->pid)
			record->pid = exit.pid;
		return adopt_recorded(m, dir, json, &exit);
	}
	if (!record->pid || strcmp(record->boot_id, m->boot_id) != 0)
		return reload_exit(m, dir, json, record);
	r = es_pidref_reopen(&ref, record->pid, record->start_ticks, record->inode);
	if (r == -ESRCH) {
		/* It may have exited between the two looks. */
		if (es_exitsnoop_lookup(snoop, record->trace_id, &exit) == 0)
			return adopt_recorded(m, dir, json, &exit);
		return reload_exit(m, dir, json, record);
	}
	if (r < 0)
		return r;
	if (recorded == -ENOENT || !exit.pid)
		rewatch(m, dir, record);
	r = es_monitor_adopt(m->monitor, record->trace_id, &ref, true);
	es_pidref_close(&ref);
	return r;
}

/* A followed process that is alive, opened; -ESRCH: there is none. */
static int open_next_alive(struct es_exitsnoop *snoop, uint64_t trace_id, struct es_pidref *ret)
{
	struct es_exitsnoop_process procs[ES_EXITSNOOP_FOLLOW_MAX];
	bool overflow;
	int n;

	n = es_exitsnoop_followed(snoop, trace_id, procs, &overflow);
	for (int i = 0; i < n; i++) {
		uint64_t ticks = procs[i].start_boot_ns / (NSEC_PER_SEC / 100);

		if (!procs[i].exited && procs[i].pid > 0 &&
		    es_pidref_reopen(ret, procs[i].pid, ticks, 0) == 0)
			return 0;
	}
	return -ESRCH;
}

void es_process_kill_followed(struct es_manager *m, uint64_t trace_id)
{
	uint64_t deadline = es_deadline_after_ms(KILLED_WAIT_MS);
	struct es_pidref ref = ES_PIDREF_UNSET;

	while (open_next_alive(es_monitor_exitsnoop(m->monitor), trace_id, &ref) == 0) {
		es_pidref_signal(&ref, SIGKILL);
		if (es_pidref_wait(&ref, deadline) < 0)
			es_log(ES_LOG_ERROR, "process %d of a failed runtime command does not die",
			       ref.pid);
		es_pidref_close(&ref);
		if (es_deadline_poll_ms(deadline) == 0)
			return;
	}
}
