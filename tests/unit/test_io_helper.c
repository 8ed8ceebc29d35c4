/* SPDX-License-Identifier: Apache-2.0 */
/* embedshim-io with a client and a runtime of ours at its ends; no container. */
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "io_helper.h"
#include "stream.h"
#include "unit.h"

/* A helper, its client's ends and the process it serves. */
struct bench {
	char dir[PATH_MAX];
	struct es_pidref helper, process;
	int lifeline;
	int in;	    /* write end of the standard input's FIFO */
	int out;    /* read end of the output's FIFO, non-blocking */
	int pipe;   /* of a stdin: what the container reads */
	int master; /* of a terminal: our copy, closed once it is sent */
	int slave;
};

static int open_fifo(const char *name, int flags)
{
	int fd;

	mkfifo(scratch(name), 0600);
	fd = open(scratch(name), flags | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	return fd;
}

static void start_helper(struct bench *b, bool terminal)
{
	const char *const name[] = { "space", "box", NULL };
	struct es_io_helper_opts opts = {
		.program = ES_IO_HELPER,
		.dir = b->dir,
		.mode = terminal ? ES_IO_MODE_TERMINAL : ES_IO_MODE_STDIN,
		.name = name,
		.out = -1,
	};
	struct es_error error = { 0 };
	int fds[2] = { -1, -1 }, r;

	memset(b, 0, sizeof(*b));
	snprintf(b->dir, sizeof(b->dir), "%s", scratch_dir());
	opts.dir = b->dir;
	b->process = b->helper = ES_PIDREF_UNSET;
	b->pipe = b->master = b->slave = b->out = -1;
	opts.in = open_fifo("in", O_RDONLY | O_NONBLOCK);
	opts.keep = open_fifo("in", O_WRONLY);
	b->in = open_fifo("in", O_WRONLY);
	if (terminal) {
		opts.out = open_fifo("out", O_RDWR);
		b->out = open_fifo("out", O_RDONLY | O_NONBLOCK);
	} else {
		ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
		opts.out = fds[1];
		b->pipe = fds[0];
	}
	r = es_io_helper_start(&opts, &b->helper, &b->lifeline, &error);
	ck_assert_msg(r == 0, "%s", error.message);
	close(opts.in);
	close(opts.keep);
	close(opts.out);
}

/* What a runtime does with a terminal. */
static void send_master(struct bench *b, int fd)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { .header = { .cmsg_level = SOL_SOCKET,
				  .cmsg_type = SCM_RIGHTS,
				  .cmsg_len = CMSG_LEN(sizeof(int)) } };
	struct iovec iov = { .iov_base = "/dev/ptmx", .iov_len = 9 };
	struct msghdr message = { .msg_iov = &iov,
				  .msg_iovlen = 1,
				  .msg_control = &control,
				  .msg_controllen = sizeof(control) };
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	snprintf(address.sun_path, sizeof(address.sun_path), "%.90s/%s", b->dir,
		 ES_IO_CONSOLE_SOCKET);
	ck_assert_int_eq(connect(s, (struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_ge(sendmsg(s, &message, 0), 0);
	close(s);
}

static void watch(struct bench *b)
{
	const struct es_io_request request = { .command = ES_IO_WATCH };

	ck_assert_int_eq(es_io_helper_ask(b->dir, &request, b->process.fd), 0);
	close(b->lifeline);
	b->lifeline = -1;
}

/* A process that only is, with the slave as its terminal or without. */
static void start_process(struct bench *b, const char *script)
{
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		int in = b->slave >= 0 ? b->slave : b->pipe;

		setsid();
		dup2(in, 0);
		if (b->slave >= 0) {
			ioctl(0, TIOCSCTTY, 0);
			dup2(0, 1);
			dup2(0, 2);
		}
		close_range(3, ~0U, 0);
		execl("/bin/sh", "sh", "-c", script, (char *)NULL);
		_exit(127);
	}
	ck_assert_int_eq(es_pidref_open(&b->process, pid), 0);
	close(b->slave);
	b->slave = -1;
}

static void start_terminal(struct bench *b, const char *script)
{
	start_helper(b, true);
	ck_assert_int_eq(openpty(&b->master, &b->slave, NULL, NULL, NULL), 0);
	fcntl(b->slave, F_SETFD, FD_CLOEXEC);
	start_process(b, script);
	send_master(b, b->master);
	close(b->master);
	watch(b);
}

static void end_process(struct bench *b)
{
	kill(b->process.pid, SIGKILL);
	waitpid(b->process.pid, NULL, 0);
	es_pidref_close(&b->process);
}

/* It has ended by itself, well. */
static void check_helper_end(struct bench *b)
{
	int status;

	ck_assert_int_eq(es_pidref_wait(&b->helper, es_deadline_after_ms(20000)), 0);
	ck_assert_int_eq(waitpid(b->helper.pid, &status, 0), b->helper.pid);
	ck_assert_msg(status == 0, "the helper ended with status %#x", status);
	es_pidref_close(&b->helper);
	close(b->in);
	close(b->out);
	close(b->pipe);
	scratch_clear();
}

/* What comes out of a non-blocking descriptor until the text is there, or its end; 20 s at most. */
static bool read_until(int fd, const char *text)
{
	static char buffer[65536];
	size_t size = 0;

	for (int i = 0; i < 4000; i++) {
		ssize_t n = read(fd, buffer + size, sizeof(buffer) - 1 - size);

		if (n == 0)
			return text == NULL;
		if (n < 0) {
			sleep_ms(5);
			continue;
		}
		size += (size_t)n;
		buffer[size] = '\0';
		if (text && strstr(buffer, text))
			return true;
	}
	printf("did not come: %s; what came: %s\n", text ? text : "the end", buffer);
	return false;
}

static int ask(struct bench *b, uint32_t command, uint32_t columns, uint32_t rows)
{
	const struct es_io_request request = { .command = command, .a = columns, .b = rows };

	return es_io_helper_ask(b->dir, &request, -1);
}

START_TEST(a_terminal)
{
	struct bench b;

	start_terminal(&b,
		       "echo here; read line; echo \"got $line\"; read line; stty size; exit 3");
	ck_assert(read_until(b.out, "here\r\n"));
	say(b.in, "one\n");
	ck_assert(read_until(b.out, "got one\r\n"));
	/* The client goes and another comes: the input goes on. */
	close(b.in);
	sleep_ms(50);
	b.in = open_fifo("in", O_WRONLY);
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
	struct bench b;

	start_helper(&b, false);
	start_process(&b, "exec sleep 100");
	watch(&b);
	fcntl(b.pipe, F_SETFL, O_NONBLOCK);
	say(b.in, "one");
	ck_assert(read_until(b.pipe, "one"));
	close(b.in);
	sleep_ms(50);
	ck_assert_int_eq(read(b.pipe, buffer, 1), -1); /* no end */
	b.in = open_fifo("in", O_WRONLY);
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
	struct bench b;

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
	struct bench b;
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
	struct bench b;

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

static long private_kib(pid_t pid)
{
	char path[64], line[256];
	long kib, sum = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", pid);
	f = fopen(path, "re");
	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "Private_Clean: %ld", &kib) == 1 ||
		    sscanf(line, "Private_Dirty: %ld", &kib) == 1)
			sum += kib;
	fclose(f);
	return sum;
}

/* It can do nothing and holds nothing but what it is for, and sleeps while nobody types. */
START_TEST(holds_only_what_it_needs)
{
	long switches, kib;
	struct bench b;
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
	/* Three streams, the FIFO's other end, epoll, the request socket, the master, the pidfd. */
	ck_assert_int_eq(count_fds(pid), 8);
	ck_assert_int_eq(getsid(pid), pid);
	kib = private_kib(pid);
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

static void *flood(void *arg)
{
	struct bench *b = arg;
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
	struct bench b;

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
	struct bench b;

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
	struct bench b;

	ck_assert_int_eq(es_io_helper_ask(scratch_dir(), &(struct es_io_request){ 0 }, -1),
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
	   closed_and_opened_again, holds_only_what_it_needs, flooded, much_input, dead)
