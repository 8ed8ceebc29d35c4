/* SPDX-License-Identifier: Apache-2.0 */
/* The cgroups of a process, for removing what a killed OCI runtime left behind. */
#include "cgroup.h"

#include <string.h>

/* What a callback learns of one hierarchy: where it is mounted, which path a process has in it. */
typedef int hierarchy_fn(const char *mount_point, const char *path, void *arg);

void es_cgroup_set_clear(struct es_cgroup_set *set)
{
	for (size_t i = 0; i < set->n; i++)
		free(set->dirs[i]);
	free(set->dirs);
	*set = (struct es_cgroup_set){ 0 };
}

static int add_dir(struct es_cgroup_set *set, const char *mount_point, const char *path)
{
	char *dir, **dirs;

	if (asprintf(&dir, "%s%s%s", mount_point, path[0] == '/' ? "" : "/", path) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < set->n; i++) {
		if (strcmp(set->dirs[i], dir) == 0) {
			free(dir);
			return 0;
		}
	}
	dirs = realloc(set->dirs, (set->n + 1) * sizeof(*dirs));
	if (!dirs) {
		free(dir);
		return -ENOMEM;
	}
	set->dirs = dirs;
	dirs[set->n++] = dir;
	return 0;
}

/* The last field of mountinfo's optional part: "- fstype source super_options". */
static bool is_cgroup_mount(char *line, char **mount_point, char **fs_type, char **options)
{
	char *save = NULL, *rest = strstr(line, " - ");
	char *field = NULL;

	if (!rest)
		return false;
	*rest = '\0';
	field = strtok_r(line, " ", &save);
	for (int i = 0; field && i < 4; i++)
		field = strtok_r(NULL, " ", &save);
	*mount_point = field;
	*fs_type = strtok_r(rest + 3, " ", &save);
	strtok_r(NULL, " ", &save);
	*options = strtok_r(NULL, " \n", &save);
	return *mount_point && *fs_type && *options &&
	       (strcmp(*fs_type, "cgroup") == 0 || strcmp(*fs_type, "cgroup2") == 0);
}

bool es_cgroup_list_has(const char *list, size_t size, const char *word)
{
	const char *end = list + size;
	size_t n = strlen(word);

	for (const char *p = list; p <= end; p += strcspn(p, ",") + 1)
		if ((size_t)(end - p) >= n && strncmp(p, word, n) == 0 &&
		    (p + n == end || p[n] == ','))
			return true;
	return false;
}

char *es_cgroup_find_mount(const char *controllers)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	char *line = NULL, *found = NULL;
	size_t size = 0;
	char first[64];

	if (!f)
		return NULL;
	/* One controller of the list is enough: it can be in one hierarchy only. */
	snprintf(first, sizeof(first), "%.*s", (int)strcspn(controllers, ","), controllers);
	/* The last one: what is mounted over others is what can be seen. */
	while (getline(&line, &size, f) > 0) {
		char *mount_point, *fs_type, *options;

		if (!is_cgroup_mount(line, &mount_point, &fs_type, &options))
			continue;
		if (*first ? strcmp(fs_type, "cgroup") == 0 &&
				     es_cgroup_list_has(options, strlen(options), first)
			   : strcmp(fs_type, "cgroup2") == 0) {
			free(found);
			found = strdup(mount_point);
		}
	}
	free(line);
	fclose(f);
	return found;
}

/* Call fn for every hierarchy of /proc/<pid>/cgroup ("self" for 0). */
static int each_hierarchy(pid_t pid, hierarchy_fn *fn, void *arg)
{
	char name[64], *line = NULL;
	size_t size = 0;
	int r = 0;
	FILE *f;

	if (pid)
		snprintf(name, sizeof(name), "/proc/%d/cgroup", pid);
	else
		snprintf(name, sizeof(name), "/proc/self/cgroup");
	f = fopen(name, "re");
	if (!f)
		return errno == ENOENT ? -ESRCH : es_neg_errno();
	while (r == 0 && getline(&line, &size, f) > 0) {
		char *controllers = strchr(line, ':');
		char *path = controllers ? strchr(controllers + 1, ':') : NULL;
		char *mount_point;

		if (!path)
			continue;
		*path++ = '\0';
		path[strcspn(path, "\n")] = '\0';
		mount_point = es_cgroup_find_mount(controllers + 1);
		if (!mount_point)
			continue;
		r = fn(mount_point, path, arg);
		free(mount_point);
	}
	free(line);
	fclose(f);
	return r;
}

static int collect_dir(const char *mount_point, const char *path, void *arg)
{
	return add_dir(arg, mount_point, path);
}

static void remove_dirs(struct es_cgroup_set *set, const struct es_cgroup_set *not_these)
{
	size_t kept = 0;

	for (size_t i = 0; i < set->n; i++) {
		bool drop = false;

		for (size_t j = 0; j < not_these->n && !drop; j++)
			drop = strcmp(set->dirs[i], not_these->dirs[j]) == 0;
		if (drop)
			free(set->dirs[i]);
		else
			set->dirs[kept++] = set->dirs[i];
	}
	set->n = kept;
}

int es_cgroup_set_add_process(struct es_cgroup_set *set, pid_t pid)
{
	struct es_cgroup_set own = { 0 };
	int r;

	r = each_hierarchy(0, collect_dir, &own);
	if (r == 0)
		r = each_hierarchy(pid, collect_dir, set);
	/* Also when it failed: nothing of ours may stay in the set. */
	remove_dirs(set, &own);
	es_cgroup_set_clear(&own);
	return r;
}

struct path_arg {
	struct es_cgroup_set *set;
	const char *path;
};

static int collect_path(const char *mount_point, const char *own_path, void *arg)
{
	const struct path_arg *p = arg;
	cleanup_free char *below_own = NULL;

	if (p->path[0] == '/')
		return add_dir(p->set, mount_point, p->path);
	if (asprintf(&below_own, "%s/%s", strcmp(own_path, "/") == 0 ? "" : own_path, p->path) < 0)
		return -ENOMEM;
	return add_dir(p->set, mount_point, below_own);
}

int es_cgroup_set_add_path(struct es_cgroup_set *set, const char *cgroups_path, const char *id)
{
	struct path_arg arg = { .set = set, .path = cgroups_path ? cgroups_path : id };

	/* "slice:prefix:name" is systemd's business, and the root is nobody's to remove. */
	if (strchr(arg.path, ':') || strstr(arg.path, "..") || strcmp(arg.path, "/") == 0 ||
	    !*arg.path)
		return 0;
	return each_hierarchy(0, collect_path, &arg);
}

size_t es_cgroup_set_remove(const struct es_cgroup_set *set)
{
	size_t kept = 0;

	for (size_t i = 0; i < set->n; i++)
		if (rmdir(set->dirs[i]) < 0 && errno != ENOENT)
			kept++;
	return kept;
}
