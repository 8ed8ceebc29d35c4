/* SPDX-License-Identifier: Apache-2.0 */
/* exec.json: how an exec was asked for. */
#include "exec_record.h"

#include <string.h>

#include "record_file.h"

#define EXEC_FILE "exec.json"

static const char *const stream_paths[3] = { "$.stdin", "$.stdout", "$.stderr" };

void es_exec_record_clear(struct es_exec_record *record)
{
	for (int i = 0; i < 3; i++)
		free(record->stream[i]);
	memset(record, 0, sizeof(*record));
}

int es_exec_record_write(const char *dir, struct es_json *json, const struct es_exec_record *record)
{
	const struct es_json_member members[] = {
		es_record_number("version", ES_RECORD_VERSION),
		es_record_string("id", record->id),
		es_record_number("trace_id", record->trace_id),
		es_record_string("boot_id", record->boot_id),
		es_record_string(stream_paths[0] + 2, record->stream[0]),
		es_record_string(stream_paths[1] + 2, record->stream[1]),
		es_record_string(stream_paths[2] + 2, record->stream[2]),
		es_record_number("terminal", record->terminal),
		es_record_number("io_uid", record->io_uid),
		es_record_number("io_gid", record->io_gid),
	};

	return es_record_write(dir, json, EXEC_FILE, members, ES_ARRAY_SIZE(members));
}

/* Execs of before there were terminals have none of these. */
static void read_optional(struct es_json *json, struct es_exec_record *record)
{
	uint32_t terminal = 0;

	es_record_get_uint32(json, "$.terminal", &terminal);
	record->terminal = terminal != 0;
	es_record_get_uint32(json, "$.io_uid", &record->io_uid);
	es_record_get_uint32(json, "$.io_gid", &record->io_gid);
}

int es_exec_record_read(const char *dir, struct es_json *json, struct es_exec_record *ret)
{
	struct es_exec_record record = { 0 };
	int r;

	r = es_record_load(dir, json, EXEC_FILE);
	if (r < 0)
		return r;
	if ((r = es_record_get_array(json, "$.id", record.id, sizeof(record.id))) < 0 ||
	    (r = es_record_get_uint64(json, "$.trace_id", &record.trace_id)) < 0 ||
	    (r = es_record_get_array(json, "$.boot_id", record.boot_id, sizeof(record.boot_id))) <
		    0)
		return r;
	for (int i = 0; i < 3; i++) {
		r = es_json_get_string(json, stream_paths[i], &record.stream[i]);
		if (r < 0 && r != -ENOENT) {
			es_exec_record_clear(&record);
			return r;
		}
	}
	read_optional(json, &record);
	if (!record.trace_id || es_identifier_check(record.id) < 0) {
		es_exec_record_clear(&record);
		return -EBADMSG;
	}
	*ret = record;
	return 0;
}
