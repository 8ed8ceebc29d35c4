/* SPDX-License-Identifier: Apache-2.0 */
/* What criu is told of streams that lie outside of the container. */
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "criu.h"
#include "fs.h"
#include "unit.h"

/* A process whose mounts are copies: what it has had open lies outside. */
static pid_t start(int out, int err)
{
	int ready[2];
	char c;
	pid_t pid;

	ck_assert_int_eq(pipe2(ready, O_CLOEXEC), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		dup2(out, STDOUT_FILENO);
		dup2(err, STDERR_FILENO);
		if (unshare(CLONE_NEWNS) < 0 || write(ready[1], "r", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	ck_assert_int_eq(read(ready[0], &c, 1), 1);
	close(ready[0]);
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}

static char *content(const char *directory, const char *name)
{
	int fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
	char *text;

	ck_assert_int_eq(es_file_read(fd, name, 4096, &text, NULL), 0);
	close(fd);
	return text;
}

static void make_directories(void)
{
	ck_assert_int_eq(mkdir(scratch("image"), 0700) | mkdir(scratch("work"), 0700), 0);
}

static bool is_root(void)
{
	if (geteuid() != 0)
		printf("not root: no mount namespace can be made\n");
	return geteuid() == 0;
}

START_TEST(outside)
{
	char want[256], *env, *text;
	int fifo, file;
	struct statx a, b;
	pid_t pid;

	if (!is_root())
		return;
	make_directories();
	ck_assert_int_eq(mkfifo(scratch("fifo"), 0600), 0);
	fifo = open(scratch("fifo"), O_RDWR | O_CLOEXEC);
	file = open(scratch("file"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	ck_assert_int_eq(statx(fifo, "", AT_EMPTY_PATH, STATX_INO | STATX_MNT_ID, &a), 0);
	ck_assert_int_eq(statx(file, "", AT_EMPTY_PATH, STATX_INO | STATX_MNT_ID, &b), 0);
	pid = start(fifo, file);
	ck_assert_int_eq(es_criu_dump_streams(pid, scratch("image"), scratch("work"), &env), 0);
	end(pid);
	snprintf(want, sizeof(want), "CRIU_CONFIG_FILE=%s/criu.conf", scratch("work"));
	ck_assert_str_eq(env, want);
	free(env);
	text = content(scratch("work"), "criu.conf");
	snprintf(want, sizeof(want), "external file[%llx:%llx]\nexternal file[%llx:%llx]\n",
		 (unsigned long long)a.stx_mnt_id, (unsigned long long)a.stx_ino,
		 (unsigned long long)b.stx_mnt_id, (unsigned long long)b.stx_ino);
	ck_assert_str_eq(text, want);
	free(text);

	ck_assert_int_eq(es_criu_restore_streams(scratch("image"), scratch("work"), &env), 0);
	ck_assert_ptr_nonnull(env);
	text = content(scratch("work"), "criu.conf");
	es_criu_env_clear(&env);
	ck_assert_int_lt(access(scratch("work/criu.conf"), F_OK), 0);
	snprintf(want, sizeof(want),
		 "inherit-fd fd[1]:file[%llx:%llx]\ninherit-fd fd[2]:file[%llx:%llx]\n",
		 (unsigned long long)a.stx_mnt_id, (unsigned long long)a.stx_ino,
		 (unsigned long long)b.stx_mnt_id, (unsigned long long)b.stx_ino);
	ck_assert_str_eq(text, want);
	free(text);
	close(fifo);
	close(file);
	scratch_clear();
}
END_TEST

/* The runtime names pipes itself, and what is inside criu finds by its path. */
START_TEST(nothing_to_tell)
{
	int fds[2], null = open("/dev/null", O_RDWR | O_CLOEXEC);
	char *env;
	pid_t pid;

	if (!is_root())
		return;
	make_directories();
	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	pid = start(fds[1], null);
	ck_assert_int_eq(es_criu_dump_streams(pid, scratch("image"), scratch("work"), &env), 0);
	ck_assert_ptr_null(env);
	end(pid);
	ck_assert_int_eq(es_criu_dump_streams(pid, scratch("image"), scratch("work"), &env),
			 -ENOENT);
	ck_assert_int_eq(es_criu_restore_streams(scratch("image"), scratch("work"), &env), 0);
	ck_assert_ptr_null(env);
	close(fds[0]);
	close(fds[1]);
	close(null);
	scratch_clear();
}
END_TEST

/* An image may come from anywhere. */
START_TEST(foreign_lists)
{
	static const char *const lists[] = {
		"action-script /tmp/x\n", "fd[0]:file[1:2]\n",
		"fd[3]:file[1:2]\n",	  "fd[1]:file[1:2]\naction-script /tmp/x\n",
		"fd[1]:pipe[1]\n",
	};
	char *env;

	make_directories();
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		int fd = open(scratch("image"), O_PATH | O_DIRECTORY | O_CLOEXEC);

		ck_assert_int_eq(
			es_file_write(fd, "embedshim-streams", lists[i], strlen(lists[i]), 0600),
			0);
		close(fd);
		ck_assert_int_eq(es_criu_restore_streams(scratch("image"), scratch("work"), &env),
				 -EBADMSG);
		ck_assert_ptr_null(env);
		ck_assert_int_lt(access(scratch("work/criu.conf"), F_OK), 0);
	}
	scratch_clear();
}
END_TEST

UNIT_SUITE("criu", outside, nothing_to_tell, foreign_lists)
