/* SPDX-License-Identifier: Apache-2.0 */
/* A container's cgroups, known by the text of /proc/<init>/cgroup: its processes, frozen, killed.
 */
#include "container_cgroup.h"

#include <fcntl.h>
#include <fts.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "cgroup.h"
#include "fs.h"
#include "pidref.h"

#define TEXT_MAX (64 * 1024)

/* How often SIGKILL goes round before it is given up: a pass reaches what an earlier one missed. */
#define KILL_PASSES 64

int es_container_cgroup_read(pid_t pid, char **ret)
{
	char path[64];
	int r;

	snprintf(path, sizeof(path), "/proc/%d/cgroup", pid);
	r = es_file_read(AT_FDCWD, path, TEXT_MAX, ret, NULL);
	return r == -ENOENT ? -ESRCH : r;
}

/* The path in the hierarchy of controller, or in v2's for "". malloc()ed; NULL: none. */
static char *path_in(const char *text, const char *controller)
{
	for (const char *line = text; line && *line; line = strchr(line, '\n')) {
		const char *list, *path;
		size_t n;

		line += *line == '\n';
		list = strchr(line, ':');
		path = list ? strchr(list + 1, ':') : NULL;
		if (!path)
			continue;
		list++;
		n = (size_t)(path - list);
		if (es_cgroup_list_has(list, n, controller))
			return strndup(path + 1, strcspn(path + 1, "\n"));
	}
	return NULL;
}

/* Its directory in one hierarchy if that is a cgroup of its own. malloc()ed; NULL: none. */
static char *own_dir(const char *text, const char *own_text, const char *controller)
{
	cleanup_free char *path = path_in(text, controller);
	cleanup_free char *own_path = path_in(own_text, controller);
	cleanup_free char *mount = NULL;
	char *dir = NULL;

	if (!path || strcmp(path, "/") == 0 || (own_path && strcmp(path, own_path) == 0))
		return NULL;
	mount = es_cgroup_find_mount(controller);
	if (mount && asprintf(&dir, "%s%s", mount, path) < 0)
		return NULL;
	return dir;
}

/* The directory of the first of these hierarchies that gives the container one, which exists. */
static char *find_dir(const char *text, const char *const *controllers)
{
	cleanup_free char *own_text = NULL;

	if (!text || es_file_read(AT_FDCWD, "/proc/self/cgroup", TEXT_MAX, &own_text, NULL) < 0)
		return NULL;
	for (; *controllers; controllers++) {
		char *dir = own_dir(text, own_text, *controllers);

		if (dir && access(dir, F_OK) == 0)
			return dir;
		free(dir);
	}
	return NULL;
}

uint64_t es_container_cgroup_id(const char *text)
{
	static const char *const memory[] = { "memory", "", NULL };
	cleanup_free char *dir = find_dir(text, memory);
	struct stat st;

	return dir && stat(dir, &st) == 0 ? st.st_ino : 0;
}

/* Any hierarchy lists the processes; runc joins all of them. */
static char *find_any_dir(const char *text)
{
	static const char *const any[] = { "devices", "pids", "memory", "freezer", "", NULL };

	return find_dir(text, any);
}

struct pid_list {
	int32_t *pids;
	size_t n, size;
};

static int append_pid(struct pid_list *list, int32_t pid)
{
	if (list->n == list->size) {
		size_t size = list->size ? list->size * 2 : 16;
		int32_t *pids = realloc(list->pids, size * sizeof(*pids));

		if (!pids)
			return -ENOMEM;
		list->pids = pids;
		list->size = size;
	}
	list->pids[list->n++] = pid;
	return 0;
}

static int read_procs(struct pid_list *list, const char *dir)
{
	cleanup_free char *path = NULL;
	char *line = NULL;
	size_t size = 0;
	int r = 0;
	FILE *f;

	if (asprintf(&path, "%s/cgroup.procs", dir) < 0)
		return -ENOMEM;
	f = fopen(path, "re");
	if (!f)
		return errno == ENOENT ? 0 : es_neg_errno();
	/* A threaded v2 cgroup cannot be read (EOPNOTSUPP): its processes are listed above it. */
	while (r == 0 && getline(&line, &size, f) > 0) {
		long pid = strtol(line, NULL, 10);

		/* 0: not visible in our PID namespace. */
		if (pid > 0)
			r = append_pid(list, (int32_t)pid);
	}
	free(line);
	fclose(f);
	return r;
}

static int list_pids(const char *dir, struct pid_list *list)
{
	char *const roots[] = { (char *)(uintptr_t)dir, NULL };
	FTS *fts = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV | FTS_NOSTAT, NULL);
	FTSENT *entry;
	int r = 0;

	if (!fts)
		return es_neg_errno();
	while (r == 0 && (entry = fts_read(fts)))
		if (entry->fts_info == FTS_D)
			r = read_procs(list, entry->fts_path);
	fts_close(fts);
	return r;
}

int es_container_cgroup_pids(const char *text, int32_t **ret)
{
	cleanup_free char *dir = find_any_dir(text);
	struct pid_list list = { 0 };
	int r;

	if (!dir)
		return -ENOENT;
	r = list_pids(dir, &list);
	if (r < 0) {
		free(list.pids);
		return r;
	}
	/* Never NULL, so that the caller need not know that zero is special. */
	*ret = list.pids ? list.pids : calloc(1, sizeof(int32_t));
	return *ret ? (int)list.n : -ENOMEM;
}

/* Number of processes signalled, by their pidfds: a number may be another process's by now. */
static int signal_once(const char *dir, int signal)
{
	struct pid_list list = { 0 };
	int count = 0, r;

	r = list_pids(dir, &list);
	for (size_t i = 0; r >= 0 && i < list.n; i++) {
		struct es_pidref ref = ES_PIDREF_UNSET;

		r = es_pidref_open(&ref, list.pids[i]);
		if (r == 0 && !es_pidref_has_exited(&ref)) {
			r = es_pidref_signal(&ref, signal);
			count += r == 0;
		}
		es_pidref_close(&ref);
		if (r == -ESRCH)
			r = 0;
	}
	free(list.pids);
	return r < 0 ? r : count;
}

/* v2 (5.14): the kernel kills everything below at once. */
static void kill_tree(const char *dir)
{
	cleanup_free char *path = NULL;
	cleanup_fd int fd = -EBADF;
	ssize_t n;

	if (asprintf(&path, "%s/cgroup.kill", dir) < 0)
		return;
	fd = open(path, O_WRONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : write(fd, "1", 1);
	(void)n; /* an older kernel: one by one then */
}

int es_container_cgroup_signal(const char *text, int signal)
{
	cleanup_free char *dir = find_any_dir(text);
	int count = 0, r = 0;

	if (!dir)
		return -ENOENT;
	if (signal != SIGKILL)
		return signal_once(dir, signal);
	for (int pass = 0; pass < KILL_PASSES; pass++) {
		r = signal_once(dir, SIGKILL);
		if (r <= 0)
			return r < 0 ? r : count;
		count += pass == 0 ? r : 0;
		kill_tree(dir);
		/* A killed process is listed until its parent has heard of it or it is gone. */
		usleep(500);
	}
	return -EBUSY;
}

static const char *const freezer[] = { "freezer", NULL };
static const char *const unified[] = { "", NULL };

static bool file_says(const char *dir, const char *name, const char *word)
{
	cleanup_free char *path = NULL, *text = NULL;

	return asprintf(&path, "%s/%s", dir, name) >= 0 &&
	       es_file_read(AT_FDCWD, path, 4096, &text, NULL) == 0 && strstr(text, word);
}

bool es_container_cgroup_is_frozen(const char *text)
{
	cleanup_free char *v1 = find_dir(text, freezer);
	cleanup_free char *v2 = NULL;

	if (v1)
		return file_says(v1, "freezer.state", "FR");
	v2 = find_dir(text, unified);
	return v2 && file_says(v2, "cgroup.freeze", "1");
}

void es_container_cgroup_thaw_v1(const char *text)
{
	cleanup_free char *dir = find_dir(text, freezer), *path = NULL;
	cleanup_fd int fd = -EBADF;
	ssize_t n;

	if (!dir || asprintf(&path, "%s/freezer.state", dir) < 0)
		return;
	fd = open(path, O_WRONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : write(fd, "THAWED", 6);
	(void)n; /* gone: nothing is frozen any more */
}
