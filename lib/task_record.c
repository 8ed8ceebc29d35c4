/* SPDX-License-Identifier: Apache-2.0 */
/* What a bundle keeps of its task: task.json and the start marks. */
#include "task_record.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "fs.h"
#include "record_file.h"

#define RECORD_FILE "task.json"
#define START_FILE  "start"

static const char *const stream_names[] = { "stdin", "stdout", "stderr" };

void es_task_record_clear(struct es_task_record *record)
{
	free(record->runtime);
	free(record->runtime_root);
	free(record->oci_bundle);
	for (size_t i = 0; i < ES_ARRAY_SIZE(record->stream); i++)
		free(record->stream[i]);
	free(record->restore_path);
	free(record->restore_work_path);
	memset(record, 0, sizeof(*record));
}

int es_task_record_write(struct es_bundle *bundle, struct es_json *json,
			 const struct es_task_record *record)
{
	const struct es_json_member members[] = {
		es_record_number("version", ES_RECORD_VERSION),
		es_record_number("trace_id", record->trace_id),
		es_record_string("boot_id", record->boot_id),
		es_record_string("runtime", record->runtime),
		es_record_string("runtime_root", record->runtime_root),
		es_record_string("bundle", record->oci_bundle),
		es_record_string(stream_names[0], record->stream[0]),
		es_record_string(stream_names[1], record->stream[1]),
		es_record_string(stream_names[2], record->stream[2]),
		es_record_string("restore_path", record->restore_path),
		es_record_string("restore_work_path", record->restore_work_path),
		es_record_number("flags", record->flags),
		es_record_number("runtime_timeout_ms", record->timeout_ms),
		es_record_number("io_uid", record->io_uid),
		es_record_number("io_gid", record->io_gid),
	};

	return es_record_write(es_bundle_dir(bundle), json, RECORD_FILE, members,
			       ES_ARRAY_SIZE(members));
}

static int get_optional(struct es_json *json, const char *path, char **ret)
{
	int r = es_json_get_string(json, path, ret);

	return r == -ENOENT ? 0 : r;
}

static int parse_record(struct es_json *json, struct es_task_record *ret)
{
	int r;

	if ((r = es_record_get_uint64(json, "$.trace_id", &ret->trace_id)) < 0 ||
	    (r = es_record_get_array(json, "$.boot_id", ret->boot_id, sizeof(ret->boot_id))) < 0 ||
	    (r = es_record_get_uint32(json, "$.flags", &ret->flags)) < 0 ||
	    (r = es_record_get_uint32(json, "$.runtime_timeout_ms", &ret->timeout_ms)) < 0 ||
	    (r = es_json_get_string(json, "$.runtime", &ret->runtime)) < 0 ||
	    (r = es_json_get_string(json, "$.runtime_root", &ret->runtime_root)) < 0 ||
	    (r = es_json_get_string(json, "$.bundle", &ret->oci_bundle)) < 0)
		return r == -ENOENT ? -EBADMSG : r;
	for (size_t i = 0; i < ES_ARRAY_SIZE(ret->stream); i++) {
		char path[16];

		snprintf(path, sizeof(path), "$.%s", stream_names[i]);
		r = get_optional(json, path, &ret->stream[i]);
		if (r < 0)
			return r;
	}
	if ((r = get_optional(json, "$.restore_path", &ret->restore_path)) < 0 ||
	    (r = get_optional(json, "$.restore_work_path", &ret->restore_work_path)) < 0)
		return r;
	/* Bundles of before there were owners have none. */
	if (es_record_get_uint32(json, "$.io_uid", &ret->io_uid) == -ENOMEM ||
	    es_record_get_uint32(json, "$.io_gid", &ret->io_gid) == -ENOMEM)
		return -ENOMEM;
	return ret->trace_id ? 0 : -EBADMSG;
}

int es_task_record_read(const struct es_bundle *bundle, struct es_json *json,
			struct es_task_record *ret)
{
	struct es_task_record record = { 0 };
	int r;

	r = es_record_load(es_bundle_dir(bundle), json, RECORD_FILE);
	if (r < 0)
		return r;
	r = parse_record(json, &record);
	if (r < 0) {
		es_task_record_clear(&record);
		return r;
	}
	*ret = record;
	return 0;
}

int es_task_init_from_runtime(const char *runtime_root, const char *id, struct es_json *json,
			      struct es_process_record *ret)
{
	cleanup_free char *dir = NULL, *text = NULL;
	cleanup_fd int fd = -EBADF;
	int64_t pid = 0, start = 0;
	size_t size;
	int r;

	r = es_path_join(&dir, runtime_root, id);
	if (r < 0)
		return r;
	fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return es_neg_errno();
	/* runc calls both of its files state.json, crun calls its own "status". */
	r = es_file_read(fd, "state.json", 16 << 20, &text, &size);
	if (r == -ENOENT)
		r = es_file_read(fd, "status", 16 << 20, &text, &size);
	if (r < 0)
		return r;
	r = es_json_load(json, text, size);
	if (r < 0)
		return r;
	if (es_json_get_int64(json, "$.init_process_pid", &pid) == 0) {
		r = es_json_get_int64(json, "$.init_process_start", &start);
	} else if (es_json_get_int64(json, "$.pid", &pid) == 0) {
		r = es_json_get_int64(json, "$.\"process-start-time\"", &start);
	} else {
		return -EBADMSG;
	}
	if (r < 0 || pid <= 0 || pid > INT32_MAX || start <= 0)
		return -EBADMSG;
	ret->pid = (pid_t)pid;
	ret->start_ticks = (uint64_t)start;
	return 0;
}

int es_task_start_mark_write(struct es_bundle *bundle, enum es_task_start_mark mark)
{
	const char *text = mark == ES_TASK_STARTED    ? "started\n"
			   : mark == ES_TASK_STARTING ? "starting\n"
						      : "created\n";

	return es_bundle_write(bundle, START_FILE, text, strlen(text));
}

enum es_task_start_mark es_task_start_mark_read(const struct es_bundle *bundle)
{
	cleanup_free char *text = NULL;
	int r;

	r = es_bundle_read(bundle, START_FILE, 64, &text, NULL);
	if (r == 0 && strcmp(text, "started\n") == 0)
		return ES_TASK_STARTED;
	if (r == -ENOENT || (r == 0 && strcmp(text, "created\n") == 0))
		return ES_TASK_NOT_STARTED;
	/* In doubt the process itself tells: see the caller. */
	return ES_TASK_STARTING;
}
