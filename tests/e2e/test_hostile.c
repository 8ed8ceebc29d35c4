/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A container that can write where its streams lie, or in its bundle, and puts other things in
 * their place: nobody else is hurt, and it can be killed and deleted like any other.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "hostile.h"

/* For the tests that need one world only. */
static void begin(struct world *w)
{
	world_prepare(w);
	world_begin(w);
	world_come_back(w);
}

/* Execs */

struct streams {
	const char *in, *out, *err;
	bool terminal;
};

/* What the start of an exec with these streams returns. */
static int try_exec(struct world *w, const struct streams *streams)
{
	char process[256];
	struct es_exec_opts opts = { .size = sizeof(opts),
				     .process = process,
				     .stdin_path = streams->in,
				     .stdout_path = streams->out,
				     .stderr_path = streams->err,
				     .io_uid = 1000,
				     .io_gid = 1000,
				     .error = &w->env.error };
	struct es_exec *exec;
	struct es_exit exit;
	int r;

	snprintf(process, sizeof(process),
		 "{\"args\":[\"/bin/busybox\",\"sh\",\"-c\",\"echo evil; echo evil >&2; exit 5\"],"
		 "\"cwd\":\"/\",\"env\":[],\"terminal\":%s,\"user\":{\"uid\":0,\"gid\":0}}",
		 streams->terminal ? "true" : "false");
	r = es_exec_create(w->hostile, "exec", &opts, &exec);
	ck_assert_msg(r == 0, "%s", w->env.error.message);
	r = es_exec_start(exec, &w->env.error);
	if (r == 0) {
		ck_assert_int_eq(es_exec_wait(exec, 60000, &exit), 0);
		ck_assert_int_eq(exit.code, 5);
	} else {
		ck_assert_msg(strstr(w->env.error.message, w->shared) != NULL, "%s",
			      w->env.error.message);
	}
	ck_assert_msg(es_exec_delete(exec, NULL, &w->env.error) == 0, "%s", w->env.error.message);
	es_exec_free(exec);
	return r;
}

START_TEST(streams_of_execs)
{
	struct world w;

	begin(&w);
	for (size_t i = 0; i < TRICKS; i++) {
		const char *x = in_shared(&w, "x");
		const struct streams cases[] = {
			{ .in = x },
			{ .out = x },
			{ .err = x },
			{ .in = x, .terminal = true },
			{ .out = x, .terminal = true },
		};

		play_trick(&w, &tricks[i], "x");
		for (size_t j = 0; j < sizeof(cases) / sizeof(cases[0]); j++) {
			int r = try_exec(&w, &cases[j]);

			check_others(&w);
			ck_assert_msg(r == tricks[i].fifo, "%s, case %zu: %d", tricks[i].id, j, r);
		}
	}
	world_end(&w);
	env_clear(&w.env);
}
END_TEST

/* A log in the directory, of an exec and of a container that is made again. */
START_TEST(logs)
{
	char uri[PATH_MAX + 16];
	struct world w;

	begin(&w);
	snprintf(uri, sizeof(uri), "file://%s", in_shared(&w, "x"));
	for (size_t i = 0; i < TRICKS; i++) {
		struct es_task_opts opts = { .size = sizeof(opts), .error = &w.env.error };
		struct box box = { .args = SH("echo evil; exit 5") };
		struct es_task *task;
		int r;

		play_trick(&w, &tricks[i], "x");
		r = try_exec(&w, &(struct streams){ .out = uri, .err = uri });
		check_others(&w);
		ck_assert_msg(r == tricks[i].file, "%s: %d", tricks[i].id, r);
		play_trick(&w, &tricks[i], "x");
		opts.spec = box_spec(&w.env, "again", &box);
		opts.stdout_path = uri;
		r = es_task_create(w.m, "test", "again", &opts, &task);
		ck_assert_msg(r == tricks[i].file, "%s: %d: %s", tricks[i].id, r,
			      w.env.error.message);
		if (r == 0) {
			ck_assert_int_eq(es_task_start(task, &w.env.error), 0);
			box_end(&w.env, task, 5);
			hostile_does(&w, "grep -q evil /shared/x");
		}
		check_others(&w);
	}
	world_end(&w);
	env_clear(&w.env);
}
END_TEST

/* Between the create and the start of others, while no manager is there. */
START_TEST(before_the_start)
{
	struct world w;

	world_prepare(&w);
	w.with_created = true;
	for (int terminal = 0; terminal < 2; terminal++) {
		w.terminal = terminal;
		world_begin(&w);
		for (size_t i = 0; i < TRICKS; i++) {
			char name[32];

			snprintf(name, sizeof(name), "in-%zu", i);
			play_trick(&w, &tricks[i], name);
			/* Nobody opens the output a second time. */
			snprintf(name, sizeof(name), "out-%zu", i);
			play_trick(&w, &tricks[i], name);
		}
		world_come_back(&w);
		for (size_t i = 0; i < TRICKS; i++) {
			struct es_task *task = world_get(&w, tricks[i].id);
			struct es_exit exit;
			int r = es_task_start(task, &w.env.error);

			check_others(&w);
			ck_assert_msg(r == tricks[i].fifo, "%s: %d", tricks[i].id, r);
			if (r == 0) {
				ck_assert_int_eq(es_task_wait(task, 60000, &exit), 0);
				ck_assert_int_eq(exit.code, 3);
			}
			box_delete(&w.env, task);
		}
		world_end(&w);
	}
	env_clear(&w.env);
}
END_TEST

/* Its own, while it runs: everything that is done to a container still can be. */
START_TEST(own_streams)
{
	struct world w;

	world_prepare(&w);
	for (size_t i = 0; i < 2 * TRICKS; i++) {
		const struct trick *trick = &tricks[i / 2];

		w.terminal = i % 2;
		world_begin(&w);
		play_trick(&w, trick, "in");
		play_trick(&w, trick, "out");
		world_come_back(&w);
		ck_assert_int_eq(es_task_resize(w.hostile, 80, 25), w.terminal ? 0 : -ENOTTY);
		ck_assert_int_eq(es_task_close_stdin(w.hostile), 0);
		/* Not in all: its init's exit waits until the host's has reaped the exec. */
		if (i < 4)
			ck_assert_int_eq(try_exec(&w, &(struct streams){ .terminal = true }), 0);
		world_end(&w);
	}
	env_clear(&w.env);
}
END_TEST

/* It changes things while they are looked at and opened. */
START_TEST(in_turn)
{
	int rounds = test_count(15, 200), started = 0;
	char uri[PATH_MAX + 16];
	struct world w;

	begin(&w);
	snprintf(uri, sizeof(uri), "file://%s", in_shared(&w, "log"));
	hostile_does(&w,
		     "cd /shared\nmkfifo fifo; mknod device c 1 1; ln -s %s link\n"
		     "(while :; do for i in fifo link fifo device; do ln -f $i in; "
		     "ln -f $i out; done; done) 2>/dev/null &\n"
		     "(while :; do rm log; ln -s %s log; rm log; done) 2>/dev/null &\n",
		     w.other[0], w.missing);
	for (int i = 0; i < rounds; i++) {
		const struct streams streams = { .in = in_shared(&w, "in"),
						 .out = i % 3 ? in_shared(&w, "out") : NULL,
						 .err = uri,
						 .terminal = i % 2 };
		int r = try_exec(&w, &streams);

		ck_assert_msg(r == 0 || r == -ELOOP || r == -EINVAL || r == -ENOENT, "%d", r);
		started += r == 0;
		check_others(&w);
	}
	printf("%d of %d started\n", started, rounds);
	world_end(&w);
	env_clear(&w.env);
}
END_TEST

/* Bundles */

/* The caller's bundle is a directory of the container. What is ours lies elsewhere. */
START_TEST(its_bundle)
{
	static const char *const names[] = { "config.json", "work",	    "task.json",
					     "init.pid",    "init.json",    "io.json",
					     "io.sock",	    "console.sock", "start",
					     "exit.json",   "cgroup",	    "log.json",
					     "execs",	    "rootfs",	    ".runtime" };
	struct world w;

	world_prepare(&w);
	w.in_bundle = true;
	for (size_t i = 0; i < TRICKS; i++) {
		world_begin(&w);
		for (size_t j = 0; j < sizeof(names) / sizeof(names[0]); j++)
			play_trick(&w, &tricks[i], names[j]);
		world_come_back(&w);
		ck_assert_int_eq(try_exec(&w, &(struct streams){ .terminal = true }), 0);
		world_end(&w);
		ck_assert_int_eq(access(w.shared, F_OK), 0);
	}
	env_clear(&w.env);
}
END_TEST

/* A root file system in the bundle, which is removed with it, and no more. */
START_TEST(its_root)
{
	struct box box = { .args = { "/bin/busybox", "sh", "/script" } };
	struct es_bundle_opts opts = { .size = sizeof(opts) };
	struct es_task_opts task_opts = { .size = sizeof(task_opts) };
	char path[PATH_MAX], script[4 * PATH_MAX];
	struct es_bundle *bundle;
	struct es_task *task;
	struct env rooted;
	struct world w;

	begin(&w);
	rooted = w.env;
	strcpy(rooted.rootfs, w.env.state);
	strcat(rooted.rootfs, "/test/rooted/rootfs");
	opts.error = task_opts.error = &w.env.error;
	opts.spec = box_spec(&rooted, "rooted", &box);
	ck_assert_msg(es_bundle_create(es_manager_bundles(w.m), "test", "rooted", &opts, &bundle) ==
			      0,
		      "%s", w.env.error.message);
	env_busybox(&rooted);
	snprintf(path, sizeof(path), "%s/script", rooted.rootfs);
	snprintf(script, sizeof(script),
		 "set -e\ncd /\nmkdir tmp\nln -s %s file\nln -s %s tmp/dir\nln -s .. "
		 "tmp/up\nmkfifo tmp/fifo\n"
		 "i=0; while [ $i -lt 100 ]; do i=$((i+1)); mkdir d; cd d; ln -s %s file; ln -s %s "
		 "dir; "
		 "done\nrm -r /bin/busybox /script /bin\nexit 6\n",
		 w.victim, w.secret, w.victim, w.secret);
	write_script(path, script);
	ck_assert_msg(es_task_create(w.m, "test", "rooted", &task_opts, &task) == 0 &&
			      es_task_start(task, &w.env.error) == 0,
		      "%s", w.env.error.message);
	es_bundle_free(bundle);
	box_end(&w.env, task, 6);
	ck_assert_int_eq(access(rooted.rootfs, F_OK), -1);
	world_end(&w);
	env_clear(&w.env);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = { streams_of_execs, logs,	     before_the_start, own_streams,
				       in_turn,		 its_bundle, its_root };

	require_runtime();
	return run_suite("hostile", tests, sizeof(tests) / sizeof(tests[0]), 600);
}
