/* SPDX-License-Identifier: Apache-2.0 */
/* io.json: the processes of ours that serve the streams of a task or an exec. */
#include "io_record.h"

#include <string.h>
#include <sys/stat.h>

#include "process_record.h"
#include "record_file.h"

static const char *const names[ES_IO_SERVERS][2] = {
	{ "$.helper_pid", "$.helper_start_ticks" },
	{ "$.stdout_logger_pid", "$.stdout_logger_start_ticks" },
	{ "$.stderr_logger_pid", "$.stderr_logger_start_ticks" },
};

/* Of the directory: a copy of it has another. */
static uint64_t inode_of(const char *dir)
{
	struct stat st;

	return stat(dir, &st) < 0 ? 0 : st.st_ino;
}

int es_io_record_write(const char *dir, struct es_json *json, const struct es_io_record *record)
{
	struct es_json_member members[3 + 2 * ES_IO_SERVERS] = {
		es_record_number("version", ES_RECORD_VERSION),
		es_record_string("boot_id", record->boot_id),
		es_record_number("directory_inode", inode_of(dir)),
	};

	for (int i = 0; i < ES_IO_SERVERS; i++) {
		members[3 + 2 * i] =
			es_record_number(names[i][0] + 2, (uint64_t)record->server[i].pid);
		members[4 + 2 * i] =
			es_record_number(names[i][1] + 2, record->server[i].start_ticks);
	}
	return es_record_write(dir, json, ES_IO_RECORD_FILE, members, ES_ARRAY_SIZE(members));
}

int es_io_record_read(const char *dir, struct es_json *json, struct es_io_record *ret)
{
	struct es_io_record record = { 0 };
	uint64_t inode;
	int r;

	r = es_record_load(dir, json, ES_IO_RECORD_FILE);
	if (r < 0)
		return r;
	r = es_record_get_array(json, "$.boot_id", record.boot_id, sizeof(record.boot_id));
	if (r == 0)
		r = es_record_get_uint64(json, "$.directory_inode", &inode);
	/* Those of a copied bundle serve the original. */
	if (r == 0 && inode != inode_of(dir))
		r = -ENOENT;
	for (int i = 0; r == 0 && i < ES_IO_SERVERS; i++) {
		int32_t pid;

		if ((r = es_record_get_int32(json, names[i][0], &pid)) < 0 ||
		    (r = es_record_get_uint64(json, names[i][1], &record.server[i].start_ticks)) <
			    0)
			break;
		record.server[i].pid = pid;
	}
	if (r == 0)
		*ret = record;
	return r;
}

int es_io_record_open(const struct es_io_record *record, enum es_io_server server,
		      struct es_pidref *ret)
{
	char boot_id[40];

	if (record->server[server].pid <= 0 || !record->server[server].start_ticks)
		return -ESRCH;
	es_boot_id_read(boot_id);
	if (strcmp(boot_id, record->boot_id) != 0)
		return -ESRCH;
	return es_pidref_reopen(ret, record->server[server].pid, record->server[server].start_ticks,
				0);
}
