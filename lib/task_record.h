/* SPDX-License-Identifier: Apache-2.0 */
/* What a bundle keeps of its task: task.json and the start marks. */
#ifndef ES_TASK_RECORD_H
#define ES_TASK_RECORD_H

#include "bundle_store.h"
#include "process_record.h"

/* Bits of flags beside enum es_task_flags. */
#define ES_TASK_SHARES_PIDNS (1U << 31) /* no PID namespace of its own: init's end kills nobody */
#define ES_TASK_TERMINAL     (1U << 30)

/* How the task was asked for. Written before the runtime runs. Strings are malloc()ed. */
struct es_task_record {
	uint64_t trace_id;
	char boot_id[40];   /* /proc/sys/kernel/random/boot_id */
	char *runtime;	    /* absolute path */
	char *runtime_root; /* the runtime's --root */
	char *oci_bundle;   /* directory the runtime works on */
	char *stream[3];    /* as given; NULL is null */
	char *restore_path; /* of a checkpoint; NULL: none */
	char *restore_work_path;
	uint32_t flags; /* enum es_task_flags */
	uint32_t timeout_ms;
	uint32_t io_uid, io_gid;
};

ES_HIDDEN void es_task_record_clear(struct es_task_record *record);

/* Write: 0 or a negative errno. Read: also -ENOENT (no such file) and -EBADMSG (damaged). */
ES_HIDDEN int es_task_record_write(struct es_bundle *bundle, struct es_json *json,
				   const struct es_task_record *record);
ES_HIDDEN int es_task_record_read(const struct es_bundle *bundle, struct es_json *json,
				  struct es_task_record *ret);

/*
 * The facts of init.json from the runtime's own state.json, for a task whose init.json is damaged:
 * pid and start_ticks only. runc and crun keep "init_process_pid"/"pid" and their start times.
 */
ES_HIDDEN int es_task_init_from_runtime(const char *runtime_root, const char *id,
					struct es_json *json, struct es_process_record *ret);

/* How far es_task_start() has come: nothing, asked the runtime, the runtime said yes. */
enum es_task_start_mark { ES_TASK_NOT_STARTED, ES_TASK_STARTING, ES_TASK_STARTED };
ES_HIDDEN int es_task_start_mark_write(struct es_bundle *bundle, enum es_task_start_mark mark);
ES_HIDDEN enum es_task_start_mark es_task_start_mark_read(const struct es_bundle *bundle);

#define ES_TASK_CGROUP_FILE "cgroup" /* of /proc/<init> when it was created */
#define ES_TASK_LOG_FILE    "log.json"

#endif
