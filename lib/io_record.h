/* SPDX-License-Identifier: Apache-2.0 */
/* io.json: the processes of ours that serve the streams of a task or an exec. */
#ifndef ES_IO_RECORD_H
#define ES_IO_RECORD_H

#include "json.h"
#include "pidref.h"

#define ES_IO_RECORD_FILE "io.json"

/* Who serves: a helper, and a logger for each output. */
enum es_io_server { ES_IO_HELPER_PROCESS, ES_IO_LOGGER_STDOUT, ES_IO_LOGGER_STDERR, ES_IO_SERVERS };

struct es_io_record {
	char boot_id[40];
	struct {
		pid_t pid; /* 0: none */
		uint64_t start_ticks;
	} server[ES_IO_SERVERS];
};

/* In dir. Write: 0 or a negative errno. Read: also -ENOENT (nobody serves it, or dir is a
   copy of one that somebody serves) and -EBADMSG. */
ES_HIDDEN int es_io_record_write(const char *dir, struct es_json *json,
				 const struct es_io_record *record);
ES_HIDDEN int es_io_record_read(const char *dir, struct es_json *json, struct es_io_record *ret);

/* Open a server's process if it is there. -ESRCH. */
ES_HIDDEN int es_io_record_open(const struct es_io_record *record, enum es_io_server server,
				struct es_pidref *ret);

#endif
