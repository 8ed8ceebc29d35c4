/* SPDX-License-Identifier: Apache-2.0 */
/* Children, and processes as values. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "fs.h"
#include "pidref.h"
#include "spawn.h"
#include "unit.h"

/* Run a shell line with the three streams given and return its wait status. */
static int shell(const char *line, const int fds[3], const char *const *env_drop)
{
	char *argv[] = { "sh", "-c", (char *)(uintptr_t)line, NULL };
	struct es_spawn spawn = { .program = "/bin/sh",
				  .argv = argv,
				  .env_drop = env_drop,
				  .cwd = scratch_dir(),
				  .fd = { fds[0], fds[1], fds[2] },
				  .mark_prog_fd = -1 };
	struct es_pidref child;
	int status = -1;

	ck_assert_int_eq(es_spawn(&spawn, &child), 0);
	ck_assert_int_eq(es_spawn_reap(&child, es_deadline_after_ms(20000), &status), 0);
	es_pidref_close(&child);
	return status;
}

/* The same, and what it has written. */
static char *shell_output(const char *line, const char *const *env_drop)
{
	static char text[4096];
	int fds[2], status;
	ssize_t n;

	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	status = shell(line, (int[]){ -1, fds[1], fds[1] }, env_drop);
	close(fds[1]);
	n = read(fds[0], text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = '\0';
	close(fds[0]);
	ck_assert_int_eq(status, 0);
	return text;
}

static const int nothing[3] = { -1, -1, -1 };

START_TEST(status_of_every_kind)
{
	ck_assert_int_eq(shell("exit 7", nothing, NULL), 7 << 8);
	ck_assert_int_eq(shell("kill -TERM $$", nothing, NULL), SIGTERM);
	scratch_clear();
}
END_TEST

START_TEST(clean_environment)
{
	static const char *const drop[] = { "NOTIFY_SOCKET", NULL };
	int leak = open("/dev/null", O_RDONLY); /* deliberately not close-on-exec */
	const char *status;

	setenv("NOTIFY_SOCKET", "/run/x", 1);
	setenv("NOTIFY_SOCKET_TOO", "kept", 1);
	ck_assert_str_eq(shell_output("echo $NOTIFY_SOCKET-$NOTIFY_SOCKET_TOO", drop), "-kept\n");
	ck_assert_str_eq(shell_output("echo /proc/self/fd/*", NULL),
			 "/proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2 /proc/self/fd/3\n");
	close(leak);
	/* Ignored and blocked signals are the host's business. */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	status = shell_output("cat /proc/self/status | grep -E 'Sig(Ign|Blk|Cgt)'", NULL);
	ck_assert_str_eq(status, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n"
				 "SigCgt:\t0000000000000000\n");
	ck_assert(signal(SIGPIPE, SIG_DFL) == SIG_IGN);
	/* A session of its own: a terminal's ^C does not reach it. */
	ck_assert_str_eq(shell_output("test $(ps -o sid= -p $$) = $$ && echo own", NULL), "own\n");
	scratch_clear();
}
END_TEST

/* Whatever numbers the three descriptors have, also those of the standard streams. */
START_TEST(descriptors_that_overlap)
{
	char path[PATH_MAX], *text;
	pid_t pid;
	int status;

	snprintf(path, sizeof(path), "%s", scratch("out"));
	pid = fork();
	if (pid == 0) {
		int out;

		close(0);
		close(1);
		close(2);
		out = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600); /* number 0 */
		_exit(out == 0 ? shell("echo to-out; echo to-err >&2", (int[]){ -1, 0, 0 }, NULL)
			       : 99);
	}
	waitpid(pid, &status, 0);
	ck_assert_int_eq(status, 0);
	ck_assert_int_eq(es_file_read(AT_FDCWD, path, 100, &text, NULL), 0);
	ck_assert_str_eq(text, "to-out\nto-err\n");
	free(text);
	scratch_clear();
}
END_TEST

START_TEST(what_cannot_run)
{
	char *argv[] = { "x", NULL };
	struct es_spawn spawn = { .argv = argv, .fd = { -1, -1, -1 }, .mark_prog_fd = -1 };
	struct es_pidref child;

	write_script(scratch("text"), "no program");
	spawn.program = scratch("text");
	ck_assert_int_eq(es_spawn(&spawn, &child), -ENOEXEC);
	spawn.program = "/no/such/program";
	ck_assert_int_eq(es_spawn(&spawn, &child), -ENOENT);
	spawn.program = "/etc";
	ck_assert_int_eq(es_spawn(&spawn, &child), -EACCES);
	spawn.program = "/bin/true";
	spawn.cwd = "/etc/passwd";
	ck_assert_int_eq(es_spawn(&spawn, &child), -ENOTDIR);
	spawn.cwd = "/no/such/dir";
	ck_assert_int_eq(es_spawn(&spawn, &child), -ENOENT);
	spawn.cwd = NULL;
	spawn.mark_prog_fd = 0;
	ck_assert_int_lt(es_spawn(&spawn, &child), 0);
	/* The host has no child it does not know of. */
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG | __WALL), -1);
	ck_assert_int_eq(errno, ECHILD);
	scratch_clear();
}
END_TEST

START_TEST(deadline_and_lost_status)
{
	char *argv[] = { "sleep", "100", NULL };
	struct es_spawn spawn = {
		.program = "/bin/sleep", .argv = argv, .fd = { -1, -1, -1 }, .mark_prog_fd = -1
	};
	struct es_pidref child;
	int status;

	ck_assert_int_eq(es_spawn(&spawn, &child), 0);
	ck_assert_int_eq(es_spawn_reap(&child, es_deadline_after_ms(20), &status), -ETIMEDOUT);
	ck_assert_int_eq(es_pidref_signal(&child, SIGKILL), 0);
	ck_assert_int_eq(es_spawn_reap(&child, ES_DEADLINE_NEVER, &status), 0);
	ck_assert_int_eq(status, SIGKILL);
	ck_assert_int_eq(es_pidref_signal(&child, SIGKILL), -ESRCH);
	es_pidref_close(&child);

	/* A host that lets the kernel reap. */
	signal(SIGCHLD, SIG_IGN);
	argv[1] = "0";
	ck_assert_int_eq(es_spawn(&spawn, &child), 0);
	ck_assert_int_eq(es_spawn_reap(&child, ES_DEADLINE_NEVER, &status), -ENODATA);
	es_pidref_close(&child);
	signal(SIGCHLD, SIG_DFL);
}
END_TEST

static void *spawn_many(void *arg)
{
	for (int i = 0; i < 25; i++)
		if (shell("exit 3", nothing, NULL) != 3 << 8)
			return arg;
	return NULL;
}

START_TEST(from_many_threads)
{
	pthread_t threads[8];
	void *result;

	scratch_dir();
	for (int i = 0; i < 8; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, spawn_many, threads), 0);
	for (int i = 0; i < 8; i++) {
		pthread_join(threads[i], &result);
		ck_assert_ptr_null(result);
	}
	scratch_clear();
}
END_TEST

START_TEST(find_program)
{
	char *path;

	ck_assert_int_eq(es_spawn_find_program("sh", &path), 0);
	ck_assert_int_eq(path[0], '/');
	free(path);
	ck_assert_int_eq(es_spawn_find_program("/bin/sh", &path), 0);
	ck_assert_str_eq(path, "/bin/sh");
	free(path);
	ck_assert_int_eq(es_spawn_find_program("no-such-program", &path), -ENOENT);
	ck_assert_int_eq(es_spawn_find_program("", &path), -ENOENT);
	ck_assert_int_eq(es_spawn_find_program("/etc/passwd", &path), -EACCES);
	ck_assert_int_eq(es_spawn_find_program("/etc", &path), -EACCES);
	setenv("PATH", "relative::/bin", 1);
	ck_assert_int_eq(es_spawn_find_program("sh", &path), 0);
	ck_assert_str_eq(path, "/bin/sh");
	free(path);
}
END_TEST

START_TEST(identity)
{
	struct es_pidref ref, again;
	uint64_t dev, inode, dev2, inode2;
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		pause();
		_exit(0);
	}
	ck_assert_int_eq(es_pidref_open(&ref, pid), 0);
	ck_assert_uint_gt(ref.start_ticks, 0);
	ck_assert(!es_pidref_has_exited(&ref));
	ck_assert_int_eq(es_pidref_take_status(&ref, false, &status), -EAGAIN);
	ck_assert_int_eq(es_pidref_reopen(&again, pid, ref.start_ticks, ref.inode), 0);
	es_pidref_close(&again);
	ck_assert_int_eq(es_pidref_reopen(&again, pid, ref.start_ticks + 1, 0), -ESRCH);
	if (ref.inode)
		ck_assert_int_eq(es_pidref_reopen(&again, pid, 0, ref.inode + 1), -ESRCH);
	ck_assert_int_eq(es_pidref_program(&ref, &dev, &inode), 0);
	ck_assert_int_eq(es_pidref_program(&(struct es_pidref){ .pid = getpid() }, &dev2, &inode2),
			 0);
	ck_assert(dev == dev2 && inode == inode2);
	ck_assert_int_eq(es_pidref_wait(&ref, es_deadline_after_ms(10)), -ETIMEDOUT);
	ck_assert_int_eq(es_pidref_signal(&ref, SIGUSR1), 0);
	ck_assert_int_eq(es_pidref_wait(&ref, ES_DEADLINE_NEVER), 0);
	/* A zombie can be opened, and its status looked at without taking it away. */
	ck_assert_int_eq(es_pidref_reopen(&again, pid, ref.start_ticks, ref.inode), 0);
	ck_assert_int_eq(es_pidref_take_status(&again, false, &status), 0);
	ck_assert_int_eq(status, SIGUSR1);
	ck_assert_int_eq(es_pidref_take_status(&again, true, &status), 0);
	ck_assert_int_eq(status, SIGUSR1);
	ck_assert_int_eq(waitpid(pid, &status, 0), -1);
	ck_assert_int_eq(es_pidref_open(&again, pid), -ESRCH);
	ck_assert_int_eq(es_pidref_open(&again, 0), -ESRCH);
	ck_assert_int_eq(es_pidref_open(&again, -1), -ESRCH);
	es_pidref_close(&ref);
}
END_TEST

/* More descriptors on 3, 4 ..., and an environment of its own. */
START_TEST(more_descriptors)
{
	static const char *const env[] = { "ONLY=this", NULL };
	char *argv[] = { "sh", "-c",
			 "tr '\\0' '\\n' </proc/$$/environ >&3; echo four >&5; "
			 "ls /proc/$$/fd >&3",
			 NULL };
	int pipes[2][2], status, more[3];
	struct es_spawn spawn = { .program = "/bin/sh",
				  .argv = argv,
				  .env = env,
				  .fd = { -1, -1, -1 },
				  .more_fd = more,
				  .more = 3,
				  .mark_prog_fd = -1 };
	struct es_pidref child;
	char text[256] = "";

	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(pipe2(pipes[i], O_CLOEXEC), 0);
	more[0] = pipes[0][1];
	more[1] = -1; /* stays closed */
	more[2] = pipes[1][1];
	ck_assert_int_eq(es_spawn_lasting(&spawn, &child), 0);
	ck_assert_uint_gt(child.start_ticks, 0);
	ck_assert_int_eq(es_spawn_reap(&child, es_deadline_after_ms(20000), &status), 0);
	ck_assert_int_eq(status, 0);
	es_pidref_close(&child);
	ck_assert_int_gt(read(pipes[1][0], text, sizeof(text) - 1), 0);
	ck_assert_str_eq(text, "four\n");
	memset(text, 0, sizeof(text));
	ck_assert_int_gt(read(pipes[0][0], text, sizeof(text) - 1), 0);
	ck_assert_msg(strncmp(text, "ONLY=this\n", 10) == 0, "%s", text);
	ck_assert_ptr_null(strstr(text, "4\n"));
	spawn.more = ES_SPAWN_MORE_MAX + 1;
	ck_assert_int_eq(es_spawn(&spawn, &child), -EINVAL);
}
END_TEST

UNIT_SUITE("spawn", status_of_every_kind, clean_environment, descriptors_that_overlap,
	   what_cannot_run, deadline_and_lost_status, from_many_threads, find_program, identity,
	   more_descriptors)
