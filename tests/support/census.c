/* SPDX-License-Identifier: Apache-2.0 */
/* What belongs to a test's environment: processes, mounts, cgroups, files, map entries. */
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "exitsnoop.h"
#include "support.h"

/*
 * Unique on the machine and in everything that belongs to the environment: in its paths and in the
 * names of its containers' cgroups. So test programs can run side by side.
 */
const char *env_tag(const struct env *env)
{
	return strrchr(env->dir, '/') + 1;
}

/* What the file system walks below look for, and how much of it they found. */
static char wanted[64];
static int found;

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

/* One that has ended, and that somebody else has to reap: how soon the host's init does is its own.
 */
static bool is_left_to_others(const char *pid)
{
	char text[512], state;
	int parent;
	ssize_t n = read_proc(pid, "stat", false, text, sizeof(text) - 1);
	const char *end;

	if (n <= 0)
		return true;
	text[n] = '\0';
	end = strrchr(text, ')');
	return end && sscanf(end + 1, " %c %d", &state, &parent) == 2 && state == 'Z' &&
	       parent != getpid();
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

		if (pid <= 0 || pid == getpid() || is_left_to_others(entry->d_name))
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

void env_kill_all(const struct env *env)
{
	wait_until(signal_processes(env, SIGKILL, true) == 0);
}

void env_kill_runtimes(const struct env *env)
{
	wait_until(signal_processes(env, SIGKILL, false) == 0);
}

static int remove_cgroup(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)ftw;
	if (flag == FTW_DP && strstr(path, wanted))
		rmdir(path);
	return 0;
}

void env_remove_cgroups(const struct env *env)
{
	snprintf(wanted, sizeof(wanted), "/%s-", env_tag(env));
	nftw("/sys/fs/cgroup", remove_cgroup, 64, FTW_DEPTH | FTW_PHYS);
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
	static const char *const own[] = { "lock",   "trace-ids.db", "trace-ids.db-journal",
					   "bpf",    ".runtime",     "test",
					   "default" };
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
	census.runtimes = signal_processes(env, 0, false);
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

void env_finish(struct env *env, struct es_manager *m)
{
	es_manager_close(m);
	census_assert_empty(env);
	env_clear(env);
}
