/* SPDX-License-Identifier: Apache-2.0 */
/* What embedshim-io does for a terminal and for a standard input, and what it holds. */
#include <dirent.h>
#include <fcntl.h>
#include <pty.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "io_bench.h"

START_TEST(a_terminal)
{
	struct io_bench b;

	start_terminal(&b,
		       "echo here; read line; echo \"got $line\"; read line; stty size; exit 3");
	ck_assert(read_until(b.out, "here\r\n"));
	say(b.in, "one\n");
	ck_assert(read_until(b.out, "got one\r\n"));
	/* The client goes and another comes: the input goes on. */
	close(b.in);
	sleep_ms(50);
	b.in = scratch_fifo("in", O_WRONLY);
	ck_assert_int_eq(ask(&b, ES_IO_RESIZE, 100, 37), 0);
	say(b.in, "two\n");
	ck_assert(read_until(b.out, "37 100\r\n"));
	ck_assert(read_until(b.out, NULL));
	end_process(&b);
	check_helper_end(&b);
}
END_TEST

START_TEST(standard_input)
{
	char buffer[16];
	struct io_bench b;

	start_helper(&b, false);
	start_process(&b, "exec sleep 100");
	watch(&b);
	fcntl(b.pipe, F_SETFL, O_NONBLOCK);
	say(b.in, "one");
	ck_assert(read_until(b.pipe, "one"));
	close(b.in);
	sleep_ms(50);
	ck_assert_int_eq(read(b.pipe, buffer, 1), -1); /* no end */
	b.in = scratch_fifo("in", O_WRONLY);
	say(b.in, "two");
	ck_assert(read_until(b.pipe, "two"));
	/* What a client is still writing after the close comes before the end. */
	ck_assert_int_eq(ask(&b, ES_IO_CLOSE_STDIN, 0, 0), 0);
	say(b.in, "three");
	ck_assert(read_until(b.pipe, "three"));
	ck_assert_int_eq(read(b.pipe, buffer, 1), -1);
	close(b.in);
	ck_assert(read_until(b.pipe, NULL));
	ck_assert_int_eq(ask(&b, ES_IO_CLOSE_STDIN, 0, 0), 0);
	ck_assert_int_eq(ask(&b, ES_IO_RESIZE, 1, 1), -ENOTTY);
	ck_assert_int_eq(ask(&b, 99, 1, 1), -ENOSYS);
	ck_assert(!es_pidref_has_exited(&b.helper));
	end_process(&b);
	check_helper_end(&b);
}
END_TEST

/* Whoever was making the container is gone, and nothing came of it. */
START_TEST(nobody_came)
{
	struct io_bench b;

	for (int terminal = 0; terminal < 2; terminal++) {
		start_helper(&b, terminal);
		if (!terminal) {
			close(b.lifeline);
			sleep_ms(50);
			/* A runtime that has the pipe may still come to its end. */
			ck_assert(!es_pidref_has_exited(&b.helper));
			close(b.pipe);
		} else {
			close(b.lifeline);
		}
		check_helper_end(&b);
	}
	/* One that had the terminal, and died before anybody was told. */
	start_helper(&b, true);
	ck_assert_int_eq(openpty(&b.master, &b.slave, NULL, NULL, NULL), 0);
	send_master(&b, b.master);
	close(b.master);
	close(b.lifeline);
	sleep_ms(50);
	ck_assert(!es_pidref_has_exited(&b.helper));
	close(b.slave);
	check_helper_end(&b);
}
END_TEST

/* What a process wrote before it ended is not lost because nobody was reading. */
START_TEST(output_waits_for_its_reader)
{
	struct io_bench b;
	struct reader r = { .fd = -1 };

	start_terminal(&b, "stty raw; head -c 200000 /dev/zero; printf end");
	ck_assert_int_eq(es_pidref_wait(&b.process, es_deadline_after_ms(200)), -ETIMEDOUT);
	pthread_mutex_init(&r.lock, NULL);
	r.fd = fcntl(b.out, F_DUPFD_CLOEXEC, 3);
	reader_wait_end(&r);
	ck_assert_uint_eq(r.total, 200003);
	end_process(&b);
	check_helper_end(&b);
}
END_TEST

/* All processes close the terminal, and one opens it again. */
START_TEST(closed_and_opened_again)
{
	struct io_bench b;

	start_terminal(&b, "t=$(tty); echo one; exec </dev/null >/dev/null 2>&1; sleep 0.3; "
			   "echo two >$t; sleep 100");
	ck_assert(read_until(b.out, "one"));
	ck_assert(read_until(b.out, "two"));
	ck_assert(!es_pidref_has_exited(&b.helper));
	end_process(&b);
	ck_assert(read_until(b.out, NULL));
	check_helper_end(&b);
}
END_TEST

static long status_number(pid_t pid, const char *name, int base)
{
	char path[64], line[256];
	long value = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	f = fopen(path, "re");
	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof(line), f))
		if (strncmp(line, name, strlen(name)) == 0)
			value = strtol(line + strlen(name), NULL, base);
	fclose(f);
	return value;
}

static int count_fds(pid_t pid)
{
	struct dirent *entry;
	char path[300], target[256];
	DIR *dir;
	int n = 0;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	ck_assert_ptr_nonnull(dir);
	while ((entry = readdir(dir))) {
		ssize_t size;

		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%d/fd/%s", pid, entry->d_name);
		size = readlink(path, target, sizeof(target) - 1);
		target[size > 0 ? size : 0] = '\0';
		printf("  %s -> %s\n", entry->d_name, target);
		n++;
	}
	closedir(dir);
	return n;
}

/* It can do nothing and holds nothing but what it is for, and sleeps while nobody types. */
START_TEST(holds_only_what_it_needs)
{
	long switches, kib;
	struct io_bench b;
	pid_t pid;

	start_terminal(&b, "echo up; sleep 100");
	ck_assert(read_until(b.out, "up"));
	say(b.in, "x");
	ck_assert(read_until(b.out, "x"));
	pid = b.helper.pid;
	ck_assert_int_eq(status_number(pid, "CapPrm:", 16), 0);
	ck_assert_int_eq(status_number(pid, "CapEff:", 16), 0);
	ck_assert_int_eq(status_number(pid, "CapInh:", 16), 0);
	ck_assert_int_eq(status_number(pid, "CapAmb:", 16), 0);
	if (geteuid() == 0)
		ck_assert_int_eq(status_number(pid, "CapBnd:", 16), 0);
	ck_assert_int_eq(status_number(pid, "NoNewPrivs:", 10), 1);
#if !defined(ES_HELPER_SANITIZED)
	ck_assert_int_eq(status_number(pid, "Seccomp:", 10), 2);
#endif
	/* Three streams, both ends of the FIFO, epoll, the request socket, the master, the pidfd.
	 */
	ck_assert_int_eq(count_fds(pid), 9);
	ck_assert_int_eq(getsid(pid), pid);
	kib = helper_private_kib(&b);
	printf("%ld KiB private\n", kib);
#if !defined(ES_HELPER_SANITIZED)
	ck_assert_int_le(kib, 300);
#endif
	switches = status_number(pid, "voluntary_ctxt_switches:", 10);
	sleep_ms(500);
	ck_assert_int_eq(status_number(pid, "voluntary_ctxt_switches:", 10), switches);
	end_process(&b);
	check_helper_end(&b);
}
END_TEST

/* A terminal that nobody sees or types on: what is written goes nowhere. */
START_TEST(without_streams)
{
	const char *const name[] = { "space", "box", "exec", NULL };
	struct es_io_helper_opts opts = {
		.program = ES_IO_HELPER, .mode = ES_IO_MODE_TERMINAL, .name = name, .out = -1
	};
	struct io_bench b = { .in = -1, .out = -1, .pipe = -1, .process = ES_PIDREF_UNSET };

	snprintf(b.dir, sizeof(b.dir), "%s", scratch_dir());
	opts.dir = b.dir;
	ck_assert_int_eq(es_io_helper_start(&opts, &b.helper, &b.lifeline, NULL), 0);
	ck_assert_int_eq(openpty(&b.master, &b.slave, NULL, NULL, NULL), 0);
	fcntl(b.slave, F_SETFD, FD_CLOEXEC);
	start_process(&b, "head -c 500000 /dev/zero; exit 7");
	send_master(&b, b.master);
	close(b.master);
	watch(&b);
	ck_assert_int_eq(es_pidref_wait(&b.process, es_deadline_after_ms(20000)), 0);
	end_process(&b);
	check_helper_end(&b);
}
END_TEST

static void *flood(void *arg)
{
	struct io_bench *b = arg;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int s = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	char junk[3000];

	memset(junk, 0x41, sizeof(junk));
	snprintf(address.sun_path, sizeof(address.sun_path), "%.90s/%s", b->dir,
		 ES_IO_CONTROL_SOCKET);
	ck_assert_int_eq(connect(s, (struct sockaddr *)&address, sizeof(address)), 0);
	for (int i = 0; i < 200000; i++)
		if (send(s, junk, (size_t)i % sizeof(junk), 0) < 0)
			sched_yield();
	close(s);
	return NULL;
}

START_TEST(flooded)
{
	pthread_t thread;
	struct io_bench b;

	start_terminal(&b, "stty -echo; echo up; while read x; do echo \"<$x>\"; done");
	ck_assert(read_until(b.out, "up"));
	pthread_create(&thread, NULL, flood, &b);
	for (int i = 0; i < 50; i++) {
		ck_assert_int_eq(ask(&b, ES_IO_RESIZE, 80, 25), 0);
		say(b.in, "line\n");
		ck_assert(read_until(b.out, "<line>"));
	}
	pthread_join(thread, NULL);
	end_process(&b);
	ck_assert(read_until(b.out, NULL));
	check_helper_end(&b);
}
END_TEST

static void *pattern_writer(void *arg)
{
	int fd = *(int *)arg;

	write_pattern(fd, 20 << 20);
	close(fd);
	return NULL;
}

START_TEST(much_input)
{
	struct reader r = { .fd = -1 };
	pthread_t thread;
	struct io_bench b;

	start_helper(&b, false);
	start_process(&b, "exec sleep 100");
	watch(&b);
	pthread_create(&thread, NULL, pattern_writer, &b.in);
	pthread_mutex_init(&r.lock, NULL);
	r.fd = fcntl(b.pipe, F_DUPFD_CLOEXEC, 3);
	ck_assert_int_eq(ask(&b, ES_IO_CLOSE_STDIN, 0, 0), 0);
	reader_wait_end(&r);
	pthread_join(thread, NULL);
	b.in = -1;
	ck_assert_uint_eq(r.total, 20 << 20);
	ck_assert_uint_eq(r.sum, pattern_sum(20 << 20));
	end_process(&b);
	check_helper_end(&b);
}
END_TEST

START_TEST(dead)
{
	struct io_bench b;

	ck_assert_int_eq(es_io_helper_ask(scratch_dir(), &(struct es_io_request){ 0 }, NULL, 0),
			 -ENOENT);
	start_terminal(&b, "sleep 100");
	ck_assert_int_eq(ask(&b, ES_IO_RESIZE, 80, 25), 0);
	/* Frozen with a request in its queue, it dies: who waits for the answer is told at once. */
	es_pidref_signal(&b.helper, SIGKILL);
	ck_assert_int_eq(es_pidref_wait(&b.helper, es_deadline_after_ms(20000)), 0);
	ck_assert_int_eq(ask(&b, ES_IO_RESIZE, 80, 25), -ECONNREFUSED);
	waitpid(b.helper.pid, NULL, 0);
	/* A terminal without a master hangs up: what runs in it ends. */
	ck_assert_int_eq(es_pidref_wait(&b.process, es_deadline_after_ms(20000)), 0);
	end_process(&b);
	es_pidref_close(&b.helper);
	scratch_clear();
}
END_TEST

UNIT_SUITE("io_helper", a_terminal, standard_input, nobody_came, output_waits_for_its_reader,
	   closed_and_opened_again, without_streams, holds_only_what_it_needs, flooded, much_input,
	   dead)
