/* SPDX-License-Identifier: Apache-2.0 */
/* embedshim-io with a client and a runtime of ours at its ends; no container. */
#include "io_bench.h"

#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"

int scratch_fifo(const char *name, int flags)
{
	int fd;

	mkfifo(scratch(name), 0600);
	fd = open(scratch(name), flags | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	return fd;
}

void start_helper(struct io_bench *b, bool terminal)
{
	const char *const name[] = { "space", "box", NULL };
	struct es_io_helper_opts opts = {
		.program = ES_IO_HELPER,
		.dir = b->dir,
		.mode = terminal ? ES_IO_MODE_TERMINAL : ES_IO_MODE_STDIN,
		.name = name,
		.out = -1,
	};
	const struct es_io_request input = { .command = ES_IO_STDIN };
	int ends[2];
	struct es_error error = { 0 };
	int fds[2] = { -1, -1 }, r;

	memset(b, 0, sizeof(*b));
	snprintf(b->dir, sizeof(b->dir), "%s", scratch_dir());
	opts.dir = b->dir;
	b->process = b->helper = ES_PIDREF_UNSET;
	b->pipe = b->master = b->slave = b->out = -1;
	ends[0] = scratch_fifo("in", O_RDONLY | O_NONBLOCK);
	ends[1] = scratch_fifo("in", O_WRONLY);
	b->in = scratch_fifo("in", O_WRONLY);
	if (terminal) {
		opts.out = scratch_fifo("out", O_RDWR);
		b->out = scratch_fifo("out", O_RDONLY | O_NONBLOCK);
	} else {
		ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
		opts.out = fds[1];
		b->pipe = fds[0];
	}
	r = es_io_helper_start(&opts, &b->helper, &b->lifeline, &error);
	ck_assert_msg(r == 0, "%s", error.message);
	ck_assert_int_eq(es_io_helper_ask(b->dir, &input, ends, 2), 0);
	/* A start that is repeated. */
	ck_assert_int_eq(es_io_helper_ask(b->dir, &input, ends, 2), 0);
	close(ends[0]);
	close(ends[1]);
	close(opts.out);
}

/* What a runtime does with a terminal. */
void send_master(struct io_bench *b, int fd)
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

void watch(struct io_bench *b)
{
	const struct es_io_request request = { .command = ES_IO_WATCH };

	ck_assert_int_eq(es_io_helper_ask(b->dir, &request, &b->process.fd, 1), 0);
	close(b->lifeline);
	b->lifeline = -1;
}

/* A process that only is, with the slave as its terminal or without. */
void start_process(struct io_bench *b, const char *script)
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

void start_terminal(struct io_bench *b, const char *script)
{
	start_helper(b, true);
	ck_assert_int_eq(openpty(&b->master, &b->slave, NULL, NULL, NULL), 0);
	fcntl(b->slave, F_SETFD, FD_CLOEXEC);
	start_process(b, script);
	send_master(b, b->master);
	close(b->master);
	watch(b);
}

void end_process(struct io_bench *b)
{
	kill(b->process.pid, SIGKILL);
	waitpid(b->process.pid, NULL, 0);
	es_pidref_close(&b->process);
}

/* It has ended by itself, well. */
void check_helper_end(struct io_bench *b)
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
bool read_until(int fd, const char *text)
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

int ask(struct io_bench *b, uint32_t command, uint32_t columns, uint32_t rows)
{
	const struct es_io_request request = { .command = command, .a = columns, .b = rows };

	return es_io_helper_ask(b->dir, &request, NULL, 0);
}

long helper_private_kib(const struct io_bench *b)
{
	char path[64], line[256];
	long kib, sum = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", b->helper.pid);
	f = fopen(path, "re");
	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "Private_Clean: %ld", &kib) == 1 ||
		    sscanf(line, "Private_Dirty: %ld", &kib) == 1)
			sum += kib;
	fclose(f);
	return sum;
}
