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

/*
 * Unique on the machine and in everything that belongs to the environment: in its paths and in the
 * names of its containers' cgroups. So test programs can run side by side.
 */
static const char *env_tag(const struct env *env)
{
	return strrchr(env->dir, '/') + 1;
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

/* What the file system walks below look for, and how much of it they found. */
static char wanted[64];
static int found;

static int remove_cgroup(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)ftw;
	if (flag == FTW_DP && strstr(path, wanted))
		rmdir(path);
	return 0;
}

static ssize_t read_proc(const char *pid, const char *name, bool link, char *text, size_t size)
{
	char path[300];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%s/%s", pid, name);
	if (link)
		return readlink(path, text, size);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	n = read(fd, text, size);
	close(fd);
	return n;
}

static bool has_tag(const struct env *env, const char *pid, const char *place, bool link)
{
	char text[16384];
	ssize_t n = read_proc(pid, place, link, text, sizeof(text));

	return n > 0 && memmem(text, (size_t)n, env_tag(env), strlen(env_tag(env)));
}

/* The directories of a container's process look like "/" from outside. */
static bool is_in_container(const struct env *env, const char *pid)
{
	return has_tag(env, pid, "cgroup", false);
}

static bool is_runtime(const struct env *env, const char *pid)
{
	return has_tag(env, pid, "cmdline", false) || has_tag(env, pid, "cwd", true) ||
	       has_tag(env, pid, "root", true);
}

/* Counts the processes of the environment other than this one, and sends them a signal unless 0. */
static int signal_processes(const struct env *env, int signal, bool with_containers)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	int n = 0;

	while ((entry = readdir(proc))) {
		pid_t pid = atoi(entry->d_name);
		bool contained;

		if (pid <= 0 || pid == getpid())
			continue;
		contained = is_in_container(env, entry->d_name);
		if (contained ? !with_containers : !is_runtime(env, entry->d_name))
			continue;
		n++;
		if (signal)
			kill(pid, signal);
	}
	closedir(proc);
	return n;
}

void env_kill_runtimes(const struct env *env)
{
	wait_until(signal_processes(env, SIGKILL, false) == 0);
}

void env_clear(struct env *env)
{
	wait_until(signal_processes(env, SIGKILL, true) == 0);
	es_mount_remove_below(env->dir, true);
	nftw(env->dir, remove_node, 64, FTW_DEPTH | FTW_PHYS);
	snprintf(wanted, sizeof(wanted), "/%s-", env_tag(env));
	nftw("/sys/fs/cgroup", remove_cgroup, 64, FTW_DEPTH | FTW_PHYS);
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
	ADD("]},\"root\":{\"path\":\"%s\",\"readonly\":false},\"mounts\":["
	    "{\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\"},"
	    /* runc makes files in it, and all containers share the root file system. */
	    "{\"destination\":\"/dev\",\"type\":\"tmpfs\",\"source\":\"tmpfs\"},"
	    "{\"destination\":\"/dev/pts\",\"type\":\"devpts\",\"source\":\"devpts\","
	    "\"options\":[\"newinstance\",\"ptmxmode=0666\",\"mode=0620\"]}],"
	    "\"linux\":{\"cgroupsPath\":\"/%s-%s\",",
	    env->rootfs, env_tag(env), id);
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

/* Census */

static int count_mounts(const struct env *env)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	char line[8192], bpf[PATH_MAX];
	int n = 0;

	snprintf(bpf, sizeof(bpf), "%s/bpf ", env->root);
	while (fgets(line, sizeof(line), f))
		if (strstr(line, env->dir) && !strstr(line, bpf))
			n++;
	fclose(f);
	return n;
}

static int count_cgroup(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)ftw;
	if (flag == FTW_D && strstr(path, wanted)) {
		found++;
		printf("left: %s\n", path);
	}
	return 0;
}

static int count_file(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	static const char *const own[] = { "lock", "trace-ids.db", "trace-ids.db-journal",
					   "bpf",  ".runtime",	   "test" };
	const char *name = path + ftw->base;

	(void)st;
	(void)flag;
	if (ftw->level == 0)
		return 0;
	/* The runtime's root stays, one directory for each namespace. */
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		if (ftw->level <= 2 && strcmp(name, own[i]) == 0)
			return 0;
	if (strstr(path, "/root/bpf/"))
		return 0;
	printf("left: %s\n", path);
	found++;
	return 0;
}

struct census census_take(const struct env *env)
{
	struct census census = { .slots = -1 };
	char bpf[PATH_MAX];

	census.processes = signal_processes(env, 0, true);
	census.mounts = count_mounts(env);
	found = 0;
	snprintf(wanted, sizeof(wanted), "/%s-", env_tag(env));
	nftw("/sys/fs/cgroup", count_cgroup, 64, FTW_PHYS);
	census.cgroups = found;
	found = 0;
	nftw(env->state, count_file, 64, FTW_PHYS);
	nftw(env->root, count_file, 64, FTW_PHYS);
	census.files = found;
	snprintf(bpf, sizeof(bpf), "%s/bpf", env->root);
	if (access(bpf, F_OK) == 0) {
		struct es_exitsnoop_opts opts = { .root_dir = env->root };
		struct es_exitsnoop *snoop;
		uint64_t *ids = NULL;

		if (es_exitsnoop_open(&opts, &snoop) == 0) {
			census.slots = es_exitsnoop_list(snoop, &ids);
			es_exitsnoop_close(snoop);
			free(ids);
		}
	}
	return census;
}

void census_assert_empty(const struct env *env)
{
	struct census c;

	/* runc's own processes end a moment after their work is done. */
	wait_until(signal_processes(env, 0, true) == 0);
	c = census_take(env);
	ck_assert_msg(c.processes == 0 && c.mounts == 0 && c.cgroups == 0 && c.files == 0 &&
			      c.slots <= 0,
		      "left behind: %d processes, %d mounts, %d cgroups, %d files, %d map entries",
		      c.processes, c.mounts, c.cgroups, c.files, c.slots);
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
