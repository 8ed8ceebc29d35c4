/* SPDX-License-Identifier: Apache-2.0 */
/* Tells criu of a container's output streams, which lie outside of the container. */
#include "criu.h"

#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "fs.h"

#ifndef PIPEFS_MAGIC
#define PIPEFS_MAGIC 0x50495045
#endif

#define STREAMS_FILE	"embedshim-streams"
#define CONFIG_VARIABLE "CRIU_CONFIG_FILE="
#define CONFIG_FILE	"criu.conf"
#define STREAMS_MAX	256
#define MOUNTS_MAX	(4 << 20)
#define FORMAT_STREAM	"fd[%d]:file[%" PRIx64 ":%" PRIx64 "]"
#define FORMAT_EXTERNAL "external file[%" PRIx64 ":%" PRIx64 "]\n"

/* An open file as criu names it. mount 0: nothing that criu has to be told of. */
struct stream {
	uint64_t mount, inode;
};

static bool leads_to(const char *mountinfo, uint64_t mount)
{
	for (const char *line = mountinfo; line && *line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strtoull(line, NULL, 10) == mount)
			return true;
	}
	return false;
}

static int find_stream(int proc, const char *mountinfo, int number, struct stream *ret)
{
	cleanup_fd int fd = -EBADF;
	struct statfs fs;
	struct statx st;
	char name[16];

	*ret = (struct stream){ 0 };
	snprintf(name, sizeof(name), "fd/%d", number);
	fd = openat(proc, name, O_PATH | O_CLOEXEC);
	/* The process may have closed it. */
	if (fd < 0)
		return errno == ENOENT ? 0 : es_neg_errno();
	if (fstatfs(fd, &fs) < 0 ||
	    statx(fd, "", AT_EMPTY_PATH, STATX_TYPE | STATX_INO | STATX_MNT_ID, &st) < 0)
		return es_neg_errno();
	if (fs.f_type == PIPEFS_MAGIC || !(S_ISFIFO(st.stx_mode) || S_ISREG(st.stx_mode)) ||
	    leads_to(mountinfo, st.stx_mnt_id))
		return 0;
	*ret = (struct stream){ .mount = st.stx_mnt_id, .inode = st.stx_ino };
	return 0;
}

static int write_in(const char *directory, const char *name, const char *text)
{
	cleanup_fd int fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? es_neg_errno() : es_file_write(fd, name, text, strlen(text), 0600);
}

static int write_config(const char *work_path, const char *text, char **ret_env)
{
	int r = write_in(work_path, CONFIG_FILE, text);

	if (r == 0 && asprintf(ret_env, CONFIG_VARIABLE "%s/" CONFIG_FILE, work_path) < 0) {
		*ret_env = NULL;
		return -ENOMEM;
	}
	return r;
}

int es_criu_dump_streams(pid_t pid, const char *image_path, const char *work_path, char **ret_env)
{
	char path[32], config[STREAMS_MAX] = "", kept[STREAMS_MAX] = "";
	cleanup_free char *mountinfo = NULL;
	cleanup_fd int proc = -EBADF;
	size_t n = 0, m = 0;
	int r;

	*ret_env = NULL;
	snprintf(path, sizeof(path), "/proc/%d", pid);
	proc = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (proc < 0)
		return es_neg_errno();
	r = es_file_read(proc, "mountinfo", MOUNTS_MAX, &mountinfo, NULL);
	for (int i = 1; r == 0 && i <= 2; i++) {
		struct stream s;

		r = find_stream(proc, mountinfo, i, &s);
		if (r < 0 || !s.mount)
			continue;
		n += (size_t)snprintf(config + n, sizeof(config) - n, FORMAT_EXTERNAL, s.mount,
				      s.inode);
		m += (size_t)snprintf(kept + m, sizeof(kept) - m, FORMAT_STREAM "\n", i, s.mount,
				      s.inode);
	}
	if (r < 0 || !n)
		return r;
	r = es_dir_make_all(image_path, 0711);
	if (r == 0)
		r = write_in(image_path, STREAMS_FILE, kept);
	return r < 0 ? r : write_config(work_path, config, ret_env);
}

int es_criu_restore_streams(const char *image_path, const char *work_path, char **ret_env)
{
	cleanup_fd int fd = open(image_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	cleanup_free char *kept = NULL;
	char config[2 * STREAMS_MAX] = "", *line, *rest;
	size_t n = 0;
	int r;

	*ret_env = NULL;
	/* What the matter is with an image is for the runtime to say. */
	if (fd < 0)
		return 0;
	r = es_file_read(fd, STREAMS_FILE, STREAMS_MAX, &kept, NULL);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	for (line = strtok_r(kept, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		struct stream s;
		int number;

		if (sscanf(line, "fd[%d]:file[%" SCNx64 ":%" SCNx64 "]", &number, &s.mount,
			   &s.inode) != 3 ||
		    number < 1 || number > 2)
			return -EBADMSG;
		n += (size_t)snprintf(config + n, sizeof(config) - n,
				      "inherit-fd " FORMAT_STREAM "\n", number, s.mount, s.inode);
	}
	return n ? write_config(work_path, config, ret_env) : 0;
}

void es_criu_env_clear(char **env)
{
	if (*env)
		unlink(*env + strlen(CONFIG_VARIABLE));
	free(*env);
}
