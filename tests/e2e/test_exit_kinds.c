/* SPDX-License-Identifier: Apache-2.0 */
/* Every way a container can end, with the manager alive and with the manager killed before. */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "support.h"

struct kind {
	const char *name;
	const char *args[3]; /* of victim */
	int kill;	     /* signal sent from outside instead of letting it go; 0: none */
	uint64_t memory_limit;
	int code, signal;
	uint32_t flags;
};

static const struct kind kinds[] = {
	{ .name = "exit0", .args = { "exit", "0" }, .code = 0 },
	{ .name = "exit42", .args = { "exit", "42" }, .code = 42 },
	{ .name = "term", .args = { "sleep", "0" }, .kill = SIGTERM, .code = 143, .signal = 15 },
	{ .name = "kill", .args = { "sleep", "0" }, .kill = SIGKILL, .code = 137, .signal = 9 },
	{ .name = "core",
	  .args = { "core", "0" },
	  .code = 134,
	  .signal = 6,
	  .flags = ES_EXIT_CORE },
	{ .name = "core-thread",
	  .args = { "core-thread", "0" },
	  .code = 139,
	  .signal = 11,
	  .flags = ES_EXIT_CORE },
	{ .name = "oom",
	  .args = { "oom", "0" },
	  .memory_limit = 32 << 20,
	  .code = 137,
	  .signal = 9,
	  .flags = ES_EXIT_OOM },
	{ .name = "oom-child", .args = { "oom-child", "5" }, .memory_limit = 32 << 20, .code = 5 },
	{ .name = "leader-first", .args = { "leader-first", "7" }, .code = 7 },
	{ .name = "exec-thread", .args = { "exec-thread", "8" }, .code = 8 },
	{ .name = "exec-dead-leader", .args = { "exec-dead-leader", "9" }, .code = 9 },
};

static struct es_task *start_kind(struct env *env, struct es_manager *m, const struct kind *kind)
{
	char gate[64];
	struct box box = { .args = { "/victim", "-w", gate, kind->args[0], kind->args[1] },
			   .host_pid = true,
			   .memory_limit = kind->memory_limit };

	if (kind->kill)
		box.args[2] = "/proc"; /* exists: nothing to wait for */
	snprintf(gate, sizeof(gate), "/go-%s", kind->name);
	return box_run(env, m, kind->name, &box);
}

static void let_it_end(struct env *env, struct es_task *task, const struct kind *kind, pid_t pid)
{
	if (!kind->kill)
		box_go(env, kind->name);
	else if (task)
		ck_assert_int_eq(es_task_kill(task, kind->kill), 0);
	else
		ck_assert_int_eq(kill(pid, kind->kill), 0);
}

static void check_exit(const struct kind *kind, const struct es_exit *exit)
{
	ck_assert_msg(exit->code == kind->code && exit->signal == kind->signal &&
			      exit->flags == kind->flags,
		      "%s: code %d, signal %d, flags %u; expected %d, %d, %u", kind->name,
		      exit->code, exit->signal, exit->flags, kind->code, kind->signal, kind->flags);
	ck_assert_uint_eq(exit->source, ES_EXIT_BPF);
	ck_assert_uint_gt(exit->exited_boot_ns, exit->started_boot_ns);
	ck_assert_uint_gt(exit->peak_rss_bytes, 0);
}

START_TEST(ends_while_managed)
{
	struct env env;
	struct es_manager *m;

	env_init(&env);
	m = env_open(&env);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct es_task *task = start_kind(&env, m, &kinds[i]);
		struct es_event event;
		struct es_exit exit, again;

		/* The user's program must be running for its signals to mean what they say. */
		if (kinds[i].kill)
			sleep_ms(100);
		let_it_end(&env, task, &kinds[i], 0);
		ck_assert_int_eq(es_task_wait(task, 20000, &exit), 0);
		check_exit(&kinds[i], &exit);
		ck_assert_int_eq(es_manager_next_event(m, &event), 1);
		if (kinds[i].memory_limit) {
			ck_assert_uint_eq(event.type, ES_EVENT_OOM);
			ck_assert_ptr_eq(event.task, task);
			es_event_clear(&event);
			ck_assert_int_eq(es_manager_next_event(m, &event), 1);
		}
		ck_assert_uint_eq(event.type, ES_EVENT_EXIT);
		ck_assert_ptr_eq(event.task, task);
		ck_assert_mem_eq(&exit, &event.exit, sizeof(exit));
		es_event_clear(&event);
		ck_assert_int_eq(es_manager_next_event(m, &event), 0);
		ck_assert_int_eq(es_task_delete(task, &again, &env.error), 0);
		ck_assert_mem_eq(&exit, &again, sizeof(exit));
		es_task_free(task);
	}
	env_finish(&env, m);
}
END_TEST

static void start_all_and_hang(void *arg)
{
	struct env *env = arg;
	struct es_manager *m = env_open(env);

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		start_kind(env, m, &kinds[i]);
	box_go(env, "started");
	for (;;)
		pause();
}

START_TEST(ends_while_nobody_runs)
{
	pid_t pids[sizeof(kinds) / sizeof(kinds[0])], child;
	struct env env;
	struct es_manager *m;
	char path[PATH_MAX];

	env_init(&env);
	child = start_child(start_all_and_hang, &env);
	snprintf(path, sizeof(path), "%s/go-started", env.rootfs);
	ck_assert(wait_until(access(path, F_OK) == 0));
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		FILE *f;

		snprintf(path, sizeof(path), "%s/test/%s/init.pid", env.state, kinds[i].name);
		f = fopen(path, "re");
		ck_assert_ptr_nonnull(f);
		ck_assert_int_eq(fscanf(f, "%d", &pids[i]), 1);
		fclose(f);
	}
	kill_child(child);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		let_it_end(&env, NULL, &kinds[i], pids[i]);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		ck_assert(wait_until(kill(pids[i], 0) < 0));

	m = env_open(&env);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct es_task_state state;
		struct es_task *task;
		struct es_exit exit;

		ck_assert_int_eq(es_manager_get(m, "test", kinds[i].name, &task), 0);
		ck_assert_int_eq(es_task_state(task, &state), 0);
		ck_assert_uint_eq(state.status, ES_TASK_STOPPED);
		ck_assert_int_eq(state.pid, pids[i]);
		ck_assert_int_eq(es_task_wait(task, 0, &exit), 0);
		check_exit(&kinds[i], &exit);
		box_delete(&env, task);
	}
	env_finish(&env, m);
}
END_TEST

/* A container's process that has ended before anybody could look. */
START_TEST(ends_at_once)
{
	int count = test_count(60, 500);
	struct env env;
	struct es_manager *m;

	env_init(&env);
	m = env_open(&env);
	for (int i = 0; i < count; i++) {
		struct box box = { .args = { "/victim", "exit", NULL } };
		char id[32], code[16];
		struct es_task *task;
		struct es_exit exit;

		snprintf(id, sizeof(id), "short-%d", i);
		snprintf(code, sizeof(code), "%d", i & 255);
		box.args[2] = code;
		task = box_run(&env, m, id, &box);
		ck_assert_int_eq(es_task_wait(task, 20000, &exit), 0);
		ck_assert_int_eq(exit.code, i & 255);
		ck_assert_uint_eq(exit.source, ES_EXIT_BPF);
		box_delete(&env, task);
	}
	printf("%d containers whose process ends at once: 0 missed, 0 wrong\n", count);
	env_finish(&env, m);
}
END_TEST

RUN_SUITE("exit_kinds", 300, ends_while_managed, ends_while_nobody_runs, ends_at_once)
