/* SPDX-License-Identifier: Apache-2.0 */
/* What a bundle keeps of its task: task.json, init.json, exit.json and the start marks. */
#ifndef ES_TASK_RECORD_H
#define ES_TASK_RECORD_H

#include <embedshim/exit.h>
#include <stdbool.h>

#include "bundle_store.h"
#include "json.h"
#include "pidref.h"

/* How the task was asked for. Written before the runtime runs. Strings are malloc()ed. */
struct es_task_record {
	uint64_t trace_id;
	char boot_id[40];   /* /proc/sys/kernel/random/boot_id */
	char *runtime;	    /* absolute path */
	char *runtime_root; /* the runtime's --root */
	char *oci_bundle;   /* directory the runtime works on */
	char *stream[3];    /* as given; NULL is null */
	uint32_t flags;	    /* enum es_task_flags */
	uint32_t timeout_ms;
};

/* The init process. Written when it is known, before the bundle becomes valid. */
struct es_task_init {
	uint64_t trace_id;
	char boot_id[40];
	pid_t pid;
	uint64_t start_ticks; /* pidref.h */
	uint64_t inode;
	uint64_t program_dev; /* es_pidref_program() while it waits for the start */
	uint64_t program_inode;
};

ES_HIDDEN void es_task_record_clear(struct es_task_record *record);

/* Write: 0 or a negative errno. Read: also -ENOENT (no such file) and -EBADMSG (damaged). */
ES_HIDDEN int es_task_record_write(struct es_bundle *bundle, struct es_json *json,
				   const struct es_task_record *record);
ES_HIDDEN int es_task_record_read(const struct es_bundle *bundle, struct es_json *json,
				  struct es_task_record *ret);
ES_HIDDEN int es_task_init_write(struct es_bundle *bundle, struct es_json *json,
				 const struct es_task_init *init);
ES_HIDDEN int es_task_init_read(const struct es_bundle *bundle, struct es_json *json,
				struct es_task_init *ret);
ES_HIDDEN int es_task_exit_write(struct es_bundle *bundle, struct es_json *json,
				 const struct es_exit *exit);
/* -EBADMSG also when it is the exit of another trace ID. */
ES_HIDDEN int es_task_exit_read(const struct es_bundle *bundle, struct es_json *json,
				uint64_t trace_id, struct es_exit *ret);

/*
 * The same facts from the runtime's own state.json, for a task whose init.json is damaged:
 * pid and start_ticks only. runc and crun keep "init_process_pid"/"pid" and their start times.
 */
ES_HIDDEN int es_task_init_from_runtime(const char *runtime_root, const char *id,
					struct es_json *json, struct es_task_init *ret);

/* How far es_task_start() has come: nothing, asked the runtime, the runtime said yes. */
enum es_task_start_mark { ES_TASK_NOT_STARTED, ES_TASK_STARTING, ES_TASK_STARTED };
ES_HIDDEN int es_task_start_mark_write(struct es_bundle *bundle, enum es_task_start_mark mark);
ES_HIDDEN enum es_task_start_mark es_task_start_mark_read(const struct es_bundle *bundle);

/* The pid a runtime wrote with --pid-file: >0, -ENOENT, -EBADMSG. */
ES_HIDDEN pid_t es_task_pid_file_read(const struct es_bundle *bundle);

/* This boot's ID; "" if it cannot be read. */
ES_HIDDEN void es_boot_id_read(char ret[40]);

#define ES_TASK_PID_FILE "init.pid"
#define ES_TASK_LOG_FILE "log.json"

#endif
