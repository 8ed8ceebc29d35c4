/* SPDX-License-Identifier: Apache-2.0 */
/* Mistakes of the caller and of the host: a clear error each, nothing lost, nothing left. */
#include <fcntl.h>
#include <grp.h>
#include <libgen.h>
#include <linux/audit.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

static const struct box good = { .args = { "/victim", "exit", "0" } };

/* Where a create is tried. */
static struct env *env_of_create;
static struct es_manager *manager_of_create;

/* Create must fail with this errno and a text that holds this word. */
static void expect(const char *id, struct es_task_opts *opts, int code, const char *word)
{
	struct es_manager *m = manager_of_create;
	struct env *env = env_of_create;
	struct es_task *task = NULL;
	int r;

	opts->size = sizeof(*opts);
	opts->error = &env->error;
	memset(&env->error, 0, sizeof(env->error));
	r = es_task_create(m, "test", id, opts, &task);
	ck_assert_msg(r == code, "\"%s\": %d (%s), expected %d", id, r, env->error.message, code);
	ck_assert_int_eq(env->error.code, code);
	ck_assert_msg(strstr(env->error.message, word) != NULL, "\"%s\" does not mention \"%s\"",
		      env->error.message, word);
	ck_assert_ptr_null(task);
}

static struct es_manager *open_for_creates(struct env *env)
{
	env_of_create = env;
	manager_of_create = env_open(env);
	return manager_of_create;
}

START_TEST(identifiers)
{
	static const struct {
		const char *id;
		int code;
	} bad[] = {
		{ "..", -EINVAL },
		{ ".", -EINVAL },
		{ "a/b", -EINVAL },
		{ "", -EINVAL },
		{ "a--b", -EINVAL },
		{ "-a", -EINVAL },
		{ "a_", -EINVAL },
		{ "\xc3\xa4", -EINVAL },
		{ "a b", -EINVAL },
		{ "a\nb", -EINVAL },
		{ "1234567890123456789012345678901234567890123456789012345678901234567890123456x",
		  -ENAMETOOLONG },
	};
	struct es_task_opts opts = { .size = sizeof(opts) };
	struct es_task *task;
	struct env env;
	struct es_manager *m;

	env_init(&env);
	m = open_for_creates(&env);
	opts.spec = box_spec(&env, "x", &good);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		expect(bad[i].id, &opts, bad[i].code, "task ID");
		ck_assert_int_eq(es_task_create(m, bad[i].id, "x", &opts, &task), bad[i].code);
		ck_assert_int_eq(es_manager_get(m, "test", bad[i].id, &task), -ENOENT);
	}
	ck_assert_int_eq(es_task_create(m, "test", NULL, &opts, &task), -EINVAL);
	/* 76 characters are the most, and they work. */
	opts.spec = box_spec(&env, "long", &good);
	ck_assert_int_eq(es_task_create(m, "test",
					"123456789012345678901234567890123456789012345678901234567"
					"8901234567890123456",
					&opts, &task),
			 0);
	expect(es_task_id(task), &opts, -EEXIST, "exists");
	ck_assert_int_eq(es_task_delete(task, NULL, &env.error), 0);
	ck_assert_int_eq(es_task_delete(task, NULL, &env.error), -ENOENT);
	es_task_free(task);
	env_finish(&env, m);
}
END_TEST

START_TEST(bundles)
{
	struct box terminal = { .args = { "/victim", "exit", "0" }, .terminal = true };
	struct box missing_program = { .args = { "/no/such/program" } };
	struct env env;
	struct es_manager *m;
	char path[PATH_MAX];

	env_init(&env);
	m = open_for_creates(&env);
	expect("a", &(struct es_task_opts){ .bundle_dir = "/no/such" }, -ENOENT, "/no/such");
	expect("a", &(struct es_task_opts){ .bundle_dir = "relative" }, -EINVAL, "relative");
	expect("a", &(struct es_task_opts){ 0 }, -ENOENT, "no bundle");
	expect("a", &(struct es_task_opts){ .bundle_dir = "/x", .spec = "{}" }, -EINVAL, "both");
	expect("a", &(struct es_task_opts){ .spec = "{\"process\":" }, -EINVAL, "not valid JSON");
	expect("a", &(struct es_task_opts){ .spec = "\xff\xfe" }, -EINVAL, "not valid JSON");
	expect("a", &(struct es_task_opts){ .spec = "{}" }, -EIO, "OCI runtime");
	expect("a",
	       &(struct es_task_opts){ .spec = box_spec(&env, "a", &terminal),
				       .stdout_path = "file:///dev/null" },
	       -ENOTSUP, "terminal");
	expect("a", &(struct es_task_opts){ .spec = box_spec(&env, "a", &missing_program) }, -EIO,
	       "/no/such/program");
	snprintf(path, sizeof(path), "%s", box_bundle(&env, "a", &good));
	strcat(path, "/config.json");
	ck_assert_int_eq(unlink(path), 0);
	expect("a", &(struct es_task_opts){ .bundle_dir = dirname(path) }, -ENOENT, "config.json");
	/* In its place: what would keep a reader waiting, and what is no file. */
	strcat(path, "/config.json");
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	expect("a", &(struct es_task_opts){ .bundle_dir = dirname(path) }, -EINVAL, "config.json");
	strcat(path, "/config.json");
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	expect("a", &(struct es_task_opts){ .bundle_dir = dirname(path) }, -EINVAL, "config.json");
	expect("a", &(struct es_task_opts){ .bundle_dir = "/etc/passwd" }, -ENOTDIR, "/etc/passwd");
	env_finish(&env, m);
}
END_TEST

START_TEST(streams)
{
	struct env env;
	struct es_manager *m;
	const char *spec;
	char path[PATH_MAX], uri[PATH_MAX + 16];

	env_init(&env);
	m = open_for_creates(&env);
	spec = box_spec(&env, "a", &good);
	expect("a", &(struct es_task_opts){ .spec = spec, .stdout_path = "/no/such/fifo" }, -ENOENT,
	       "stdout: /no/such/fifo");
	expect("a", &(struct es_task_opts){ .spec = spec, .stdout_path = "/etc/passwd" }, -EINVAL,
	       "not a FIFO");
	expect("a", &(struct es_task_opts){ .spec = spec, .stderr_path = "file:///dev/null/x" },
	       -ENOTDIR, "stderr");
	expect("a", &(struct es_task_opts){ .spec = spec, .stderr_path = "file://relative" },
	       -EINVAL, "file URI");
	expect("a", &(struct es_task_opts){ .spec = spec, .stdout_path = "mystery:///x" }, -ENOTSUP,
	       "scheme");
	expect("a",
	       &(struct es_task_opts){ .spec = spec, .stdout_path = "binary:///no/logger?a=b" },
	       -ENOENT, "/no/logger");
	expect("a", &(struct es_task_opts){ .spec = spec, .stdout_path = "binary://relative" },
	       -EINVAL, "with a path");
	expect("a", &(struct es_task_opts){ .spec = spec, .stdout_path = "binary:///x?%zz=1" },
	       -EINVAL, "logger");
	expect("a", &(struct es_task_opts){ .spec = spec, .stderr_path = "binary-v2:///bin/true" },
	       -EIO, "ready");
	expect("a", &(struct es_task_opts){ .spec = spec, .stdin_path = "file:///etc/passwd" },
	       -ENOTSUP, "stdin");
	expect("a", &(struct es_task_opts){ .spec = spec, .stdin_path = "/etc/passwd" }, -EINVAL,
	       "not a FIFO");
	snprintf(path, sizeof(path), "%s/fifo", env.dir);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	snprintf(uri, sizeof(uri), "file://%s", path);
	expect("a", &(struct es_task_opts){ .spec = spec, .stdout_path = uri }, -EINVAL,
	       "not a regular file");
	env_finish(&env, m);
}
END_TEST

START_TEST(runtimes)
{
	char failing[PATH_MAX], silent[PATH_MAX], hanging[PATH_MAX], plain[PATH_MAX];
	struct env env;
	struct es_manager *m;
	const char *spec;

	env_init(&env);
	m = open_for_creates(&env);
	spec = box_spec(&env, "a", &good);
	snprintf(failing, sizeof(failing), "%s/failing", env.dir);
	/* The fourth argument is the log: --root R --log L. */
	write_script(failing,
		     "#!/bin/sh\n"
		     "echo '{\"level\":\"error\",\"msg\":\"the moon is \\\"full\\\"\"}' >> $4\n"
		     "exit 3\n");
	snprintf(silent, sizeof(silent), "%s/silent", env.dir);
	write_script(silent, "#!/bin/sh\nexit 4\n");
	snprintf(hanging, sizeof(hanging), "%s/hanging", env.dir);
	write_script(hanging, "#!/bin/sh\ncase $* in *delete*) exit 0;; esac\nsleep 1000\n");
	snprintf(plain, sizeof(plain), "%s/plain", env.dir);
	write_script(plain, "just text");
	chmod(plain, 0644);

	expect("a", &(struct es_task_opts){ .spec = spec, .runtime = "/no/such/runc" }, -ENOENT,
	       "/no/such/runc");
	expect("a", &(struct es_task_opts){ .spec = spec, .runtime = "no-such-runc" }, -ENOENT,
	       "no-such-runc");
	expect("a", &(struct es_task_opts){ .spec = spec, .runtime = plain }, -EACCES, "plain");
	expect("a", &(struct es_task_opts){ .spec = spec, .runtime = failing }, -EIO,
	       "the moon is \"full\"");
	ck_assert_int_eq(env.error.runtime_exit, 3);
	expect("a", &(struct es_task_opts){ .spec = spec, .runtime = silent }, -EIO,
	       "gave no reason");
	ck_assert_int_eq(env.error.runtime_exit, 4);
	expect("a",
	       &(struct es_task_opts){
		       .spec = spec, .runtime = hanging, .runtime_timeout_ms = 300 },
	       -ETIMEDOUT, "300 ms");
	ck_assert_int_eq(es_manager_settle(m, 10000), 0);
	env_finish(&env, m);
}
END_TEST

/* Runtimes that make the container and then do not say which process it is. */
START_TEST(runtimes_that_lie)
{
	static const char *const lies[] = { "rm $pid", "echo none >$pid", "echo 0 >$pid",
					    "echo 4194303 >$pid", "kill -9 $$" };
	struct env env;
	struct es_manager *m;
	const char *spec;

	env_init(&env);
	m = open_for_creates(&env);
	spec = box_spec(&env, "a", &good);
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		char runtime[PATH_MAX], text[512];

		snprintf(runtime, sizeof(runtime), "%s/lying-%zu", env.dir, i);
		snprintf(text, sizeof(text),
			 "#!/bin/sh\nrunc \"$@\" || exit\n"
			 "case \"$*\" in *' create '*) pid=$PWD/init.pid && %s ;; esac\n",
			 lies[i]);
		write_script(runtime, text);
		expect("a", &(struct es_task_opts){ .spec = spec, .runtime = runtime },
		       i == 3 ? -ESRCH : -EIO, i == 3 ? "4194303" : "OCI runtime");
	}
	env_finish(&env, m);
}
END_TEST

/* containerd's /var/run is a link. */
START_TEST(linked_runtime_root)
{
	char link[PATH_MAX];
	struct env env;
	struct es_manager *m;
	struct es_task *task;

	env_init(&env);
	snprintf(link, sizeof(link), "%s/link", env.dir);
	ck_assert_int_eq(symlink("state", link), 0);
	strcat(link, "/.runtime");
	env.opts.runtime_root = link;
	m = env_open(&env);
	task = box_run(&env, m, "a", &good);
	ck_assert_int_eq(es_task_wait(task, 20000, NULL), 0);
	box_delete(&env, task);
	env_finish(&env, m);
}
END_TEST

/* The runtime's process that waits for the start is killed by somebody else. */
START_TEST(killed_before_start)
{
	struct es_task_state state;
	struct es_exit exit;
	struct env env;
	struct es_manager *m;
	struct es_task *task;

	env_init(&env);
	m = env_open(&env);
	task = box_create(&env, m, "a", &good);
	ck_assert_int_eq(es_task_state(task, &state), 0);
	ck_assert_int_eq(kill(state.pid, SIGKILL), 0);
	ck_assert_int_eq(es_task_wait(task, 20000, &exit), 0);
	ck_assert_int_eq(exit.code, 137);
	ck_assert_int_eq(es_task_start(task, &env.error), -EBUSY);
	ck_assert_ptr_nonnull(strstr(env.error.message, "stopped"));
	box_delete(&env, task);
	env_finish(&env, m);
}
END_TEST

START_TEST(states)
{
	struct box box = { .args = { "/victim", "sleep", "0" } };
	struct env env;
	struct es_manager *m;
	struct es_task *task;

	env_init(&env);
	m = open_for_creates(&env);
	task = box_create(&env, m, "a", &box);
	ck_assert_int_eq(es_task_wait(task, 0, NULL), -ETIMEDOUT);
	ck_assert_int_eq(es_task_wait(task, -2, NULL), -EINVAL);
	ck_assert_int_eq(es_task_kill(task, 0), -EINVAL);
	ck_assert_int_eq(es_task_kill(task, 65), -EINVAL);
	ck_assert_int_eq(es_task_start(task, &env.error), 0);
	ck_assert_int_eq(es_task_start(task, &env.error), -EBUSY);
	ck_assert_ptr_nonnull(strstr(env.error.message, "running"));
	ck_assert_int_eq(es_task_delete(task, NULL, &env.error), -EBUSY);
	ck_assert_int_eq(es_task_kill(task, SIGKILL), 0);
	ck_assert_int_eq(es_task_wait(task, -1, NULL), 0);
	ck_assert_int_eq(es_task_kill(task, SIGKILL), -ESRCH);
	ck_assert_int_eq(es_task_start(task, &env.error), -EBUSY);
	ck_assert_int_eq(es_task_delete(task, NULL, &env.error), 0);
	ck_assert_int_eq(es_task_kill(task, SIGKILL), -ESRCH);
	es_task_free(task);
	env_finish(&env, m);
}
END_TEST

START_TEST(second_manager)
{
	struct es_manager *m, *second = NULL;
	struct env env;
	char pid[32];

	env_init(&env);
	m = open_for_creates(&env);
	ck_assert_int_eq(es_manager_open(&env.opts, &second), -EBUSY);
	snprintf(pid, sizeof(pid), "pid %d", getpid());
	ck_assert_ptr_nonnull(strstr(env.error.message, pid));
	es_manager_close(m);
	env_clear(&env);
}
END_TEST

START_TEST(capacity)
{
	struct box box = { .args = { "/victim", "sleep", "0" } };
	struct es_task *tasks[8];
	struct es_task_opts opts = { .size = sizeof(opts) };
	struct env env;
	struct es_manager *m, *other;
	struct es_exit exit;
	char id[16];

	env_init(&env);
	env.opts.capacity = 8;
	m = open_for_creates(&env);
	for (int i = 0; i < 8; i++) {
		snprintf(id, sizeof(id), "full-%d", i);
		tasks[i] = box_run(&env, m, id, &box);
	}
	opts.spec = box_spec(&env, "ninth", &box);
	for (int i = 0; i < 3; i++)
		expect("ninth", &opts, -ENOSPC, "capacity of 8");
	for (int i = 0; i < 8; i++) {
		ck_assert_int_eq(es_task_kill(tasks[i], SIGKILL), 0);
		ck_assert_int_eq(es_task_wait(tasks[i], 20000, &exit), 0);
		ck_assert_int_eq(exit.code, 137);
	}
	es_manager_close(m);
	/* In use, so the number cannot change; when it is not, it can. */
	env.opts.capacity = 16;
	ck_assert_int_eq(es_manager_open(&env.opts, &other), -EEXIST);
	ck_assert_ptr_nonnull(strstr(env.error.message, "capacity of 8"));
	env.opts.capacity = 0;
	m = open_for_creates(&env);
	for (int i = 0; i < 8; i++) {
		struct es_task *task;

		es_task_free(tasks[i]);
		snprintf(id, sizeof(id), "full-%d", i);
		ck_assert_int_eq(es_manager_get(m, "test", id, &task), 0);
		box_delete(&env, task);
	}
	es_manager_close(m);
	env.opts.capacity = 16;
	m = open_for_creates(&env);
	env_finish(&env, m);
}
END_TEST

/* A bundle that never became a task, with something mounted in it. */
START_TEST(dead_bundle_with_mount)
{
	struct es_bundle_opts opts = { .size = sizeof(opts), .spec = "{}" };
	struct es_bundle *bundle;
	struct es_manager *m;
	struct env env;

	env_init(&env);
	m = open_for_creates(&env);
	ck_assert_int_eq(es_bundle_create(es_manager_bundles(m), "test", "a", &opts, &bundle), 0);
	ck_assert_int_eq(mount("tmpfs", es_bundle_rootfs(bundle), "tmpfs", 0, NULL), 0);
	es_bundle_free(bundle);
	es_manager_close(m);
	m = open_for_creates(&env);
	ck_assert_int_eq(es_manager_settle(m, 20000), 0);
	env_finish(&env, m);
}
END_TEST

RUN_SUITE("bad_input", 300, identifiers, bundles, streams, runtimes, runtimes_that_lie,
	  linked_runtime_root, killed_before_start, states, second_manager, capacity,
	  dead_bundle_with_mount)
