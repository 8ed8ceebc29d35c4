/* SPDX-License-Identifier: Apache-2.0 */
/* The mount table: what is mounted below a directory, and whose mount namespace this is. */
#include "mount.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

/* The initial mount namespace has a fixed inode since Linux 6.18 (MNT_NS_INIT_INO). */
#define INITIAL_MOUNT_NS_INODE 0xEFFFFFF8UL

struct mount_list {
	char **points; /* in the order of the table: later ones may cover earlier ones */
	size_t n;
};

static void mount_list_clear(struct mount_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->points[i]);
	free(list->points);
}

/* mountinfo writes space, tab, newline and backslash as \ooo. In place. */
static void decode_octal(char *s)
{
	char *out = s;

	while (*s) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' &&
		    s[3] >= '0' && s[3] <= '7') {
			*out++ = (char)((s[1] - '0') * 64 + (s[2] - '0') * 8 + (s[3] - '0'));
			s += 4;
		} else {
			*out++ = *s++;
		}
	}
	*out = '\0';
}

/* Field 5 of a line of mountinfo, decoded; NULL for a line of another shape. */
static char *mount_point_of(char *line)
{
	char *save = NULL, *field = strtok_r(line, " ", &save);

	for (int i = 0; field && i < 4; i++)
		field = strtok_r(NULL, " ", &save);
	if (field)
		decode_octal(field);
	return field;
}

static bool is_at_or_below(const char *path, const char *dir, bool below_only)
{
	size_t n = strlen(dir);

	if (strncmp(path, dir, n) != 0)
		return false;
	return path[n] == '/' || (path[n] == '\0' && !below_only);
}

static int append(struct mount_list *list, const char *point)
{
	char **points = realloc(list->points, (list->n + 1) * sizeof(*points));

	if (!points)
		return -ENOMEM;
	list->points = points;
	points[list->n] = strdup(point);
	if (!points[list->n])
		return -ENOMEM;
	list->n++;
	return 0;
}

static int read_mounts(struct mount_list *list, const char *dir, bool below_only)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	cleanup_free char *line = NULL;
	size_t size = 0;
	int r = 0;

	if (!f)
		return es_neg_errno();
	while (r == 0 && getline(&line, &size, f) > 0) {
		const char *point = mount_point_of(line);

		if (point && is_at_or_below(point, dir, below_only))
			r = append(list, point);
	}
	if (r == 0 && ferror(f))
		r = -EIO;
	fclose(f);
	return r;
}

static int unmount(const char *point)
{
	if (umount2(point, UMOUNT_NOFOLLOW) == 0)
		return 1;
	if (errno == EBUSY && umount2(point, UMOUNT_NOFOLLOW | MNT_DETACH) == 0)
		return 1;
	/* Gone meanwhile, or below one that was detached. */
	return errno == EINVAL || errno == ENOENT ? 0 : es_neg_errno();
}

int es_mount_remove_below(const char *dir, bool below_only)
{
	CLEANUP(mount_list_clear) struct mount_list list = { 0 };
	cleanup_free char *resolved = realpath(dir, NULL);
	int removed = 0, first_error = 0, r;

	if (!resolved)
		return errno == ENOENT ? 0 : es_neg_errno();
	r = read_mounts(&list, resolved, below_only);
	if (r < 0)
		return r;
	/* Backwards: a mount stands behind what it is mounted on. */
	for (size_t i = list.n; i > 0; i--) {
		r = unmount(list.points[i - 1]);
		if (r > 0)
			removed++;
		else if (r < 0 && first_error == 0)
			first_error = r;
	}
	return first_error ? first_error : removed;
}

/* Whose mount namespace */

static bool ns_inode(const char *path, ino_t *ret)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return false;
	*ret = st.st_ino;
	return true;
}

/* "master:" on the root mount: a copy that receives the host's mounts, as PrivateMounts= makes it.
 */
static bool root_is_slave(void)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	cleanup_free char *line = NULL;
	bool slave = false;
	size_t size = 0;

	while (f && getline(&line, &size, f) > 0) {
		char *options = strstr(line, " - ");

		if (options)
			*options = '\0';
		if (strstr(line, " / / ") && strstr(line, " master:"))
			slave = true;
	}
	if (f)
		fclose(f);
	return slave;
}

enum es_mount_ns es_mount_ns_kind(void)
{
	ino_t own, first;

	if (!ns_inode("/proc/self/ns/mnt", &own))
		return ES_MOUNT_NS_UNKNOWN;
	/* PID 1 of our PID namespace: the host's, or that of a node container. Readable only with
	   all of its capabilities. */
	if (ns_inode("/proc/1/ns/mnt", &first))
		return own == first ? ES_MOUNT_NS_HOST : ES_MOUNT_NS_PRIVATE;
	if (own == INITIAL_MOUNT_NS_INODE)
		return ES_MOUNT_NS_HOST;
	return root_is_slave() ? ES_MOUNT_NS_PRIVATE : ES_MOUNT_NS_UNKNOWN;
}
