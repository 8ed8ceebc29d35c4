/* SPDX-License-Identifier: Apache-2.0 */
/* What is on disk of one process: init.json, exit.json and the runtime's pid file. */
#include "process_record.h"

#include <fcntl.h>
#include <string.h>

#include "fs.h"
#include "record_file.h"

#define INIT_FILE "init.json"
#define EXIT_FILE "exit.json"

int es_process_record_write(const char *dir, struct es_json *json,
			    const struct es_process_record *init)
{
	const struct es_json_member members[] = {
		es_record_number("version", ES_RECORD_VERSION),
		es_record_number("trace_id", init->trace_id),
		es_record_string("boot_id", init->boot_id),
		es_record_number("pid", (uint64_t)init->pid),
		es_record_number("start_ticks", init->start_ticks),
		es_record_number("pidfs_inode", init->inode),
		es_record_number("program_dev", init->program_dev),
		es_record_number("program_inode", init->program_inode),
	};

	return es_record_write(dir, json, INIT_FILE, members, ES_ARRAY_SIZE(members));
}

int es_process_record_read(const char *dir, struct es_json *json, struct es_process_record *ret)
{
	struct es_process_record init = { 0 };
	uint32_t pid;
	int r;

	r = es_record_load(dir, json, INIT_FILE);
	if (r < 0)
		return r;
	if ((r = es_record_get_uint64(json, "$.trace_id", &init.trace_id)) < 0 ||
	    (r = es_record_get_array(json, "$.boot_id", init.boot_id, sizeof(init.boot_id))) < 0 ||
	    (r = es_record_get_uint32(json, "$.pid", &pid)) < 0 ||
	    (r = es_record_get_uint64(json, "$.start_ticks", &init.start_ticks)) < 0 ||
	    (r = es_record_get_uint64(json, "$.pidfs_inode", &init.inode)) < 0 ||
	    (r = es_record_get_uint64(json, "$.program_dev", &init.program_dev)) < 0 ||
	    (r = es_record_get_uint64(json, "$.program_inode", &init.program_inode)) < 0)
		return r;
	if (!init.trace_id || !pid || pid > INT32_MAX)
		return -EBADMSG;
	init.pid = (pid_t)pid;
	*ret = init;
	return 0;
}

int es_exit_record_write(const char *dir, struct es_json *json, const struct es_exit *exit)
{
	const struct es_json_member members[] = {
		es_record_number("version", ES_RECORD_VERSION),
		es_record_number("trace_id", exit->trace_id),
		es_record_number("pid", (uint64_t)exit->pid),
		es_record_number("status", (uint64_t)(int64_t)exit->status),
		es_record_number("code", (uint64_t)(int64_t)exit->code),
		es_record_number("signal", (uint64_t)exit->signal),
		es_record_number("source", exit->source),
		es_record_number("flags", exit->flags),
		es_record_number("started_boot_ns", exit->started_boot_ns),
		es_record_number("started_real_ns", exit->started_real_ns),
		es_record_number("exited_boot_ns", exit->exited_boot_ns),
		es_record_number("exited_real_ns", exit->exited_real_ns),
		es_record_number("peak_rss_bytes", exit->peak_rss_bytes),
		es_record_number("user_ns", exit->user_ns),
		es_record_number("system_ns", exit->system_ns),
		es_record_number("cgroup_id", exit->cgroup_id),
	};

	return es_record_write(dir, json, EXIT_FILE, members, ES_ARRAY_SIZE(members));
}

static int parse_exit(struct es_json *json, struct es_exit *ret)
{
	int r;

	if ((r = es_record_get_uint64(json, "$.trace_id", &ret->trace_id)) < 0 ||
	    (r = es_record_get_int32(json, "$.pid", &ret->pid)) < 0 ||
	    (r = es_record_get_int32(json, "$.status", &ret->status)) < 0 ||
	    (r = es_record_get_int32(json, "$.code", &ret->code)) < 0 ||
	    (r = es_record_get_int32(json, "$.signal", &ret->signal)) < 0 ||
	    (r = es_record_get_uint32(json, "$.source", &ret->source)) < 0 ||
	    (r = es_record_get_uint32(json, "$.flags", &ret->flags)) < 0 ||
	    (r = es_record_get_uint64(json, "$.started_boot_ns", &ret->started_boot_ns)) < 0 ||
	    (r = es_record_get_uint64(json, "$.started_real_ns", &ret->started_real_ns)) < 0 ||
	    (r = es_record_get_uint64(json, "$.exited_boot_ns", &ret->exited_boot_ns)) < 0 ||
	    (r = es_record_get_uint64(json, "$.exited_real_ns", &ret->exited_real_ns)) < 0 ||
	    (r = es_record_get_uint64(json, "$.peak_rss_bytes", &ret->peak_rss_bytes)) < 0 ||
	    (r = es_record_get_uint64(json, "$.user_ns", &ret->user_ns)) < 0 ||
	    (r = es_record_get_uint64(json, "$.system_ns", &ret->system_ns)) < 0 ||
	    (r = es_record_get_uint64(json, "$.cgroup_id", &ret->cgroup_id)) < 0)
		return r;
	return 0;
}

int es_exit_record_read(const char *dir, struct es_json *json, uint64_t trace_id,
			struct es_exit *ret)
{
	struct es_exit exit = { 0 };
	int r;

	r = es_record_load(dir, json, EXIT_FILE);
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

pid_t es_pid_file_read(const char *dir)
{
	cleanup_free char *text = NULL;
	cleanup_fd int fd = -EBADF;
	char *end;
	long pid;
	int r;

	fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return es_neg_errno();
	r = es_file_read(fd, ES_PID_FILE, 64, &text, NULL);
	if (r < 0)
		return r == -ENOENT ? r : -EBADMSG;
	errno = 0;
	pid = strtol(text, &end, 10);
	if (errno || end == text || (*end && *end != '\n') || pid <= 0 || pid > INT32_MAX)
		return -EBADMSG;
	return (pid_t)pid;
}

void es_pid_file_remove(const char *dir)
{
	cleanup_fd int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return;
	unlinkat(fd, ES_PID_FILE, 0);
	/* runc writes it under this name, and fails if that exists. */
	unlinkat(fd, "." ES_PID_FILE, 0);
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
