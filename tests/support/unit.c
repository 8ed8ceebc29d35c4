/* SPDX-License-Identifier: Apache-2.0 */
/* A scratch directory and a mount namespace for unit tests. */
#include "unit.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "fs.h"
#include "mount.h"

static char scratch_path[64];

const char *scratch_dir(void)
{
	if (!*scratch_path) {
		strcpy(scratch_path, "/tmp/es-unit-XXXXXX");
		ck_assert_ptr_nonnull(mkdtemp(scratch_path));
	}
	return scratch_path;
}

const char *scratch(const char *name)
{
	static char paths[8][PATH_MAX];
	static unsigned int next;
	char *path = paths[next++ % 8];

	snprintf(path, PATH_MAX, "%s/%s", scratch_dir(), name);
	return path;
}

void scratch_clear(void)
{
	if (*scratch_path) {
		es_mount_remove_below(scratch_path, true);
		es_tree_remove(AT_FDCWD, scratch_path);
	}
	*scratch_path = '\0';
}

bool private_mounts_possible(void)
{
	if (unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0)
		return true;
	printf("SKIPPED a part: no private mount namespace: %m\n");
	return false;
}
