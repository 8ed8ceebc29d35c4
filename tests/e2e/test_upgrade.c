/* SPDX-License-Identifier: Apache-2.0 */
/* Another build of the library takes over: its programs replace those that run, and nothing is
 * missed. */
#include <bpf/bpf.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "exitsnoop.h"
#include "exitsnoop_pins.h"
#include "monitor_watch.h"
#include "support.h"

/* Another build takes over while watched processes keep ending: none is lost. */
/* A child that keeps the links open would keep the old programs attached. */
static void drop_descriptors(void)
{
	close_range(3, ~0U, 0);
}

START_TEST(while_processes_end)
{
	enum { PROCESSES = 40 };
	int rounds = test_count(20, 200), lost = 0;
	struct es_monitor_opts opts = { .size = sizeof(opts) };
	struct es_monitor *monitor;
	uint64_t id = 1;
	struct env env;

	env_init(&env);
	opts.root_dir = env.root;
	ck_assert_int_eq(es_monitor_open(&opts, &monitor), 0);
	for (int round = 0; round < rounds; round++) {
		pid_t pids[PROCESSES], killer;

		for (int i = 0; i < PROCESSES; i++) {
			pids[i] = fork();
			if (pids[i] == 0) {
				drop_descriptors();
				pause();
				_exit(0);
			}
			ck_assert_int_eq(es_monitor_watch(monitor, id + (uint64_t)i, pids[i]), 0);
		}
		es_monitor_close(monitor);
		killer = fork();
		if (killer == 0) {
			drop_descriptors();
			for (int i = 0; i < PROCESSES; i++) {
				kill(pids[i], SIGKILL);
				usleep(1000);
			}
			_exit(0);
		}
		es_exitsnoop_build_salt++;
		ck_assert_int_eq(es_monitor_open(&opts, &monitor), 0);
		waitpid(killer, NULL, 0);
		for (int i = 0; i < PROCESSES; i++) {
			struct es_exit exit = { 0 };

			waitpid(pids[i], NULL, 0);
			es_monitor_resume(monitor, id + (uint64_t)i);
			if (es_monitor_exit(monitor, id + (uint64_t)i, &exit) != 0 ||
			    exit.source != ES_EXIT_BPF || exit.signal != SIGKILL)
				lost++;
			es_monitor_forget(monitor, id + (uint64_t)i);
		}
		id += PROCESSES;
	}
	printf("%d upgrades while %d processes ended: %d lost\n", rounds, rounds * PROCESSES, lost);
	ck_assert_int_eq(lost, 0);
	es_monitor_close(monitor);
	env_clear(&env);
}
END_TEST

/* As a runtime: marks itself, then forks one process after the other. */
struct forker {
	uint64_t id;
	int mark_prog_fd;
};

enum { FORKS = ES_EXITSNOOP_FOLLOW_MAX - 1 };

static void fork_followed(void *arg)
{
	const struct forker *f = arg;
	uint64_t args[2] = { f->id, 0 };
	LIBBPF_OPTS(bpf_test_run_opts, run, .ctx_in = args, .ctx_size_in = sizeof(args));

	ck_assert_int_eq(bpf_prog_test_run_opts(f->mark_prog_fd, &run), 0);
	ck_assert_uint_eq(run.retval, 0);
	drop_descriptors();
	for (int i = 0; i < FORKS; i++) {
		pid_t pid = fork();

		if (pid == 0)
			_exit(i);
		usleep(10000);
		ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	}
}

static int count_unfollowed(struct es_monitor *monitor, uint64_t id)
{
	struct es_exitsnoop_process procs[ES_EXITSNOOP_FOLLOW_MAX];
	bool overflow;
	int wrong = 0;

	ck_assert_int_eq(es_exitsnoop_followed(es_monitor_exitsnoop(monitor), id, procs, &overflow),
			 FORKS + 1);
	ck_assert(!overflow);
	/* The first is the one that marked itself. */
	for (int i = 0; i < FORKS; i++)
		wrong += !procs[i + 1].exited || WEXITSTATUS(procs[i + 1].status) != i;
	return wrong;
}

START_TEST(while_a_runtime_forks)
{
	int rounds = test_count(3, 30), upgrades = 0, wrong = 0;
	struct es_monitor_opts opts = { .size = sizeof(opts) };
	struct es_monitor *monitor;
	struct env env;

	env_init(&env);
	opts.root_dir = env.root;
	ck_assert_int_eq(es_monitor_open(&opts, &monitor), 0);
	for (int round = 0; round < rounds; round++) {
		struct es_exitsnoop *snoop = es_monitor_exitsnoop(monitor);
		struct forker f = { .id = (uint64_t)round + 1,
				    .mark_prog_fd = es_exitsnoop_mark_prog_fd(snoop) };
		int status;
		pid_t pid;

		ck_assert_int_eq(es_exitsnoop_reserve(snoop, f.id), 0);
		ck_assert_int_eq(es_exitsnoop_follow(snoop, f.id), 0);
		pid = start_child(fork_followed, &f);
		while (waitpid(pid, &status, WNOHANG) == 0) {
			es_monitor_close(monitor);
			es_exitsnoop_build_salt++;
			ck_assert_int_eq(es_monitor_open(&opts, &monitor), 0);
			upgrades++;
		}
		ck_assert_int_eq(status, 0);
		wrong += count_unfollowed(monitor, f.id);
		es_exitsnoop_release(es_monitor_exitsnoop(monitor), f.id);
	}
	printf("%d upgrades while %d followed processes were forked: %d lost\n", upgrades,
	       rounds * FORKS, wrong);
	ck_assert_int_gt(upgrades, rounds);
	ck_assert_int_eq(wrong, 0);
	es_monitor_close(monitor);
	env_clear(&env);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = { while_processes_end, while_a_runtime_forks };

	require_runtime();
	return run_suite("upgrade", tests, sizeof(tests) / sizeof(tests[0]), 300);
}
