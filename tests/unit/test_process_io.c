/* SPDX-License-Identifier: Apache-2.0 */
/* Streams and who serves them: what is opened, owned, noted, reaped and ended. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "logger_uri.h"
#include "process_io.h"
#include "process_io_end.h"
#include "process_record.h"
#include "unit.h"

/* Streams being served, as of a container whose ends we have. */
struct bench {
	struct es_process_io io;
	struct es_json *json;
	struct es_reaper *reaper;
	struct es_error error;
	char boot_id[40];
};

static void bench_open(struct bench *b)
{
	memset(b, 0, sizeof(*b));
	b->io = ES_PROCESS_IO_NULL;
	es_boot_id_read(b->boot_id);
	ck_assert_int_eq(es_json_new(&b->json), 0);
	ck_assert_int_eq(es_reaper_open(&b->reaper), 0);
}

static void bench_close(struct bench *b)
{
	es_process_io_close(&b->io);
	es_json_free(b->json);
	es_reaper_close(b->reaper);
	scratch_clear();
}

static int serve(struct bench *b, const char *const stream[3], bool terminal, uint32_t owner)
{
	static const char *const name[] = { "space", "box", NULL };
	struct es_process_io_opts opts = { .dir = scratch_dir(),
					   .stream = stream,
					   .name = name,
					   .boot_id = b->boot_id,
					   .helper = ES_IO_HELPER,
					   .reaper = b->reaper,
					   .terminal = terminal,
					   .uid = owner,
					   .gid = owner,
					   .timeout_ms = 5000 };
	int r = es_task_io_open(&b->io.stream, stream, &b->error);

	return r < 0 ? r : es_process_io_start(&b->io, &opts, b->json, &b->error);
}

static const char *fifo(const char *name)
{
	ck_assert_int_eq(mkfifo(scratch(name), 0600), 0);
	return scratch(name);
}

/* A logger below the scratch directory, which runs this. */
static const char *logger(const char *script)
{
	static char uri[PATH_MAX + 64];

	write_script(scratch("logger"), script);
	snprintf(uri, sizeof(uri), "binary://%s", scratch("logger"));
	return uri;
}

static uid_t owner_of(int fd)
{
	struct stat st;

	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert(S_ISFIFO(st.st_mode));
	ck_assert_uint_eq(st.st_uid, st.st_gid);
	return st.st_uid;
}

START_TEST(owner)
{
	struct bench b;

	if (geteuid() != 0) {
		printf("SKIPPED a part: needs root to give files away\n");
		return;
	}
	for (uint32_t uid = 0; uid <= 4321; uid += 4321) {
		bench_open(&b);
		ck_assert_int_eq(
			serve(&b,
			      (const char *[]){ fifo("in"), fifo("out"),
						logger("#!/bin/sh\nexec 5>&-\ncat <&4\n") },
			      false, uid),
			0);
		for (int i = 0; i < 3; i++)
			ck_assert_uint_eq(owner_of(b.io.stream.fd[i]), uid);
		es_process_io_close(&b.io);
		es_process_io_end(scratch_dir(), b.reaper);
		bench_close(&b);
	}
}
END_TEST

/* Without a terminal or an input nobody serves, and nothing is noted. */
START_TEST(headless)
{
	struct bench b;

	bench_open(&b);
	ck_assert_int_eq(serve(&b, (const char *[]){ NULL, fifo("out"), "" }, false, 0), 0);
	ck_assert_int_lt(access(scratch("io.json"), F_OK), 0);
	ck_assert_int_lt(access(scratch("io.sock"), F_OK), 0);
	ck_assert_str_eq(b.io.console_socket, "");
	bench_close(&b);
}
END_TEST

START_TEST(terminal_streams)
{
	struct es_io_served served;
	struct stat st;
	char uri[PATH_MAX + 16];
	struct bench b;

	bench_open(&b);
	snprintf(uri, sizeof(uri), "file://%s", scratch("log"));
	ck_assert_int_eq(serve(&b, (const char *[]){ NULL, uri, NULL }, true, 0), -ENOTSUP);
	ck_assert_ptr_nonnull(strstr(b.error.message, "terminal"));
	ck_assert_int_eq(es_process_io_next(scratch_dir(), &served), -ESRCH);
	es_process_io_close(&b.io);
	/* The runtime is given a lifeline, and no stream. */
	ck_assert_int_eq(serve(&b, (const char *[]){ fifo("in"), fifo("out"), NULL }, true, 0), 0);
	ck_assert_int_lt(b.io.stream.fd[0], 0);
	ck_assert_int_ge(b.io.stream.fd[1], 0);
	ck_assert_int_lt(b.io.stream.fd[2], 0);
	ck_assert_int_eq(access(b.io.console_socket, F_OK), 0);
	ck_assert_uint_lt(strlen(b.io.console_socket), 108);
	/* Nobody else may ask it for anything, or hand it a terminal. */
	ck_assert_int_eq(stat(scratch("io.sock"), &st), 0);
	ck_assert_int_eq(st.st_mode & 0777, 0600);
	ck_assert_int_eq(stat(scratch("console.sock"), &st), 0);
	ck_assert_int_eq(st.st_mode & 0777, 0600);
	ck_assert_int_eq(es_process_io_next(scratch_dir(), &served), 0);
	ck_assert_int_eq(served.server, ES_IO_HELPER_PROCESS);
	es_pidref_close(&served.process);
	es_process_io_close(&b.io);
	es_process_io_end(scratch_dir(), b.reaper);
	ck_assert_int_eq(es_process_io_next(scratch_dir(), &served), -ESRCH);
	bench_close(&b);
}
END_TEST

/* One that comes back finds who served, and only those: a reused number is another process. */
START_TEST(found_again)
{
	struct es_io_record record = { 0 }, read;
	struct es_io_served served, copied;
	char command[2 * PATH_MAX];
	struct bench b, later;
	struct es_pidref ref;

	bench_open(&b);
	ck_assert_int_eq(es_io_record_read(scratch_dir(), b.json, &read), -ENOENT);
	ck_assert_int_eq(
		serve(&b, (const char *[]){ NULL, logger("#!/bin/sh\nexec 5>&-\ncat <&3\n"), "" },
		      false, 0),
		0);
	ck_assert_int_eq(es_process_io_next(scratch_dir(), &served), 0);
	ck_assert_int_eq(served.server, ES_IO_LOGGER_STDOUT);
	/* A copy of the directory is served by nobody. */
	ck_assert_int_eq(mkdir(scratch("copy"), 0700), 0);
	snprintf(command, sizeof(command), "cp -a %s %s", scratch("io.json"), scratch("copy"));
	ck_assert_int_eq(system(command), 0);
	ck_assert_int_eq(es_process_io_next(scratch("copy"), &copied), -ESRCH);
	bench_open(&later);
	es_process_io_reload(scratch_dir(), (const char *[]){ "space", "box", NULL }, later.json,
			     later.reaper);
	es_process_io_close(&b.io);
	es_process_io_end(scratch_dir(), later.reaper);
	/* Reaped by the second one: no zombie. */
	ck_assert_int_eq(kill(served.process.pid, 0), -1);
	es_pidref_close(&served.process);

	memcpy(record.boot_id, b.boot_id, sizeof(record.boot_id));
	record.server[0].pid = getpid();
	record.server[0].start_ticks = 1;
	ck_assert_int_eq(es_io_record_write(scratch_dir(), b.json, &record), 0);
	ck_assert_int_eq(es_io_record_read(scratch_dir(), b.json, &read), 0);
	ck_assert_int_eq(es_io_record_open(&read, ES_IO_HELPER_PROCESS, &ref), -ESRCH);
	ck_assert_int_eq(es_io_record_open(&read, ES_IO_LOGGER_STDERR, &ref), -ESRCH);
	write_script(scratch("io.json"), "{\"version\":1,\"helper_pid\":");
	ck_assert_int_eq(es_io_record_read(scratch_dir(), b.json, &read), -EBADMSG);
	ck_assert_int_eq(es_process_io_next(scratch_dir(), &served), -ESRCH);
	es_json_free(later.json);
	es_reaper_close(later.reaper);
	bench_close(&b);
}
END_TEST

/* Nothing of a start that fails is left. */
START_TEST(failures)
{
	struct es_io_served served;
	struct bench b;

	bench_open(&b);
	ck_assert_int_eq(serve(&b, (const char *[]){ NULL, "binary:///no/logger", "" }, false, 0),
			 -ENOENT);
	ck_assert_ptr_nonnull(strstr(b.error.message, "/no/logger"));
	es_process_io_close(&b.io);
	/* The first logger is ready, the second is not. */
	ck_assert_int_eq(serve(&b,
			       (const char *[]){ NULL, logger("#!/bin/sh\nexec 5>&-\ncat <&3\n"),
						 "binary-v2:///bin/true" },
			       false, 0),
			 -EIO);
	ck_assert_ptr_nonnull(strstr(b.error.message, "binary-v2:///bin/true"));
	ck_assert_int_eq(es_process_io_next(scratch_dir(), &served), -ESRCH);
	bench_close(&b);
}
END_TEST

static void check_uri(const char *uri, const char *const *expected, bool ready_byte)
{
	struct es_logger_uri parsed;
	size_t n;

	ck_assert_int_eq(es_logger_uri_parse(uri, &parsed), 0);
	for (n = 0; expected[n]; n++)
		ck_assert_str_eq(parsed.argv[n], expected[n]);
	ck_assert_ptr_null(parsed.argv[n]);
	ck_assert_int_eq(parsed.ready_byte, ready_byte);
	es_logger_uri_clear(&parsed);
}

START_TEST(logger_uris)
{
	static const char *const bad[] = {
		"binary://x", "binary:///x?a=%zz", "binary:///x%00",  "binary-v3:///x",
		"/x",	      "binary://",	   "binary:///x?%0=1"
	};
	struct es_logger_uri parsed;

	check_uri("binary:///a/b", (const char *[]){ "/a/b", NULL }, false);
	check_uri("binary-v2:///a%20b?x=1&y=2+3%25&x=4&z&&=5#part",
		  (const char *[]){ "/a b", "x", "1", "y", "2 3%", "z", "", NULL }, true);
	check_uri("binary:///a?", (const char *[]){ "/a", NULL }, false);
	ck_assert(!es_logger_uri_is("file:///a"));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(es_logger_uri_parse(bad[i], &parsed) == -EINVAL, "%s", bad[i]);
}
END_TEST

UNIT_SUITE("process_io", owner, headless, terminal_streams, found_again, failures, logger_uris)
