/* SPDX-License-Identifier: Apache-2.0 */
/* What a bundle keeps of its task: task.json, init.json, exit.json and the start marks. */
#include "task_record.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "fs.h"

#define RECORD_FILE "task.json"
#define INIT_FILE   "init.json"
#define EXIT_FILE   "exit.json"
#define START_FILE  "start"

/* Of the layout of these files; a reader refuses a larger one. */
#define RECORD_VERSION	1
#define RECORD_SIZE_MAX (256 * 1024)

static const char *const stream_names[] = { "stdin", "stdout", "stderr" };

void es_task_record_clear(struct es_task_record *record)
{
	free(record->runtime);
	free(record->runtime_root);
	free(record->oci_bundle);
	for (size_t i = 0; i < ES_ARRAY_SIZE(record->stream); i++)
		free(record->stream[i]);
	memset(record, 0, sizeof(*record));
}

static struct es_json_member string_member(const char *name, const char *value)
{
	return (struct es_json_member){ .name = name, .type = ES_JSON_STRING, .string = value };
}

static struct es_json_member number_member(const char *name, uint64_t value)
{
	return (struct es_json_member){ .name = name,
					.type = ES_JSON_INT64,
					.integer = (int64_t)value };
}

static int write_object(struct es_bundle *bundle, struct es_json *json, const char *name,
			const struct es_json_member *members, size_t n)
{
	cleanup_free char *text = NULL;
	int r;

	r = es_json_object(json, members, n, &text);
	if (r < 0)
		return r;
	return es_bundle_write(bundle, name, text, strlen(text));
}

static int get_number(struct es_json *json, const char *path, uint64_t *ret)
{
	int64_t value;
	int r;

	r = es_json_get_int64(json, path, &value);
	if (r < 0)
		return r == -ENOENT ? -EBADMSG : r;
	*ret = (uint64_t)value;
	return 0;
}

static int get_number32(struct es_json *json, const char *path, uint32_t *ret)
{
	uint64_t value;
	int r;

	r = get_number(json, path, &value);
	if (r < 0)
		return r;
	if (value > UINT32_MAX)
		return -EBADMSG;
	*ret = (uint32_t)value;
	return 0;
}

/* A string that fits, into a fixed array. */
static int get_array(struct es_json *json, const char *path, char *ret, size_t size)
{
	cleanup_free char *text = NULL;
	int r;

	r = es_json_get_string(json, path, &text);
	if (r < 0)
		return r == -ENOENT ? -EBADMSG : r;
	if (strlen(text) >= size)
		return -EBADMSG;
	memcpy(ret, text, strlen(text) + 1);
	return 0;
}

/* Load a file of ours and check what every one of them begins with. */
static int load_file(const struct es_bundle *bundle, struct es_json *json, const char *name)
{
	cleanup_free char *text = NULL;
	uint64_t version;
	size_t size;
	int r;

	r = es_bundle_read(bundle, name, RECORD_SIZE_MAX, &text, &size);
	if (r < 0)
		return r == -EFBIG || r == -EINVAL ? -EBADMSG : r;
	r = es_json_load(json, text, size);
	if (r < 0)
		return r;
	r = get_number(json, "$.version", &version);
	if (r < 0)
		return r;
	return version > RECORD_VERSION ? -EBADMSG : 0;
}

int es_task_record_write(struct es_bundle *bundle, struct es_json *json,
			 const struct es_task_record *record)
{
	const struct es_json_member members[] = {
		number_member("version", RECORD_VERSION),
		number_member("trace_id", record->trace_id),
		string_member("boot_id", record->boot_id),
		string_member("runtime", record->runtime),
		string_member("runtime_root", record->runtime_root),
		string_member("bundle", record->oci_bundle),
		string_member(stream_names[0], record->stream[0]),
		string_member(stream_names[1], record->stream[1]),
		string_member(stream_names[2], record->stream[2]),
		number_member("flags", record->flags),
		number_member("runtime_timeout_ms", record->timeout_ms),
	};

	return write_object(bundle, json, RECORD_FILE, members, ES_ARRAY_SIZE(members));
}

static int parse_record(struct es_json *json, struct es_task_record *ret)
{
	int r;

	if ((r = get_number(json, "$.trace_id", &ret->trace_id)) < 0 ||
	    (r = get_array(json, "$.boot_id", ret->boot_id, sizeof(ret->boot_id))) < 0 ||
	    (r = get_number32(json, "$.flags", &ret->flags)) < 0 ||
	    (r = get_number32(json, "$.runtime_timeout_ms", &ret->timeout_ms)) < 0 ||
	    (r = es_json_get_string(json, "$.runtime", &ret->runtime)) < 0 ||
	    (r = es_json_get_string(json, "$.runtime_root", &ret->runtime_root)) < 0 ||
	    (r = es_json_get_string(json, "$.bundle", &ret->oci_bundle)) < 0)
		return r == -ENOENT ? -EBADMSG : r;
	for (size_t i = 0; i < ES_ARRAY_SIZE(ret->stream); i++) {
		char path[16];

		snprintf(path, sizeof(path), "$.%s", stream_names[i]);
		r = es_json_get_string(json, path, &ret->stream[i]);
		if (r < 0 && r != -ENOENT)
			return r;
	}
	return ret->trace_id ? 0 : -EBADMSG;
}

int es_task_record_read(const struct es_bundle *bundle, struct es_json *json,
			struct es_task_record *ret)
{
	struct es_task_record record = { 0 };
	int r;

	r = load_file(bundle, json, RECORD_FILE);
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

int es_task_init_write(struct es_bundle *bundle, struct es_json *json,
		       const struct es_task_init *init)
{
	const struct es_json_member members[] = {
		number_member("version", RECORD_VERSION),
		number_member("trace_id", init->trace_id),
		string_member("boot_id", init->boot_id),
		number_member("pid", (uint64_t)init->pid),
		number_member("start_ticks", init->start_ticks),
		number_member("pidfs_inode", init->inode),
		number_member("program_dev", init->program_dev),
		number_member("program_inode", init->program_inode),
	};

	return write_object(bundle, json, INIT_FILE, members, ES_ARRAY_SIZE(members));
}

int es_task_init_read(const struct es_bundle *bundle, struct es_json *json,
		      struct es_task_init *ret)
{
	struct es_task_init init = { 0 };
	uint32_t pid;
	int r;

	r = load_file(bundle, json, INIT_FILE);
	if (r < 0)
		return r;
	if ((r = get_number(json, "$.trace_id", &init.trace_id)) < 0 ||
	    (r = get_array(json, "$.boot_id", init.boot_id, sizeof(init.boot_id))) < 0 ||
	    (r = get_number32(json, "$.pid", &pid)) < 0 ||
	    (r = get_number(json, "$.start_ticks", &init.start_ticks)) < 0 ||
	    (r = get_number(json, "$.pidfs_inode", &init.inode)) < 0 ||
	    (r = get_number(json, "$.program_dev", &init.program_dev)) < 0 ||
	    (r = get_number(json, "$.program_inode", &init.program_inode)) < 0)
		return r;
	if (!init.trace_id || !pid || pid > INT32_MAX)
		return -EBADMSG;
	init.pid = (pid_t)pid;
	*ret = init;
	return 0;
}

int es_task_exit_write(struct es_bundle *bundle, struct es_json *json, const struct es_exit *exit)
{
	const struct es_json_member members[] = {
		number_member("version", RECORD_VERSION),
		number_member("trace_id", exit->trace_id),
		number_member("pid", (uint64_t)exit->pid),
		number_member("status", (uint64_t)(int64_t)exit->status),
		number_member("code", (uint64_t)(int64_t)exit->code),
		number_member("signal", (uint64_t)exit->signal),
		number_member("source", exit->source),
		number_member("flags", exit->flags),
		number_member("started_boot_ns", exit->started_boot_ns),
		number_member("started_real_ns", exit->started_real_ns),
		number_member("exited_boot_ns", exit->exited_boot_ns),
		number_member("exited_real_ns", exit->exited_real_ns),
		number_member("peak_rss_bytes", exit->peak_rss_bytes),
		number_member("user_ns", exit->user_ns),
		number_member("system_ns", exit->system_ns),
		number_member("cgroup_id", exit->cgroup_id),
	};

	return write_object(bundle, json, EXIT_FILE, members, ES_ARRAY_SIZE(members));
}

static int get_int32(struct es_json *json, const char *path, int32_t *ret)
{
	int64_t value;
	int r;

	r = es_json_get_int64(json, path, &value);
	if (r < 0)
		return r == -ENOENT ? -EBADMSG : r;
	if (value < INT32_MIN || value > INT32_MAX)
		return -EBADMSG;
	*ret = (int32_t)value;
	return 0;
}

static int parse_exit(struct es_json *json, struct es_exit *ret)
{
	int r;

	if ((r = get_number(json, "$.trace_id", &ret->trace_id)) < 0 ||
	    (r = get_int32(json, "$.pid", &ret->pid)) < 0 ||
	    (r = get_int32(json, "$.status", &ret->status)) < 0 ||
	    (r = get_int32(json, "$.code", &ret->code)) < 0 ||
	    (r = get_int32(json, "$.signal", &ret->signal)) < 0 ||
	    (r = get_number32(json, "$.source", &ret->source)) < 0 ||
	    (r = get_number32(json, "$.flags", &ret->flags)) < 0 ||
	    (r = get_number(json, "$.started_boot_ns", &ret->started_boot_ns)) < 0 ||
	    (r = get_number(json, "$.started_real_ns", &ret->started_real_ns)) < 0 ||
	    (r = get_number(json, "$.exited_boot_ns", &ret->exited_boot_ns)) < 0 ||
	    (r = get_number(json, "$.exited_real_ns", &ret->exited_real_ns)) < 0 ||
	    (r = get_number(json, "$.peak_rss_bytes", &ret->peak_rss_bytes)) < 0 ||
	    (r = get_number(json, "$.user_ns", &ret->user_ns)) < 0 ||
	    (r = get_number(json, "$.system_ns", &ret->system_ns)) < 0 ||
	    (r = get_number(json, "$.cgroup_id", &ret->cgroup_id)) < 0)
		return r;
	return 0;
}

int es_task_exit_read(const struct es_bundle *bundle, struct es_json *json, uint64_t trace_id,
		      struct es_exit *ret)
{
	struct es_exit exit = { 0 };
	int r;

	r = load_file(bundle, json, EXIT_FILE);
	if (r < 0)
		return r;
	r = parse_exit(json, &exit);
	if (r < 0)
		return r;
	if (exit.trace_id != trace_id || exit.source < ES_EXIT_BPF || exit.source > ES_EXIT_LOST)
		return -EBADMSG;
	*ret = exit;
	return 0;
}

int es_task_init_from_runtime(const char *runtime_root, const char *id, struct es_json *json,
			      struct es_task_init *ret)
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

pid_t es_task_pid_file_read(const struct es_bundle *bundle)
{
	cleanup_free char *text = NULL;
	char *end;
	long pid;
	int r;

	r = es_bundle_read(bundle, ES_TASK_PID_FILE, 64, &text, NULL);
	if (r < 0)
		return r == -ENOENT ? r : -EBADMSG;
	errno = 0;
	pid = strtol(text, &end, 10);
	if (errno || end == text || (*end && *end != '\n') || pid <= 0 || pid > INT32_MAX)
		return -EBADMSG;
	return (pid_t)pid;
}

void es_boot_id_read(char ret[40])
{
	cleanup_fd int fd = -EBADF;
	ssize_t n = 0;

	fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		n = read(fd, ret, 39);
	if (n < 0)
		n = 0;
	while (n > 0 && ret[n - 1] == '\n')
		n--;
	ret[n] = '\0';
}
