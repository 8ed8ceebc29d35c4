/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests share: scratch directories, containers, counts of what must not leak. */
#include "support.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "exitsnoop.h"
#include "fs.h"
#include "mount.h"

#ifndef ES_VICTIM
#error "the path of the victim program must be given"
#endif

/* Names the scratch directories, so that the runner finds those of tests that have failed. */
static int runner_pid;

void require_runtime(void)
{
	if (geteuid() != 0) {
		printf("SKIPPED: needs root\n");
		exit(77);
	}
	if (access("/sys/kernel/btf/vmlinux", R_OK) < 0) {
		printf("SKIPPED: the kernel has no BTF\n");
		exit(77);
	}
	if (system("command -v runc >/dev/null") != 0) {
		printf("SKIPPED: runc is not installed\n");
		exit(77);
	}
}

void sleep_ms(int ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000L };

	nanosleep(&t, NULL);
}

int test_count(int quick, int long_run)
{
	const char *value = getenv("ES_TEST_LONG");

	return value && *value && strcmp(value, "0") != 0 ? long_run : quick;
}

int count_entries(const char *path)
{
	DIR *dir = opendir(path);
	int n = -2; /* . and .. */

	ck_assert_ptr_nonnull(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

void write_script(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");

	ck_assert_ptr_nonnull(f);
	ck_assert_int_ge(fputs(text, f), 0);
	ck_assert_int_eq(fclose(f), 0);
	ck_assert_int_eq(chmod(path, 0755), 0);
}

static void copy_file(const char *from, const char *to)
{
	char buffer[65536];
	size_t n;
	FILE *in = fopen(from, "re"), *out = fopen(to, "we");

	ck_assert_msg(in && out, "cannot copy %s", from);
	while ((n = fread(buffer, 1, sizeof(buffer), in)) > 0)
		ck_assert_uint_eq(fwrite(buffer, 1, n, out), n);
	fclose(in);
	ck_assert_int_eq(fclose(out), 0);
	chmod(to, 0755);
}

void env_init(struct env *env)
{
	static const char *const dirs[] = { "proc", "dev", "sys", "tmp" };
	const char *tmp = getenv("TMPDIR");
	char path[PATH_MAX];

	memset(env, 0, sizeof(*env));
	snprintf(env->dir, sizeof(env->dir), "%s/es-test-%d-XXXXXX", tmp ? tmp : "/tmp",
		 runner_pid);
	ck_assert_ptr_nonnull(mkdtemp(env->dir));
	chmod(env->dir, 0711);
	snprintf(env->root, sizeof(env->root), "%s/root", env->dir);
	snprintf(env->state, sizeof(env->state), "%s/state", env->dir);
	snprintf(env->rootfs, sizeof(env->rootfs), "%s/rootfs", env->dir);
	ck_assert_int_eq(mkdir(env->rootfs, 0755), 0);
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", env->rootfs, dirs[i]);
		ck_assert_int_eq(mkdir(path, 0755), 0);
	}
	snprintf(path, sizeof(path), "%s/victim", env->rootfs);
	copy_file(ES_VICTIM, path);
	env->opts = (struct es_manager_opts){ .size = sizeof(env->opts),
					      .root_dir = env->root,
					      .state_dir = env->state,
					      .io_helper = ES_IO_HELPER,
					      .error = &env->error };
}

static int remove_node(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	remove(path);
	return 0;
}

void env_clear(struct env *env)
{
	env_kill_all(env);
	es_mount_remove_below(env->dir, true);
	nftw(env->dir, remove_node, 64, FTW_DEPTH | FTW_PHYS);
	env_remove_cgroups(env);
}

void enter_private_mounts(bool with_bpffs)
{
	ck_assert_int_eq(unshare(CLONE_NEWNS), 0);
	ck_assert_int_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	umount2("/sys/fs/bpf", MNT_DETACH);
	if (with_bpffs)
		ck_assert_int_eq(mount("bpf", "/sys/fs/bpf", "bpf", 0, NULL), 0);
	ck_assert_int_eq(mount(NULL, "/", NULL, MS_REC | MS_SHARED, NULL), 0);
	ck_assert_int_eq(unshare(CLONE_NEWNS), 0);
	ck_assert_int_eq(mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL), 0);
}

struct es_manager *env_open(struct env *env)
{
	struct es_manager *m = NULL;
	int r;

	r = es_manager_open(&env->opts, &m);
	ck_assert_msg(r == 0, "es_manager_open: %d: %s", r, env->error.message);
	return m;
}

/* What root may do to files, devices among them. */
#define FILE_CAPABILITIES "[\"CAP_CHOWN\",\"CAP_DAC_OVERRIDE\",\"CAP_FOWNER\",\"CAP_MKNOD\"]"

const char *box_spec(const struct env *env, const char *id, const struct box *box)
{
	static __thread char text[16384];
	size_t n = 0;

#define ADD(...) (n += (size_t)snprintf(text + n, sizeof(text) - n, __VA_ARGS__))
	ADD("{\"ociVersion\":\"1.0.2\",\"process\":{\"terminal\":%s,\"user\":{\"uid\":0,\"gid\":0},"
	    "\"cwd\":\"/\",\"env\":[\"PATH=/\"],\"noNewPrivileges\":true,"
	    "\"rlimits\":[{\"type\":\"RLIMIT_CORE\",\"hard\":100000000,\"soft\":100000000}],"
	    "\"args\":[",
	    box->terminal ? "true" : "false");
	for (int i = 0; box->args[i]; i++)
		ADD("%s\"%s\"", i ? "," : "", json_escape(box->args[i]));
	ADD("]");
	if (box->shared)
		ADD(",\"capabilities\":{\"bounding\":%s,\"effective\":%s,\"permitted\":%s}",
		    FILE_CAPABILITIES, FILE_CAPABILITIES, FILE_CAPABILITIES);
	ADD("},\"root\":{\"path\":\"%s\",\"readonly\":false},\"mounts\":["
	    "{\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\"},"
	    /* runc makes files in it, and all containers share the root file system. */
	    "{\"destination\":\"/dev\",\"type\":\"tmpfs\",\"source\":\"tmpfs\"},"
	    "{\"destination\":\"/dev/pts\",\"type\":\"devpts\",\"source\":\"devpts\","
	    "\"options\":[\"newinstance\",\"ptmxmode=0666\",\"mode=0620\"]}",
	    env->rootfs);
	if (box->shared)
		ADD(",{\"destination\":\"/shared\",\"type\":\"bind\",\"source\":\"%s\","
		    "\"options\":[\"bind\"]}",
		    box->shared);
	ADD("],\"linux\":{\"cgroupsPath\":\"/%s-%s\",", env_tag(env), id);
	if (box->memory_limit)
		ADD("\"resources\":{\"memory\":{\"limit\":%llu,\"swap\":%llu}},",
		    (unsigned long long)box->memory_limit, (unsigned long long)box->memory_limit);
	ADD("\"namespaces\":[%s{\"type\":\"mount\"},{\"type\":\"ipc\"}]}}",
	    box->host_pid ? "" : "{\"type\":\"pid\"},");
#undef ADD
	return text;
}

const char *box_bundle(const struct env *env, const char *id, const struct box *box)
{
	static __thread char dir[PATH_MAX];
	char path[PATH_MAX + 16];

	snprintf(dir, sizeof(dir), "%s/bundle-%s", env->dir, id);
	mkdir(dir, 0755);
	snprintf(path, sizeof(path), "%s/config.json", dir);
	write_script(path, box_spec(env, id, box));
	return dir;
}

struct es_task *box_create(struct env *env, struct es_manager *m, const char *id,
			   const struct box *box)
{
	struct es_task_opts opts = { .size = sizeof(opts), .error = &env->error };
	struct es_task *task = NULL;
	int r;

	opts.spec = box_spec(env, id, box);
	opts.stdin_path = box->in;
	opts.stdout_path = box->out;
	opts.stderr_path = box->err;
	r = es_task_create(m, "test", id, &opts, &task);
	ck_assert_msg(r == 0, "create %s: %d: %s", id, r, env->error.message);
	return task;
}

struct es_task *box_run(struct env *env, struct es_manager *m, const char *id,
			const struct box *box)
{
	struct es_task *task = box_create(env, m, id, box);
	int r;

	r = es_task_start(task, &env->error);
	ck_assert_msg(r == 0, "start %s: %d: %s", id, r, env->error.message);
	return task;
}

void box_delete(struct env *env, struct es_task *task)
{
	int r = es_task_delete(task, NULL, &env->error);

	ck_assert_msg(r == 0, "delete %s: %d: %s", es_task_id(task), r, env->error.message);
	es_task_free(task);
}

void box_end(struct env *env, struct es_task *task, int code)
{
	struct es_exit exit;

	ck_assert_int_eq(es_task_wait(task, 20000, &exit), 0);
	ck_assert_msg(exit.code == code, "%s: code %d, not %d", es_task_id(task), exit.code, code);
	box_delete(env, task);
}

void box_go(const struct env *env, const char *name)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/go-%s", env->rootfs, name);
	ck_assert_int_ge(close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644)), 0);
}

void box_ungo(const struct env *env, const char *name)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/go-%s", env->rootfs, name);
	unlink(path);
}

/* Children */

pid_t start_child(void (*fn)(void *arg), void *arg)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		fn(arg);
		fflush(NULL);
		_exit(0);
	}
	return pid;
}

int in_child(void (*fn)(void *arg), void *arg)
{
	pid_t pid = start_child(fn, arg);
	int status;

	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return status;
}

void kill_child(pid_t pid)
{
	int status;

	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
}

/* A test that fails does not come to its env_clear(). */
static void clear_leftovers(void)
{
	const char *tmp = getenv("TMPDIR");
	char pattern[PATH_MAX];
	glob_t found_dirs;

	snprintf(pattern, sizeof(pattern), "%s/es-test-%d-*", tmp ? tmp : "/tmp", runner_pid);
	if (glob(pattern, 0, NULL, &found_dirs) != 0)
		return;
	for (size_t i = 0; i < found_dirs.gl_pathc; i++) {
		struct env env = { 0 };

		snprintf(env.dir, sizeof(env.dir), "%s", found_dirs.gl_pathv[i]);
		env_clear(&env);
	}
	globfree(&found_dirs);
}

int run_suite(const char *name, const TTest *const *tests, size_t n, double timeout_s)
{
	Suite *suite = suite_create(name);
	SRunner *runner;
	int failed;

	setvbuf(stdout, NULL, _IOLBF, 0);
	/* A case of its own for each: CK_RUN_CASE=name runs one alone. */
	for (size_t i = 0; i < n; i++) {
		TCase *tcase = tcase_create(tests[i]->name);

		tcase_set_timeout(tcase, timeout_s);
		tcase_add_test(tcase, tests[i]);
		suite_add_tcase(suite, tcase);
	}
	runner = srunner_create(suite);
	runner_pid = getpid();
	srunner_run_all(runner, CK_NORMAL);
	clear_leftovers();
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
