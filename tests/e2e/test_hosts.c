/* SPDX-License-Identifier: Apache-2.0 */
/* Hosts of every kind: PID 1 of a container, one that ignores SIGCHLD, several on one machine. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs.h"
#include "support.h"

static const struct box exits_with_3 = { .args = { "/victim", "exit", "3" } };

/* The whole life of one container on this environment. */
static void live(struct env *env)
{
	struct es_manager *m = env_open(env);
	struct es_task *task;
	struct es_exit exit;

	task = box_run(env, m, "life", &exits_with_3);
	ck_assert_int_eq(es_task_wait(task, 20000, &exit), 0);
	ck_assert_int_eq(exit.code, 3);
	ck_assert_uint_eq(exit.source, ES_EXIT_BPF);
	box_delete(env, task);
	es_manager_close(m);
}

START_TEST(long_paths)
{
	struct env env;
	char deep[PATH_MAX / 2];

	env_init(&env);
	snprintf(deep, sizeof(deep), "%s", env.dir);
	for (int i = 0; i < 6; i++)
		strcat(deep, "/a-directory-with-a-rather-long-name-as-temporary-ones-have");
	ck_assert_int_eq(es_dir_make_all(deep, 0711), 0);
	snprintf(env.root, sizeof(env.root), "%.1000s/root", deep);
	snprintf(env.state, sizeof(env.state), "%.1000s/state", deep);
	live(&env);
	census_assert_empty(&env);
	env_clear(&env);
}
END_TEST

START_TEST(several_managers)
{
	struct census census;
	struct env a, b;
	struct es_manager *m;
	struct es_task *task;
	struct es_exit exit;

	env_init(&a);
	env_init(&b);
	m = env_open(&a);
	task = box_run(&a, m, "life", &(struct box){ .args = { "/victim", "pause", "0" } });
	/* Another one comes and goes. The same ID in another state directory is another task. */
	{
		struct es_manager *other = env_open(&b);
		struct es_task *same;

		same = box_run(&b, other, "life-b", &exits_with_3);
		box_end(&b, same, 3);
		es_manager_close(other);
	}
	/* Nothing of the one counts as left by the other, and what is there is seen. */
	census_assert_empty(&b);
	census = census_take(&a);
	ck_assert_int_eq(census.processes, 1);
	ck_assert_int_gt(census.cgroups, 0);
	ck_assert_int_gt(census.files, 0);
	ck_assert_int_eq(census.slots, 1);
	ck_assert_int_eq(es_task_kill(task, SIGKILL), 0);
	ck_assert_int_eq(es_task_wait(task, 20000, &exit), 0);
	ck_assert_int_eq(exit.code, 137);
	ck_assert_uint_eq(exit.source, ES_EXIT_BPF);
	box_delete(&a, task);
	es_manager_close(m);
	census_assert_empty(&a);
	env_clear(&b);
	env_clear(&a);
}
END_TEST

/* As PID 1 of a PID namespace: orphans become ours, and a container's zombie is ours to reap. */
static void live_as_first_process(struct env *env)
{
	struct es_manager *m;
	struct es_task *task;
	struct es_task_state state;
	struct es_exit exit;

	ck_assert_int_eq(unshare(CLONE_NEWNS), 0);
	ck_assert_int_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	ck_assert_int_eq(mount("proc", "/proc", "proc", 0, NULL), 0);
	m = env_open(env);
	/* A node container: the namespace is held by its init, which is us. */
	ck_assert_ptr_null(es_manager_warning(m));
	task = box_run(env, m, "life", &(struct box){ .args = { "/victim", "pause", "0" } });
	ck_assert_int_eq(es_task_state(task, &state), 0);
	ck_assert_int_eq(kill(state.pid, 0), 0);
	ck_assert_int_eq(es_task_kill(task, SIGKILL), 0);
	ck_assert_int_eq(es_task_wait(task, 20000, &exit), 0);
	ck_assert_int_eq(exit.code, 137);
	ck_assert_int_eq(exit.pid, state.pid);
	ck_assert_uint_eq(exit.source, ES_EXIT_BPF);
	ck_assert_int_eq(kill(state.pid, 0), -1);
	box_delete(env, task);
	es_manager_close(m);
	for (int i = 0; i < test_count(5, 500); i++)
		live(env);
}

struct nested {
	struct env *env;
	int depth;
};

static void enter_namespace(void *arg)
{
	struct nested *n = arg;

	if (n->depth-- == 0) {
		live_as_first_process(n->env);
		return;
	}
	ck_assert_int_eq(unshare(CLONE_NEWPID), 0);
	if (in_child(enter_namespace, n) != 0)
		_exit(1);
}

START_TEST(nested_pid_namespaces)
{
	for (int depth = 1; depth <= 2; depth++) {
		struct env env;
		struct nested n = { .env = &env, .depth = depth };

		env_init(&env);
		ck_assert_int_eq(in_child(enter_namespace, &n), 0);
		census_assert_empty(&env);
		env_clear(&env);
	}
}
END_TEST

/* A bpffs on which the pins are to be found, as long as a task is there. */
static void live_on_bpffs(struct env *env, const char *bpffs)
{
	struct es_manager *m = env_open(env);
	struct es_task *task;
	struct es_exit exit;
	char path[PATH_MAX];
	pid_t pid;
	FILE *f;

	ck_assert_ptr_null(es_manager_warning(m));
	es_task_free(box_run(env, m, "life", &(struct box){ .args = { "/victim", "pause", "0" } }));
	es_manager_close(m);
	snprintf(path, sizeof(path), "%s/bpf", env->root);
	ck_assert_int_lt(access(path, F_OK), 0);
	snprintf(path, sizeof(path), "find %s/embedshim-*/v1/exits >/dev/null", bpffs);
	ck_assert_int_eq(system(path), 0);
	snprintf(path, sizeof(path), "%s/test/life/init.pid", env->state);
	f = fopen(path, "re");
	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(fscanf(f, "%d", &pid), 1);
	fclose(f);
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert(wait_until(kill(pid, 0) < 0));

	m = env_open(env);
	ck_assert_int_eq(es_manager_get(m, "test", "life", &task), 0);
	ck_assert_int_eq(es_task_wait(task, 0, &exit), 0);
	ck_assert_int_eq(exit.code, 137);
	ck_assert_uint_eq(exit.source, ES_EXIT_BPF);
	box_delete(env, task);
	es_manager_close(m);
	/* With the last task they go, and what we did not mount stays. */
	snprintf(path, sizeof(path), "test -z \"$(ls -d %s/embedshim-* 2>/dev/null)\"", bpffs);
	ck_assert_int_eq(system(path), 0);
}

static void live_on_named_bpffs(void *arg)
{
	struct env *env = arg;
	char bpffs[PATH_MAX];

	ck_assert_int_eq(unshare(CLONE_NEWNS), 0);
	ck_assert_int_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	snprintf(bpffs, sizeof(bpffs), "%s/a.bpffs", env->dir);
	ck_assert_int_eq(mkdir(bpffs, 0700), 0);
	ck_assert_int_eq(mount("bpf", bpffs, "bpf", 0, NULL), 0);
	env->opts.bpf_dir = bpffs;
	env->opts.flags = ES_MANAGER_REQUIRE_PERSISTENT;
	live_on_bpffs(env, bpffs);
}

/* Ours would end with the private mount namespace: the host's, which does not, is taken. */
static void live_on_bpffs_of_host(void *arg)
{
	struct env *env = arg;

	enter_private_mounts(true);
	env->opts.flags = ES_MANAGER_REQUIRE_PERSISTENT;
	live_on_bpffs(env, "/sys/fs/bpf");
}

START_TEST(places_of_the_pins)
{
	struct env env;

	env_init(&env);
	ck_assert_int_eq(in_child(live_on_named_bpffs, &env), 0);
	ck_assert_int_eq(in_child(live_on_bpffs_of_host, &env), 0);
	census_assert_empty(&env);
	env_clear(&env);
}
END_TEST

static void live_without_sigchld(void *arg)
{
	signal(SIGCHLD, SIG_IGN);
	live(arg);
}

static void reap_everything(int signal)
{
	int saved = errno;

	(void)signal;
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	errno = saved;
}

static void live_with_greedy_reaper(void *arg)
{
	struct sigaction action = { .sa_handler = reap_everything, .sa_flags = SA_RESTART };

	sigaction(SIGCHLD, &action, NULL);
	live(arg);
}

START_TEST(hosts_that_take_our_children)
{
	struct env env;

	env_init(&env);
	ck_assert_int_eq(in_child(live_without_sigchld, &env), 0);
	ck_assert_int_eq(in_child(live_with_greedy_reaper, &env), 0);
	census_assert_empty(&env);
	env_clear(&env);
}
END_TEST

/* A script that runs the runtime as a child: the container's process is nobody's we started. */
START_TEST(wrapped_runtime)
{
	char wrapper[PATH_MAX];
	struct env env;

	env_init(&env);
	snprintf(wrapper, sizeof(wrapper), "%s/wrapper", env.dir);
	write_script(wrapper,
		     "#!/bin/sh\n/bin/true\nrunc \"$@\"\nstatus=$?\n/bin/true\nexit $status\n");
	env.opts.runtime = wrapper;
	live(&env);
	census_assert_empty(&env);
	env_clear(&env);
}
END_TEST

START_TEST(streams)
{
	struct es_task_opts opts = { .size = sizeof(opts) };
	struct box box = { .args = { "/busybox", "sh", "-c", "echo to-out; echo to-err >&2" } };
	char fifo[PATH_MAX], file[PATH_MAX], uri[PATH_MAX + 16], path[PATH_MAX], buffer[64], *text;
	struct env env;
	struct es_manager *m;
	struct es_task *task;
	ssize_t n;
	int fd;

	env_init(&env);
	opts.error = &env.error;
	snprintf(path, sizeof(path), "cp /bin/busybox %s/busybox", env.rootfs);
	if (system(path) != 0) {
		printf("SKIPPED streams: busybox is not installed\n");
		env_clear(&env);
		return;
	}
	snprintf(fifo, sizeof(fifo), "%s/fifo", env.dir);
	snprintf(file, sizeof(file), "%s/log", env.dir);
	snprintf(uri, sizeof(uri), "file://%s", file);
	ck_assert_int_eq(mkfifo(fifo, 0600), 0);
	fd = open(fifo, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	m = env_open(&env);
	opts.spec = box_spec(&env, "life", &box);
	opts.stdout_path = fifo;
	opts.stderr_path = uri;
	ck_assert_int_eq(es_task_create(m, "test", "life", &opts, &task), 0);
	ck_assert_int_eq(es_task_start(task, &env.error), 0);
	ck_assert_int_eq(es_task_wait(task, 20000, NULL), 0);
	n = read(fd, buffer, sizeof(buffer));
	ck_assert_int_eq(n, 7);
	ck_assert_int_eq(memcmp(buffer, "to-out\n", 7), 0);
	/* Nobody holds the other end any more: not we, and the container is gone. */
	ck_assert_int_eq(read(fd, buffer, sizeof(buffer)), 0);
	close(fd);
	ck_assert_int_eq(es_file_read(AT_FDCWD, file, 100, &text, NULL), 0);
	ck_assert_str_eq(text, "to-err\n");
	free(text);
	box_delete(&env, task);
	env_finish(&env, m);
}
END_TEST

/* The caller makes the bundle, mounts a root file system in it, and then creates the task. */
START_TEST(prepared_bundle)
{
	struct es_bundle_opts bundle_opts = { .size = sizeof(bundle_opts) };
	struct es_task_opts opts = { .size = sizeof(opts) };
	char spec[16384], *root;
	struct es_bundle *bundle;
	struct es_manager *m;
	struct es_task *task;
	struct es_exit exit;
	struct env env;

	env_init(&env);
	opts.error = bundle_opts.error = &env.error;
	m = env_open(&env);
	/* root.path "rootfs", relative to the bundle. */
	snprintf(spec, sizeof(spec), "%s", box_spec(&env, "life", &exits_with_3));
	root = strstr(spec, env.rootfs);
	memmove(root + 6, root + strlen(env.rootfs), strlen(root + strlen(env.rootfs)) + 1);
	memcpy(root, "rootfs", 6);
	bundle_opts.spec = spec;
	ck_assert_int_eq(
		es_bundle_create(es_manager_bundles(m), "test", "life", &bundle_opts, &bundle), 0);
	ck_assert_int_eq(mount(env.rootfs, es_bundle_rootfs(bundle), NULL, MS_BIND, NULL), 0);
	ck_assert_msg(es_task_create(m, "test", "life", &opts, &task) == 0, "%s",
		      env.error.message);
	ck_assert_str_eq(es_task_bundle_dir(task), es_bundle_dir(bundle));
	es_bundle_free(bundle);
	ck_assert_int_eq(es_task_start(task, &env.error), 0);
	ck_assert_int_eq(es_task_wait(task, 20000, &exit), 0);
	ck_assert_int_eq(exit.code, 3);
	/* Delete unmounts it. */
	box_delete(&env, task);
	env_finish(&env, m);
}
END_TEST

/* No room for the files of one more task; those that run are not touched by it. */
START_TEST(full_state_directory)
{
	struct es_task_opts opts = { .size = sizeof(opts) };
	struct es_task *task, *second = NULL;
	struct env env;
	struct es_manager *m;
	int created = 0, r;

	env_init(&env);
	opts.error = &env.error;
	ck_assert_int_eq(mkdir(env.state, 0711), 0);
	ck_assert_int_eq(mount("tmpfs", env.state, "tmpfs", 0, "nr_inodes=60"), 0);
	m = env_open(&env);
	task = box_run(&env, m, "first", &(struct box){ .args = { "/victim", "pause", "0" } });
	for (;;) {
		char id[16];

		snprintf(id, sizeof(id), "more-%d", created);
		opts.spec = box_spec(&env, id, &exits_with_3);
		r = es_task_create(m, "test", id, &opts, &second);
		if (r < 0)
			break;
		created++;
		es_task_free(second);
	}
	ck_assert_msg(r == -ENOSPC || r == -EIO, "%d: %s", r, env.error.message);
	ck_assert_ptr_nonnull(strstr(env.error.message, "No space left on device")
				      ?: strstr(env.error.message, "no space left on device"));
	for (int i = 0; i < created; i++) {
		char id[16];

		snprintf(id, sizeof(id), "more-%d", i);
		ck_assert_int_eq(es_manager_get(m, "test", id, &second), 0);
		box_delete(&env, second);
	}
	ck_assert_int_eq(es_task_kill(task, SIGKILL), 0);
	box_end(&env, task, 137);
	es_manager_close(m);
	ck_assert_int_eq(umount(env.state), 0);
	census_assert_empty(&env);
	env_clear(&env);
}
END_TEST

RUN_SUITE("hosts", 300, long_paths, several_managers, nested_pid_namespaces, places_of_the_pins,
	  hosts_that_take_our_children, wrapped_runtime, streams, prepared_bundle,
	  full_state_directory)
