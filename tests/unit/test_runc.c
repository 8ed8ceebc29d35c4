/* SPDX-License-Identifier: Apache-2.0 */
/* The OCI runtime as functions, its log, the streams it is given, the statuses it leaves. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cgroup.h"
#include "clock.h"
#include "exit_status.h"
#include "fs.h"
#include "runc.h"
#include "runc_log.h"
#include "spawn.h"
#include "task_io.h"
#include "task_state.h"
#include "unit.h"

static struct es_error error;

static struct es_runc fake(const char *script)
{
	static char program[PATH_MAX], log[PATH_MAX], bundle[PATH_MAX];

	snprintf(program, sizeof(program), "%s", scratch("runtime"));
	snprintf(log, sizeof(log), "%s", scratch("log.json"));
	snprintf(bundle, sizeof(bundle), "%s", scratch_dir());
	write_script(program, script);
	return (struct es_runc){ .program = program,
				 .root = "/run/test-root",
				 .id = "c1",
				 .bundle = bundle,
				 .log = log,
				 .timeout_ms = 10000 };
}

static const char *content(const char *name)
{
	static char text[8192];
	char *read = NULL;

	ck_assert_int_eq(es_file_read(AT_FDCWD, scratch(name), sizeof(text) - 1, &read, NULL), 0);
	snprintf(text, sizeof(text), "%s", read);
	free(read);
	return text;
}

static void terminal_arguments(const struct es_runc *runc, const struct es_runc_create *create)
{
	struct es_runc_restore restore = { .image_path = "/image",
					   .work_path = "/work",
					   .create = *create };
	struct es_runc_exec exec = { .process_file = "/p.json",
				     .pid_file = "/e/init.pid",
				     .console_socket = "/e/console.sock",
				     .io = create->io,
				     .mark_prog_fd = -1 };

	restore.create.console_socket = "/b/console.sock";
	ck_assert_int_eq(es_runc_create(runc, &restore.create, &error), 0);
	ck_assert_ptr_nonnull(strstr(content("out"),
				     "--pid-file /b/init.pid --console-socket /b/console.sock "
				     "--no-pivot --no-new-keyring c1\n"));
	ck_assert_int_eq(es_runc_restore(runc, &restore, &error), 0);
	ck_assert_ptr_nonnull(strstr(content("out"),
				     "restore --image-path /image --work-path /work --detach "
				     "--no-subreaper --bundle"));
	ck_assert_ptr_nonnull(strstr(content("out"), "--console-socket /b/console.sock "));
	ck_assert_int_eq(es_runc_exec(runc, &exec, &error), 0);
	ck_assert_ptr_nonnull(strstr(content("out"),
				     "exec --process /p.json --console-socket /e/console.sock "
				     "--detach --pid-file /e/init.pid c1\n"));
}

START_TEST(arguments)
{
	struct es_runc runc =
		fake("#!/bin/sh\npwd > out\necho \"$@\" >> out\necho \"$NOTIFY_SOCKET\" >> out\n");
	struct es_task_io io = ES_TASK_IO_NULL;
	struct es_runc_create create = { .pid_file = "/b/init.pid", .io = &io, .mark_prog_fd = -1 };
	char expected[4096];

	setenv("NOTIFY_SOCKET", "/run/notify", 1);
	ck_assert_int_eq(es_runc_create(&runc, &create, &error), 0);
	snprintf(expected, sizeof(expected),
		 "%s\n--root /run/test-root --log %s --log-format json create --bundle %s "
		 "--pid-file "
		 "/b/init.pid c1\n\n",
		 runc.bundle, runc.log, runc.bundle);
	ck_assert_str_eq(content("out"), expected);
	create.no_pivot = create.no_new_keyring = runc.systemd_cgroup = true;
	ck_assert_int_eq(es_runc_create(&runc, &create, &error), 0);
	snprintf(expected, sizeof(expected),
		 "%s\n--root /run/test-root --log %s --log-format json --systemd-cgroup create "
		 "--bundle %s --pid-file /b/init.pid --no-pivot --no-new-keyring c1\n\n",
		 runc.bundle, runc.log, runc.bundle);
	ck_assert_str_eq(content("out"), expected);
	terminal_arguments(&runc, &create);
	ck_assert_int_eq(es_runc_start(&runc, &error), 0);
	ck_assert_ptr_nonnull(strstr(content("out"), "--systemd-cgroup start c1\n"));
	ck_assert_int_eq(es_runc_delete(&runc, false, &error), 0);
	ck_assert_ptr_nonnull(strstr(content("out"), "--systemd-cgroup delete c1\n"));
	ck_assert_int_eq(es_runc_delete(&runc, true, &error), 0);
	ck_assert_ptr_nonnull(strstr(content("out"), "--systemd-cgroup delete --force c1\n"));
	scratch_clear();
}
END_TEST

START_TEST(failures)
{
	struct es_runc runc;

	/* The last error since the command began, not one of before. */
	runc = fake("#!/bin/sh\nexit 1\n");
	write_script(runc.log, "{\"level\":\"error\",\"msg\":\"an old one\"}\n");
	ck_assert_int_eq(es_runc_start(&runc, &error), -EIO);
	ck_assert_ptr_nonnull(strstr(error.message, "gave no reason"));
	ck_assert_int_eq(error.runtime_exit, 1);
	runc = fake("#!/bin/sh\necho '{\"level\":\"error\",\"msg\":\"first\"}' >> $4\n"
		    "echo '{\"level\":\"error\",\"msg\":\"second\"}' >> $4\n"
		    "echo '{\"level\":\"info\",\"msg\":\"third\"}' >> $4\nexit 2\n");
	ck_assert_int_eq(es_runc_start(&runc, &error), -EIO);
	ck_assert_str_eq(error.message, "OCI runtime start failed: second");
	ck_assert_int_eq(error.runtime_exit, 2);
	/* Without a log the end of stderr, however much there is. */
	runc = fake("#!/bin/sh\nyes 0123456789 | head -n 1000000 >&2\necho the end >&2\nexit 3\n");
	ck_assert_int_eq(es_runc_start(&runc, &error), -EIO);
	ck_assert_str_eq(error.message, "OCI runtime start failed: the end");
	runc = fake("#!/bin/sh\nkill -SEGV $$\n");
	ck_assert_int_eq(es_runc_start(&runc, &error), -EIO);
	ck_assert_int_eq(error.runtime_exit, 128 + SIGSEGV);
	runc = fake("#!/bin/sh\nsleep 100\n");
	runc.timeout_ms = 50;
	ck_assert_int_eq(es_runc_start(&runc, &error), -ETIMEDOUT);
	ck_assert_ptr_nonnull(strstr(error.message, "50 ms"));
	/* What the runtime does not know is deleted. */
	runc = fake("#!/bin/sh\necho '{\"level\":\"error\",\"msg\":\"container does not exist\"}' "
		    ">> $4\n"
		    "exit 1\n");
	ck_assert_int_eq(es_runc_delete(&runc, false, &error), 0);
	ck_assert_int_eq(es_runc_start(&runc, &error), -EIO);
	scratch_clear();
}
END_TEST

/* What the real ones say of a container that is not there. */
START_TEST(real_runtimes)
{
	static const char *const programs[] = { "runc", "crun" };

	for (size_t i = 0; i < 2; i++) {
		struct es_runc runc = fake("");
		char *program;

		if (es_spawn_find_program(programs[i], &program) < 0) {
			printf("SKIPPED a part: %s is not installed\n", programs[i]);
			continue;
		}
		runc.program = program;
		runc.root = scratch("root");
		ck_assert_int_eq(es_runc_start(&runc, &error), -EIO);
		ck_assert_msg(es_runc_message_is_not_found(error.message), "%s", error.message);
		ck_assert_msg(es_runc_delete(&runc, false, &error) == 0, "%s", error.message);
		free(program);
	}
	scratch_clear();
}
END_TEST

START_TEST(delete_in_two_halves)
{
	struct es_runc runc = fake("#!/bin/sh\nsleep 0.2\nexit 0\n");
	struct es_runc_child child = { .process = ES_PIDREF_UNSET };

	ck_assert_int_eq(es_runc_delete_begin(&runc, &child, &error), 0);
	ck_assert_int_eq(es_runc_delete_end(&runc, &child, &error), -EAGAIN);
	ck_assert_int_eq(es_pidref_wait(&child.process, es_deadline_after_ms(10000)), 0);
	ck_assert_int_eq(es_runc_delete_end(&runc, &child, &error), 0);
	ck_assert_int_lt(child.process.fd, 0);
	scratch_clear();
}
END_TEST

START_TEST(log_of_any_shape)
{
	char *text;

	ck_assert_int_eq(es_runc_log_last_error(scratch("none"), 0, &text), -ENOENT);
	write_script(scratch("log"), "plain text\nfrom a runtime\n");
	ck_assert_int_eq(es_runc_log_last_error(scratch("log"), 0, &text), 0);
	ck_assert_str_eq(text, "from a runtime");
	free(text);
	write_script(scratch("log"),
		     "{\"level\":\"error\",\"msg\":\"whole\"}\nbroken {\n{\"level\":7}\n"
		     "{\"level\":\"error\"}\n\n");
	ck_assert_int_eq(es_runc_log_last_error(scratch("log"), 0, &text), 0);
	ck_assert_str_eq(text, "whole");
	free(text);
	write_script(scratch("log"), "{\"level\":\"info\",\"msg\":\"all is well\"}\n");
	ck_assert_int_eq(es_runc_log_last_error(scratch("log"), 0, &text), -ENOENT);
	/* Truncated behind our back. */
	write_script(scratch("log"), "{\"level\":\"error\",\"msg\":\"new\"}");
	ck_assert_int_eq(es_runc_log_last_error(scratch("log"), 100000, &text), 0);
	ck_assert_str_eq(text, "new");
	free(text);
	scratch_clear();
}
END_TEST

START_TEST(streams)
{
	char uri[PATH_MAX + 16], escaped[PATH_MAX + 16];
	struct es_task_io io;
	struct stat a, b;

	snprintf(uri, sizeof(uri), "file://%s", scratch("both"));
	ck_assert_int_eq(es_task_io_open(&io, (const char *[]){ NULL, uri, uri }, &error), 0);
	ck_assert(fcntl(io.fd[1], F_GETFL) & O_APPEND);
	ck_assert_int_eq(fstat(io.fd[1], &a) | fstat(io.fd[2], &b), 0);
	ck_assert(a.st_ino == b.st_ino && io.fd[0] < 0);
	ck_assert_uint_eq(a.st_mode & 0777, 0644 & ~(umask(022), 022));
	es_task_io_close(&io);
	snprintf(escaped, sizeof(escaped), "file://%s", scratch("a%20b"));
	ck_assert_int_eq(es_task_io_open(&io, (const char *[]){ NULL, NULL, escaped }, &error), 0);
	ck_assert_int_eq(access(scratch("a b"), F_OK), 0);
	ck_assert(io.fd[1] < 0);
	es_task_io_close(&io);
	ck_assert_int_eq(mkfifo(scratch("fifo"), 0600), 0);
	ck_assert_int_eq(es_task_io_open(&io, (const char *[]){ "", scratch("fifo"), "" }, &error),
			 0);
	ck_assert_int_eq(fcntl(io.fd[1], F_GETFL) & (O_ACCMODE | O_NONBLOCK), O_RDWR);
	es_task_io_close(&io);
	ck_assert_int_eq(es_task_io_open(&io, (const char *[]){ NULL, uri, "file:///%zz" }, &error),
			 -EINVAL);
	ck_assert(io.fd[1] < 0);
	ck_assert_int_eq(
		es_task_io_open(&io, (const char *[]){ NULL, "file:///%00", NULL }, &error),
		-EINVAL);
	ck_assert_int_eq(es_task_io_open(&io, (const char *[]){ NULL, "relative", NULL }, &error),
			 -EINVAL);
	scratch_clear();
}
END_TEST

START_TEST(statuses)
{
	struct es_exit e = { .flags = ES_EXIT_OOM };

	es_exit_set_status(&e, 42 << 8);
	ck_assert(e.code == 42 && e.signal == 0 && e.status == 42 << 8);
	es_exit_set_status(&e, 9);
	ck_assert(e.code == 137 && e.signal == 9 && e.flags == ES_EXIT_OOM);
	es_exit_set_status(&e, 0x86);
	ck_assert(e.code == 134 && e.signal == 6 && e.flags == (ES_EXIT_OOM | ES_EXIT_CORE));
	es_exit_set_status(&e, 255 << 8);
	ck_assert(e.code == 255 && e.signal == 0 && e.flags == ES_EXIT_OOM);
	es_exit_set_lost(&e);
	ck_assert(e.code == -1 && e.status == -1 && e.source == ES_EXIT_LOST && e.flags == 0);
	for (uint32_t i = 0; i < 5; i++)
		ck_assert_ptr_nonnull(es_exit_source_name(i));
	ck_assert_str_eq(es_exit_source_name(ES_EXIT_LOST), "lost");
}
END_TEST

START_TEST(transitions)
{
	enum { C = ES_TASK_CREATED, R, S, D, P, I };
	enum { B = -EBUSY, N = -ENOENT, G = -ESRCH };
	static const int expected[6][ES_TASK_EVENT_COUNT] = {
		/* start, exit, kill, delete, pause, resume, update, checkpoint, exec */
		{ R, S, C, D, B, B, C, B, C }, /* created */
		{ B, S, R, B, P, B, R, R, R }, /* running */
		{ B, S, G, D, B, B, B, B, B }, /* stopped */
		{ N, D, G, N, N, N, N, N, N }, /* deleted */
		{ B, S, P, B, B, R, P, P, B }, /* paused */
		{ B, S, I, B, B, B, B, B, B }, /* pausing */
	};

	for (int s = 0; s < 6; s++)
		for (int e = 0; e < ES_TASK_EVENT_COUNT; e++)
			ck_assert_int_eq(es_task_state_next((enum es_task_status)(s + 1),
							    (enum es_task_event)e),
					 expected[s][e]);
	ck_assert_int_eq(es_task_state_next((enum es_task_status)0, ES_TASK_EVENT_EXIT), -EINVAL);
	ck_assert_int_eq(es_task_state_next((enum es_task_status)7, ES_TASK_EVENT_EXIT), -EINVAL);
}
END_TEST

START_TEST(cgroups)
{
	struct es_cgroup_set set = { 0 };

	/* We are in no cgroup that we are not in. */
	ck_assert_int_eq(es_cgroup_set_add_process(&set, getpid()), 0);
	ck_assert_uint_eq(set.n, 0);
	ck_assert_int_eq(es_cgroup_set_add_process(&set, 0x3fffff), -ESRCH);
	ck_assert_int_eq(es_cgroup_set_add_path(&set, "slice:prefix:name", "id"), 0);
	ck_assert_int_eq(es_cgroup_set_add_path(&set, "/", "id"), 0);
	ck_assert_int_eq(es_cgroup_set_add_path(&set, "/a/../..", "id"), 0);
	ck_assert_uint_eq(set.n, 0);
	ck_assert_int_eq(es_cgroup_set_add_path(&set, "/es-unit-nothing-here", "id"), 0);
	ck_assert_uint_eq(es_cgroup_set_remove(&set), 0);
	es_cgroup_set_clear(&set);
}
END_TEST

UNIT_SUITE("runc", arguments, failures, real_runtimes, delete_in_two_halves, log_of_any_shape,
	   streams, statuses, transitions, cgroups)
