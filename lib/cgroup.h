/* SPDX-License-Identifier: Apache-2.0 */
/* The cgroups of a process, for removing what a killed OCI runtime left behind. */
#ifndef ES_CGROUP_H
#define ES_CGROUP_H

#include <stdbool.h>
#include <sys/types.h>

#include "util.h"

/* Where the hierarchy with these controllers ("" for v2) is mounted; malloc()ed or NULL. */
ES_HIDDEN char *es_cgroup_find_mount(const char *controllers);

/* Whether a word is in a comma-separated list of that size. */
ES_HIDDEN bool es_cgroup_list_has(const char *list, size_t size, const char *word);

/* Directories of cgroups, no duplicates. */
struct es_cgroup_set {
	char **dirs; /* malloc()ed strings */
	size_t n;
};

ES_HIDDEN void es_cgroup_set_clear(struct es_cgroup_set *set);

/* Add the cgroups that pid is in and we are not. 0, -ESRCH, -ENOMEM, -EIO. */
ES_HIDDEN int es_cgroup_set_add_process(struct es_cgroup_set *set, pid_t pid);

/*
 * Add where a runtime with the cgroupfs driver puts a container with this linux.cgroupsPath (NULL:
 * the container's ID): below the root of each hierarchy, or below our own cgroup for a relative
 * path. 0, -ENOMEM, -EIO.
 */
ES_HIDDEN int es_cgroup_set_add_path(struct es_cgroup_set *set, const char *cgroups_path,
				     const char *id);

/* rmdir(2) each: what holds a process or a child stays. The number that stays. */
ES_HIDDEN size_t es_cgroup_set_remove(const struct es_cgroup_set *set);

#endif
