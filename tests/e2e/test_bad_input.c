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

/* Create must fail with this errno and a text that holds this word. */
static void expect_create(struct env *env, struct es_manager *m, const char *id,
			  struct es_task_opts *opts, int code, const char *word)
{
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
	m = env_open(&env);
	opts.spec = box_spec(&env, "x", &good);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		expect_create(&env, m, bad[i].id, &opts, bad[i].code, "task ID");
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
	expect_create(&env, m, es_task_id(task), &opts, -EEXIST, "exists");
	ck_assert_int_eq(es_task_delete(task, NULL, &env.error), 0);
	ck_assert_int_eq(es_task_delete(task, NULL, &env.error), -ENOENT);
	es_task_free(task);
	es_manager_close(m);
	census_assert_empty(&env);
	env_clear(&env);
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
	m = env_open(&env);
	expect_create(&env, m, "a", &(struct es_task_opts){ .bundle_dir = "/no/such" }, -ENOENT,
		      "/no/such");
	expect_create(&env, m, "a", &(struct es_task_opts){ .bundle_dir = "relative" }, -EINVAL,
		      "relative");
	expect_create(&env, m, "a", &(struct es_task_opts){ 0 }, -ENOENT, "no bundle");
	expect_create(&env, m, "a", &(struct es_task_opts){ .bundle_dir = "/x", .spec = "{}" },
		      -EINVAL, "both");
	expect_create(&env, m, "a", &(struct es_task_opts){ .spec = "{\"process\":" }, -EINVAL,
		      "not valid JSON");
	expect_create(&env, m, "a", &(struct es_task_opts){ .spec = "\xff\xfe" }, -EINVAL,
		      "not valid JSON");
	expect_create(&env, m, "a", &(struct es_task_opts){ .spec = "{}" }, -EIO, "OCI runtime");
	expect_create(&env, m, "a",
		      &(struct es_task_opts){ .spec = box_spec(&env, "a", &terminal) }, -ENOTSUP,
		      "terminal");
	expect_create(&env, m, "a",
		      &(struct es_task_opts){ .spec = box_spec(&env, "a", &missing_program) }, -EIO,
		      "/no/such/program");
	snprintf(path, sizeof(path), "%s", box_bundle(&env, "a", &good));
	strcat(path, "/config.json");
	ck_assert_int_eq(unlink(path), 0);
	expect_create(&env, m, "a", &(struct es_task_opts){ .bundle_dir = dirname(path) }, -ENOENT,
		      "config.json");
	es_manager_close(m);
	census_assert_empty(&env);
	env_clear(&env);
}
END_TEST

START_TEST(streams)
{
	struct env env;
	struct es_manager *m;
	const char *spec;
	char path[PATH_MAX], uri[PATH_MAX + 16];

	env_init(&env);
	m = env_open(&env);
	spec = box_spec(&env, "a", &good);
	expect_create(&env, m, "a",
		      &(struct es_task_opts){ .spec = spec, .stdout_path = "/no/such/fifo" },
		      -ENOENT, "stdout: /no/such/fifo");
	expect_create(&env, m, "a",
		      &(struct es_task_opts){ .spec = spec, .stdout_path = "/etc/passwd" }, -EINVAL,
		      "not a FIFO");
	expect_create(&env, m, "a",
		      &(struct es_task_opts){ .spec = spec, .stderr_path = "file:///no/such/x" },
		      -ENOENT, "stderr");
	expect_create(&env, m, "a",
		      &(struct es_task_opts){ .spec = spec, .stderr_path = "file://relative" },
		      -EINVAL, "file URI");
	expect_create(&env, m, "a",
		      &(struct es_task_opts){ .spec = spec, .stdout_path = "binary:///x" },
		      -ENOTSUP, "scheme");
	snprintf(path, sizeof(path), "%s/fifo", env.dir);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	expect_create(&env, m, "a", &(struct es_task_opts){ .spec = spec, .stdin_path = path },
		      -ENOTSUP, "stdin");
	snprintf(uri, sizeof(uri), "file://%s", path);
	expect_create(&env, m, "a", &(struct es_task_opts){ .spec = spec, .stdout_path = uri },
		      -ENXIO, "stdout");
	es_manager_close(m);
	census_assert_empty(&env);
	env_clear(&env);
}
END_TEST

START_TEST(runtimes)
{
	char failing[PATH_MAX], silent[PATH_MAX], hanging[PATH_MAX], plain[PATH_MAX];
	struct env env;
	struct es_manager *m;
	const char *spec;

	env_init(&env);
	m = env_open(&env);
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

	expect_create(&env, m, "a",
		      &(struct es_task_opts){ .spec = spec, .runtime = "/no/such/runc" }, -ENOENT,
		      "/no/such/runc");
	expect_create(&env, m, "a",
		      &(struct es_task_opts){ .spec = spec, .runtime = "no-such-runc" }, -ENOENT,
		      "no-such-runc");
	expect_create(&env, m, "a", &(struct es_task_opts){ .spec = spec, .runtime = plain },
		      -EACCES, "plain");
	expect_create(&env, m, "a", &(struct es_task_opts){ .spec = spec, .runtime = failing },
		      -EIO, "the moon is \"full\"");
	ck_assert_int_eq(env.error.runtime_exit, 3);
	expect_create(&env, m, "a", &(struct es_task_opts){ .spec = spec, .runtime = silent }, -EIO,
		      "gave no reason");
	ck_assert_int_eq(env.error.runtime_exit, 4);
	expect_create(&env, m, "a",
		      &(struct es_task_opts){
			      .spec = spec, .runtime = hanging, .runtime_timeout_ms = 300 },
		      -ETIMEDOUT, "300 ms");
	ck_assert_int_eq(es_manager_settle(m, 10000), 0);
	es_manager_close(m);
	census_assert_empty(&env);
	env_clear(&env);
}
END_TEST

START_TEST(states)
{
	struct box box = { .args = { "/victim", "sleep", "0" } };
	struct env env;
	struct es_manager *m;
	struct es_task *task;

	env_init(&env);
	m = env_open(&env);
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
	es_manager_close(m);
	census_assert_empty(&env);
	env_clear(&env);
}
END_TEST

START_TEST(second_manager)
{
	struct es_manager *m, *second = NULL;
	struct env env;
	char pid[32];

	env_init(&env);
	m = env_open(&env);
	ck_assert_int_eq(es_manager_open(&env.opts, &second), -EBUSY);
	snprintf(pid, sizeof(pid), "pid %d", getpid());
	ck_assert_ptr_nonnull(strstr(env.error.message, pid));
	es_manager_close(m);
	env_clear(&env);
}
END_TEST

/* Opening in a child that lacks something: its exit status is the errno, its text is checked. */
struct poor_host {
	struct env *env;
	void (*make_poor)(struct env *env);
	int code;
	const char *word;
};

static void open_poorly(void *arg)
{
	struct poor_host *host = arg;
	struct es_manager *m;
	int r;

	host->make_poor(host->env);
	r = es_manager_open(&host->env->opts, &m);
	if (r != host->code || !strstr(host->env->error.message, host->word)) {
		printf("open: %d: %s; expected %d and \"%s\"\n", r, host->env->error.message,
		       host->code, host->word);
		_exit(1);
	}
}

static void drop_root(struct env *env)
{
	chown(env->dir, 65534, 65534);
	ck_assert_int_eq(setgroups(0, NULL) | setgid(65534) | setuid(65534), 0);
}

/* One system call with one first argument fails with this errno. */
static void refuse_syscall(long number, int first_argument, int code)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)number, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)first_argument, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)code),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(filter) / sizeof(filter[0]), filter };

	ck_assert_int_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	ck_assert_int_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

static void refuse_program_load(struct env *env)
{
	(void)env;
	refuse_syscall(SYS_bpf, BPF_PROG_LOAD, EINVAL);
}

static void refuse_map_create(struct env *env)
{
	(void)env;
	refuse_syscall(SYS_bpf, BPF_MAP_CREATE, EPERM);
}

static void refuse_mount(struct env *env)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mount, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(filter) / sizeof(filter[0]), filter };

	(void)env;
	ck_assert_int_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	ck_assert_int_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

static void fill_disk(struct env *env)
{
	char buffer[4096] = { 0 }, path[PATH_MAX];
	int fd;

	ck_assert_int_eq(unshare(CLONE_NEWNS), 0);
	ck_assert_int_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	mkdir(env->root, 0711);
	ck_assert_int_eq(mount("tmpfs", env->root, "tmpfs", 0, "size=64k"), 0);
	snprintf(path, sizeof(path), "%s/filler", env->root);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	while (write(fd, buffer, sizeof(buffer)) > 0)
		;
	close(fd);
}

static void read_only_root(struct env *env)
{
	ck_assert_int_eq(unshare(CLONE_NEWNS), 0);
	ck_assert_int_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	mkdir(env->root, 0711);
	ck_assert_int_eq(mount("tmpfs", env->root, "tmpfs", MS_RDONLY, NULL), 0);
}

static void garbage_database(struct env *env)
{
	char path[PATH_MAX];

	mkdir(env->root, 0711);
	snprintf(path, sizeof(path), "%s/trace-ids.db", env->root);
	write_script(path, "this is not a database, but it is long enough to look like one to a "
			   "careless reader; this is not a database, but it is long enough");
}

static void foreign_bpf_dir(struct env *env)
{
	env->opts.bpf_dir = env->dir;
}

static void private_mounts(struct env *env)
{
	ck_assert_int_eq(unshare(CLONE_NEWNS), 0);
	/* As systemd's PrivateMounts=: a slave of the host's mounts. */
	ck_assert_int_eq(mount(NULL, "/", NULL, MS_REC | MS_SHARED, NULL), 0);
	ck_assert_int_eq(unshare(CLONE_NEWNS), 0);
	ck_assert_int_eq(mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL), 0);
	env->opts.flags = ES_MANAGER_REQUIRE_PERSISTENT;
}

START_TEST(poor_hosts)
{
	static const struct {
		void (*make_poor)(struct env *env);
		int code;
		const char *word;
	} hosts[] = {
		{ drop_root, -EPERM, "bpf" },
		{ refuse_mount, -EPERM, "bpffs" },
		{ refuse_program_load, -ENOTSUP, "kernel refused" },
		{ refuse_map_create, -EPERM, "privilege" },
		{ fill_disk, -ENOSPC, "root" },
		{ read_only_root, -EROFS, "root" },
		{ garbage_database, -EBADMSG, "trace-ids.db" },
		{ foreign_bpf_dir, -ENOTDIR, "bpffs" },
		{ private_mounts, -ENOTSUP, "private" },
	};

	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
		struct poor_host host = { .make_poor = hosts[i].make_poor,
					  .code = hosts[i].code,
					  .word = hosts[i].word };
		struct env env;

		env_init(&env);
		host.env = &env;
		ck_assert_msg(in_child(open_poorly, &host) == 0, "host %zu", i);
		census_assert_empty(&env);
		env_clear(&env);
	}
}
END_TEST

/* A warning, and everything works as long as the service runs. */
static void work_with_warning(void *arg)
{
	struct env *env = arg;
	struct es_manager *m;
	struct es_task *task;
	struct es_exit exit;

	private_mounts(env);
	env->opts.flags = 0;
	m = env_open(env);
	ck_assert_ptr_nonnull(es_manager_warning(m));
	ck_assert_ptr_nonnull(strstr(es_manager_warning(m), "lost"));
	task = box_run(env, m, "a", &(struct box){ .args = { "/victim", "exit", "6" } });
	ck_assert_int_eq(es_task_wait(task, -1, &exit), 0);
	ck_assert_int_eq(exit.code, 6);
	ck_assert_int_eq(es_task_delete(task, NULL, &env->error), 0);
	es_task_free(task);
	es_manager_close(m);
}

START_TEST(private_mount_namespace)
{
	struct env env;

	env_init(&env);
	ck_assert_int_eq(in_child(work_with_warning, &env), 0);
	census_assert_empty(&env);
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
	m = env_open(&env);
	for (int i = 0; i < 8; i++) {
		snprintf(id, sizeof(id), "full-%d", i);
		tasks[i] = box_run(&env, m, id, &box);
	}
	opts.spec = box_spec(&env, "ninth", &box);
	for (int i = 0; i < 3; i++)
		expect_create(&env, m, "ninth", &opts, -ENOSPC, "capacity of 8");
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
	m = env_open(&env);
	for (int i = 0; i < 8; i++) {
		struct es_task *task;

		es_task_free(tasks[i]);
		snprintf(id, sizeof(id), "full-%d", i);
		ck_assert_int_eq(es_manager_get(m, "test", id, &task), 0);
		ck_assert_int_eq(es_task_delete(task, NULL, &env.error), 0);
		es_task_free(task);
	}
	es_manager_close(m);
	env.opts.capacity = 16;
	m = env_open(&env);
	es_manager_close(m);
	census_assert_empty(&env);
	env_clear(&env);
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
	m = env_open(&env);
	ck_assert_int_eq(es_bundle_create(es_manager_bundles(m), "test", "a", &opts, &bundle), 0);
	ck_assert_int_eq(mount("tmpfs", es_bundle_rootfs(bundle), "tmpfs", 0, NULL), 0);
	es_bundle_free(bundle);
	es_manager_close(m);
	m = env_open(&env);
	ck_assert_int_eq(es_manager_settle(m, 20000), 0);
	es_manager_close(m);
	census_assert_empty(&env);
	env_clear(&env);
}
END_TEST

RUN_SUITE("bad_input", 300, identifiers, bundles, streams, runtimes, states, second_manager,
	  poor_hosts, private_mount_namespace, capacity, dead_bundle_with_mount)
