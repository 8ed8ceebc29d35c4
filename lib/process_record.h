/* SPDX-License-Identifier: Apache-2.0 */
/* What is on disk of one process: init.json, exit.json and the runtime's pid file. */
#ifndef ES_PROCESS_RECORD_H
#define ES_PROCESS_RECORD_H

#include <embedshim/exit.h>
#include <sys/types.h>

#include "json.h"

/* The container's process. Written when it is known. */
struct es_process_record {
	uint64_t trace_id;
	char boot_id[40];
	pid_t pid;
	uint64_t start_ticks; /* pidref.h */
	uint64_t inode;
	uint64_t program_dev; /* es_pidref_program() while it waits for the start */
	uint64_t program_inode;
};

/* In the directory dir. Write: 0 or a negative errno. Read: also -ENOENT (no such file) and
   -EBADMSG (damaged). */
ES_HIDDEN int es_process_record_write(const char *dir, struct es_json *json,
				      const struct es_process_record *record);
ES_HIDDEN int es_process_record_read(const char *dir, struct es_json *json,
				     struct es_process_record *ret);
ES_HIDDEN int es_exit_record_write(const char *dir, struct es_json *json,
				   const struct es_exit *exit);
/* -EBADMSG also when it is the exit of another trace ID. */
ES_HIDDEN int es_exit_record_read(const char *dir, struct es_json *json, uint64_t trace_id,
				  struct es_exit *ret);

/* The pid a runtime wrote with --pid-file: >0, -ENOENT, -EBADMSG. */
ES_HIDDEN pid_t es_pid_file_read(const char *dir);
#define ES_PID_FILE "init.pid"
/* Remove it, and what a runtime that was killed has left of it. */
ES_HIDDEN void es_pid_file_remove(const char *dir);

/* This boot's ID; "" if it cannot be read. */
ES_HIDDEN void es_boot_id_read(char ret[40]);

#endif
