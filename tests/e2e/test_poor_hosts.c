/* SPDX-License-Identifier: Apache-2.0 */
/* Hosts that lack something: no privilege, no bpffs, no BPF, no room. A clear error, nothing left.
 */
#include <fcntl.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "support.h"

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
	enter_private_mounts(false);
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
	box_delete(env, task);
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

RUN_SUITE("poor_hosts", 300, poor_hosts, private_mount_namespace)
