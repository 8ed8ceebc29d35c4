/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What embedshim costs beside bare runc, measured in turns within one run. Prints medians and
 * ratios, and the target behind each line; asserts nothing.
 *
 *	bench [ROUNDS [TASKS]]
 */
#include <malloc.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "pidref.h"
#include "spawn.h"
#include "support.h"

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values, int n)
{
	qsort(values, (size_t)n, sizeof(*values), compare_doubles);
	return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

static double percentile(double *values, int n, int percent)
{
	qsort(values, (size_t)n, sizeof(*values), compare_doubles);
	return values[(n - 1) * percent / 100];
}

static double now_us(void)
{
	return (double)es_clock_ns(CLOCK_MONOTONIC) / 1e3;
}

/* Bare runc: the same commands on a bundle of its own. */
struct bare {
	struct env *env;
	char program[PATH_MAX], root[PATH_MAX], log[PATH_MAX], pid_file[PATH_MAX];
};

static void bare_run(const struct bare *b, const char *dir, char *const command[])
{
	char *argv[20] = { (char *)(uintptr_t)b->program,
			   "--root",
			   (char *)(uintptr_t)b->root,
			   "--log",
			   (char *)(uintptr_t)b->log,
			   "--log-format",
			   "json" };
	struct es_spawn spawn = { .program = b->program,
				  .argv = argv,
				  .cwd = dir,
				  .fd = { -1, -1, -1 },
				  .mark_prog_fd = -1 };
	struct es_pidref child;
	int status, n = 7;

	for (int i = 0; command[i]; i++)
		argv[n++] = command[i];
	argv[n] = NULL;
	if (es_spawn(&spawn, &child) < 0 || es_spawn_reap(&child, ES_DEADLINE_NEVER, &status) < 0 ||
	    status != 0) {
		fprintf(stderr, "bare runc %s failed, see %s\n", command[0], b->log);
		exit(1);
	}
	es_pidref_close(&child);
}

static pid_t read_pid(const char *path)
{
	FILE *f = fopen(path, "re");
	int pid = 0;

	if (!f || fscanf(f, "%d", &pid) != 1)
		exit(1);
	fclose(f);
	return pid;
}

struct round {
	double create_start, kill_known, delete;
};

static const struct box sleeper = { .args = { "/victim", "pause", "0" } };

static void round_bare(struct bare *b, int i, struct round *r)
{
	char id[32], dir[PATH_MAX];
	struct es_pidref init;
	double t;

	snprintf(id, sizeof(id), "bare-%d", i);
	snprintf(dir, sizeof(dir), "%s", box_bundle(b->env, id, &sleeper));
	t = now_us();
	bare_run(b, dir,
		 (char *[]){ "create", "--bundle", dir, "--pid-file", b->pid_file, id, NULL });
	bare_run(b, dir, (char *[]){ "start", id, NULL });
	r->create_start = now_us() - t;
	if (es_pidref_open(&init, read_pid(b->pid_file)) < 0)
		exit(1);
	sleep_ms(20);
	t = now_us();
	es_pidref_signal(&init, SIGKILL);
	es_pidref_wait(&init, ES_DEADLINE_NEVER);
	r->kill_known = now_us() - t;
	es_pidref_close(&init);
	sleep_ms(20);
	t = now_us();
	bare_run(b, dir, (char *[]){ "delete", id, NULL });
	r->delete = now_us() - t;
}

static void round_ours(struct env *env, struct es_manager *m, int i, struct round *r)
{
	struct pollfd fd = { .fd = es_manager_fd(m), .events = POLLIN };
	struct es_event event = { 0 };
	struct es_task *task;
	char id[32];
	double t;

	snprintf(id, sizeof(id), "ours-%d", i);
	t = now_us();
	task = box_run(env, m, id, &sleeper);
	r->create_start = now_us() - t;
	sleep_ms(20);
	t = now_us();
	es_task_kill(task, SIGKILL);
	while (es_manager_next_event(m, &event) == 0)
		poll(&fd, 1, -1);
	r->kill_known = now_us() - t;
	do
		es_event_clear(&event);
	while (es_manager_next_event(m, &event) > 0);
	sleep_ms(20);
	t = now_us();
	if (es_task_delete(task, NULL, &env->error) < 0) {
		fprintf(stderr, "%s\n", env->error.message);
		exit(1);
	}
	r->delete = now_us() - t;
	es_task_free(task);
}

/* Both in microseconds; printed in milliseconds. */
static void line(const char *what, double *ours, double *bare, int n, const char *target)
{
	double a = median(ours, n) / 1e3, b = median(bare, n) / 1e3;

	printf("%-28s %9.3f %9.3f ms  ratio %5.2f  difference %+8.3f ms   target: %s\n", what, a, b,
	       a / b, a - b, target);
}

static void bench_life(struct env *env, int n_rounds)
{
	double *v[6];
	struct bare bare = { .env = env };
	struct es_manager *m = env_open(env);
	char *program;

	if (es_spawn_find_program("runc", &program) < 0)
		exit(1);
	snprintf(bare.program, sizeof(bare.program), "%s", program);
	free(program);
	snprintf(bare.root, sizeof(bare.root), "%s/bare", env->dir);
	snprintf(bare.log, sizeof(bare.log), "%s/bare.log", env->dir);
	snprintf(bare.pid_file, sizeof(bare.pid_file), "%s/bare.pid", env->dir);
	for (int k = 0; k < 6; k++)
		v[k] = calloc((size_t)n_rounds, sizeof(double));
	for (int i = -2; i < n_rounds; i++) {
		struct round ours, other;

		/* Which one goes first changes from round to round. */
		if (i % 2) {
			round_ours(env, m, i + 2, &ours);
			round_bare(&bare, i + 2, &other);
		} else {
			round_bare(&bare, i + 2, &other);
			round_ours(env, m, i + 2, &ours);
		}
		if (i < 0)
			continue;
		v[0][i] = ours.create_start;
		v[1][i] = other.create_start;
		v[2][i] = ours.delete;
		v[3][i] = other.delete;
		v[4][i] = ours.kill_known;
		v[5][i] = other.kill_known;
	}
	printf("%-28s %9s %9s      (medians of %d rounds, in turns)\n", "", "ours", "bare runc",
	       n_rounds);
	line("create + start", v[0], v[1], n_rounds, "<= bare + 2 ms");
	line("delete", v[2], v[3], n_rounds, "none set");
	line("SIGKILL -> known, container", v[4], v[5], n_rounds,
	     "p50 <= 0.15 ms (bare: the pidfd alone)");
	printf("%-28s p99 %.3f ms\n", "", percentile(v[4], n_rounds, 99) / 1e3);
	for (int k = 0; k < 6; k++)
		free(v[k]);
	es_manager_close(m);
}

static long private_kib(void)
{
	FILE *f = fopen("/proc/self/smaps_rollup", "re");
	char text[256];
	long kib, sum = 0;

	while (fgets(text, sizeof(text), f))
		if (sscanf(text, "Private_Dirty: %ld kB", &kib) == 1 ||
		    sscanf(text, "Private_Clean: %ld kB", &kib) == 1)
			sum += kib;
	fclose(f);
	return sum;
}

static void bench_idle(struct env *env, int n_tasks)
{
	struct es_manager *m = env_open(env);
	struct es_task **list;
	double opens[7];
	long kib;
	int fds, n;
	struct mallinfo2 before, after;
	char id[32];

	/* Warm up what is allocated once. */
	box_run(env, m, "warm", &sleeper);
	fds = count_entries("/proc/self/fd");
	kib = private_kib();
	before = mallinfo2();
	for (int i = 0; i < n_tasks; i++) {
		snprintf(id, sizeof(id), "idle-%d", i);
		es_task_free(box_run(env, m, id, &sleeper));
	}
	after = mallinfo2();
	printf("%-28s %9.2f KiB heap, %.2f KiB private, %.2f descriptors   target: <= 6 KiB, <= "
	       "1\n",
	       "per idle task", (double)(after.uordblks - before.uordblks) / 1024 / n_tasks,
	       (double)(private_kib() - kib) / n_tasks,
	       (double)(count_entries("/proc/self/fd") - fds) / n_tasks);
	printf("%-28s %9d threads in this process, 0 other processes of ours   target: 0, 0\n", "",
	       count_entries("/proc/self/task"));
	for (int i = 0; i < 7; i++) {
		double t;

		es_manager_close(m);
		t = now_us();
		m = env_open(env);
		opens[i] = now_us() - t;
	}
	printf("%-28s %9.3f ms for %d tasks   target: <= 40 ms for 200\n", "reopen",
	       median(opens, 7) / 1e3, n_tasks + 1);
	n = es_manager_list(m, NULL, &list);
	for (int i = 0; i < n; i++)
		es_task_kill(list[i], SIGKILL);
	for (int i = 0; i < n; i++) {
		es_task_wait(list[i], -1, NULL);
		es_task_delete(list[i], NULL, NULL);
	}
	es_task_list_free(list);
	es_manager_close(m);
}

static __attribute__((noinline)) void fork_and_exit(void)
{
	pid_t pid = vfork();

	if (pid == 0)
		_exit(0);
	waitpid(pid, NULL, 0);
}

static double forks_us(int count)
{
	double t = now_us();

	for (int i = 0; i < count; i++)
		fork_and_exit();
	return (now_us() - t) / count;
}

/* Unrelated processes with the programs attached and without, in pairs. */
static void bench_bpf(struct env *env, int pairs)
{
	struct es_monitor_opts opts = { .size = sizeof(opts), .root_dir = env->root };
	double *difference = calloc((size_t)pairs, sizeof(double));
	double *off = calloc((size_t)pairs, sizeof(double));
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(1, &one);
	sched_setaffinity(0, sizeof(one), &one);
	forks_us(2000);
	for (int i = 0; i < pairs; i++) {
		struct es_monitor *monitor;
		double on;

		off[i] = forks_us(1000);
		if (es_monitor_open(&opts, &monitor) < 0)
			exit(1);
		on = forks_us(1000);
		es_monitor_close(monitor);
		/* The mean of before and after takes out a drift of the machine. */
		difference[i] = on - (off[i] + forks_us(1000)) / 2;
	}
	printf("%-28s %+9.0f ns on %.1f us (median of %d pairs; p25 %+.0f, p75 %+.0f)\n",
	       "BPF, per unrelated process", median(difference, pairs) * 1e3, median(off, pairs),
	       pairs, percentile(difference, pairs, 25) * 1e3,
	       percentile(difference, pairs, 75) * 1e3);
	free(difference);
	free(off);
}

/*
 * A plain process: what the library adds to the kernel's own way from SIGKILL to a readable pidfd.
 * The first process of a PID namespace takes longer to die, which is none of ours.
 */
static void bench_kill(struct env *env, int n)
{
	struct es_monitor_opts opts = { .size = sizeof(opts), .root_dir = env->root };
	double *ours = calloc((size_t)n, sizeof(double)), *bare = calloc((size_t)n, sizeof(double));
	struct es_monitor *monitor;

	if (es_monitor_open(&opts, &monitor) < 0)
		exit(1);
	for (int i = 0; i < 2 * n; i++) {
		struct pollfd fd = { .fd = es_monitor_fd(monitor), .events = POLLIN };
		struct es_pidref ref = ES_PIDREF_UNSET;
		struct es_exit record;
		pid_t pid = fork();
		double t;

		if (pid == 0) {
			pause();
			_exit(0);
		}
		if (i % 2 ? es_pidref_open(&ref, pid) < 0
			  : es_monitor_watch(monitor, (uint64_t)i + 1, pid) < 0)
			exit(1);
		sleep_ms(2);
		t = now_us();
		kill(pid, SIGKILL);
		if (i % 2)
			es_pidref_wait(&ref, ES_DEADLINE_NEVER);
		else
			while (es_monitor_next_exit(monitor, &record) == 0)
				poll(&fd, 1, -1);
		(i % 2 ? bare : ours)[i / 2] = now_us() - t;
		waitpid(pid, NULL, 0);
		es_pidref_close(&ref);
		if (i % 2 == 0)
			es_monitor_forget(monitor, record.trace_id);
	}
	es_monitor_close(monitor);
	line("SIGKILL -> known, process", ours, bare, n, "p50 <= 0.15 ms");
	free(ours);
	free(bare);
}

static int rounds = 40, tasks = 200;

/* A test only so that the support functions have somebody to report a failure to. */
START_TEST(bench)
{
	struct env env;

	env_init(&env);
	bench_life(&env, rounds);
	bench_kill(&env, 500);
	bench_idle(&env, tasks);
	bench_bpf(&env, 60);
	env_clear(&env);
}
END_TEST

int main(int argc, char **argv)
{
	const TTest *const tests[] = { bench };

	if (argc > 1)
		rounds = atoi(argv[1]);
	if (argc > 2)
		tasks = atoi(argv[2]);
	require_runtime();
	return run_suite("bench", tests, 1, 3600);
}
