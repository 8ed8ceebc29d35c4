/* SPDX-License-Identifier: Apache-2.0 */
/* exec.json: how an exec was asked for. */
#ifndef ES_EXEC_RECORD_H
#define ES_EXEC_RECORD_H

#include <embedshim/base.h>

#include "json.h"

struct es_exec_record {
	char id[ES_ID_MAX + 1];
	uint64_t trace_id;
	char boot_id[40];
	char *stream[3]; /* malloc()ed; NULL is null */
	bool terminal;
	uint32_t io_uid, io_gid;
};

#define ES_EXEC_PROCESS_FILE "process.json" /* the OCI process object, as it was given */

/* In the exec's directory. 0, -ENOENT, -EBADMSG, -ENOMEM, or from the file system. */
ES_HIDDEN int es_exec_record_write(const char *dir, struct es_json *json,
				   const struct es_exec_record *record);
ES_HIDDEN int es_exec_record_read(const char *dir, struct es_json *json,
				  struct es_exec_record *ret);
ES_HIDDEN void es_exec_record_clear(struct es_exec_record *record);

#endif
