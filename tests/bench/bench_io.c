/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What embedshim-io moves in a second beside cat(1) between two pipes, and what it costs. No
 * container; prints medians and the target behind each line, asserts nothing.
 *
 *	bench_io [ROUNDS [MEGABYTES]]
 */
#include <fcntl.h>
#include <pthread.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "io_bench.h"

static int rounds = 7;
static size_t megabytes = 100;

static void *write_all(void *arg)
{
	static const char zeros[65536];
	int fd = *(int *)arg;

	for (size_t i = 0; i < megabytes * 16; i++)
		if (write(fd, zeros, sizeof(zeros)) != sizeof(zeros))
			break;
	close(fd);
	return NULL;
}

/* Megabytes a second from one end to the other; out gives all of it, or its end. */
static double measure(int in, int out)
{
	static char buffer[65536];
	uint64_t start = es_clock_ns(CLOCK_MONOTONIC), left = (uint64_t)megabytes << 20;
	pthread_t thread;
	ssize_t n;

	fcntl(out, F_SETFL, 0);
	if (in >= 0)
		pthread_create(&thread, NULL, write_all, &in);
	while (left > 0 && (n = read(out, buffer, sizeof(buffer))) > 0)
		left -= (uint64_t)n;
	if (in >= 0)
		pthread_join(thread, NULL);
	ck_assert_uint_eq(left, 0);
	return (double)megabytes * 1e9 / (double)(es_clock_ns(CLOCK_MONOTONIC) - start);
}

static double through_cat(void)
{
	int in[2], out[2];
	double result;
	pid_t pid;

	ck_assert(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0);
	pid = fork();
	if (pid == 0) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		execlp("cat", "cat", (char *)NULL);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	result = measure(in[1], out[0]);
	close(out[0]);
	waitpid(pid, NULL, 0);
	return result;
}

static double through_stdin(void)
{
	struct io_bench b;
	double result;

	start_helper(&b, false);
	start_process(&b, "exec sleep 1000");
	watch(&b);
	result = measure(b.in, b.pipe);
	b.in = -1;
	end_process(&b);
	check_helper_end(&b);
	return result;
}

static double through_terminal(long *kib)
{
	char script[128];
	struct io_bench b;
	double result;

	snprintf(script, sizeof(script),
		 "stty raw -echo; echo go; read x; head -c %zu /dev/zero; exec sleep 1000",
		 megabytes << 20);
	start_terminal(&b, script);
	ck_assert(read_until(b.out, "go\n"));
	say(b.in, "\n");
	result = measure(-1, b.out);
	*kib = helper_private_kib(&b);
	end_process(&b);
	check_helper_end(&b);
	return result;
}

/* The same terminal, read by us and nobody else. */
static double bare_terminal(void)
{
	int master, slave;
	double result;
	pid_t pid;

	ck_assert_int_eq(openpty(&master, &slave, NULL, NULL, NULL), 0);
	pid = fork();
	if (pid == 0) {
		char count[32];

		dup2(slave, 0);
		dup2(slave, 1);
		if (system("stty raw -echo") != 0)
			_exit(126);
		snprintf(count, sizeof(count), "%zu", megabytes << 20);
		execlp("head", "head", "-c", count, "/dev/zero", (char *)NULL);
		_exit(127);
	}
	result = measure(-1, master);
	close(slave);
	close(master);
	waitpid(pid, NULL, 0);
	return result;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values)
{
	qsort(values, (size_t)rounds, sizeof(*values), compare);
	return values[rounds / 2];
}

START_TEST(bench_io)
{
	double *cat = calloc((size_t)rounds, sizeof(double));
	double *input = calloc((size_t)rounds, sizeof(double));
	double *terminal = calloc((size_t)rounds, sizeof(double));
	double *bare = calloc((size_t)rounds, sizeof(double));
	long kib = 0;

	/* In turns: the machine drifts. */
	for (int i = 0; i < rounds; i++) {
		cat[i] = through_cat();
		input[i] = through_stdin();
		terminal[i] = through_terminal(&kib);
		bare[i] = bare_terminal();
	}
	printf("%zu MB, medians of %d rounds, in turns\n", megabytes, rounds);
	printf("%-28s %9.0f MB/s\n", "cat, pipe to pipe", median(cat));
	printf("%-28s %9.0f MB/s  ratio %.2f   target: >= 0.5\n", "standard input", median(input),
	       median(input) / median(cat));
	printf("%-28s %9.0f MB/s\n", "terminal, read directly", median(bare));
	printf("%-28s %9.0f MB/s  ratio %.2f   target: >= 0.5 of what the terminal itself gives\n",
	       "terminal", median(terminal), median(terminal) / median(bare));
	printf("%-28s %9ld KiB private   target: <= 300\n", "embedshim-io", kib);
	free(cat);
	free(input);
	free(terminal);
	free(bare);
}
END_TEST

int main(int argc, char **argv)
{
	const TTest *const tests[] = { bench_io };

	if (argc > 1)
		rounds = atoi(argv[1]);
	if (argc > 2)
		megabytes = (size_t)atoi(argv[2]);
	return run_suite("bench_io", tests, 1, 600);
}
