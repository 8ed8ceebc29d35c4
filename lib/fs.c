/* SPDX-License-Identifier: Apache-2.0 */
/* Files and directories: small reads, atomic writes, trees, private directories. */
#include "fs.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

int es_path_join(char **ret, const char *dir, const char *name)
{
	return asprintf(ret, "%s/%s", dir, name) < 0 ? -ENOMEM : 0;
}

/* Read and write */

static int read_all(int fd, size_t max, char **ret, size_t *ret_size)
{
	size_t size = 0, room = 4096;
	cleanup_free char *data = NULL;

	for (;;) {
		char *bigger = realloc(data, room + 1);
		ssize_t n;

		if (!bigger)
			return -ENOMEM;
		data = bigger;
		n = read(fd, data + size, room - size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return es_neg_errno();
		if (n == 0)
			break;
		size += (size_t)n;
		if (size > max)
			return -EFBIG;
		if (size == room)
			room *= 2;
	}
	data[size] = '\0';
	if (ret_size)
		*ret_size = size;
	*ret = TAKE_PTR(data);
	return 0;
}

int es_file_read(int dir_fd, const char *name, size_t max, char **ret, size_t *ret_size)
{
	cleanup_fd int fd = -EBADF;
	struct stat st;

	/* O_NONBLOCK: a FIFO in its place must not make us wait for a writer. */
	fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return es_neg_errno();
	if (fstat(fd, &st) < 0)
		return es_neg_errno();
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if (st.st_size > 0 && (uint64_t)st.st_size > max)
		return -EFBIG;
	return read_all(fd, max, ret, ret_size);
}

static int write_all(int fd, const char *data, size_t size)
{
	while (size > 0) {
		ssize_t n = write(fd, data, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return es_neg_errno();
		data += n;
		size -= (size_t)n;
	}
	return 0;
}

int es_file_write(int dir_fd, const char *name, const void *data, size_t size, mode_t mode)
{
	cleanup_fd int fd = -EBADF;
	char temporary[32];
	uint64_t random;
	int r;

	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		return es_neg_errno();
	snprintf(temporary, sizeof(temporary), ".tmp-%016llx", (unsigned long long)random);
	fd = openat(dir_fd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
	if (fd < 0)
		return es_neg_errno();
	r = fchmod(fd, mode) < 0 ? es_neg_errno() : write_all(fd, data, size);
	if (r == 0 && renameat(dir_fd, temporary, dir_fd, name) < 0)
		r = es_neg_errno();
	if (r < 0)
		unlinkat(dir_fd, temporary, 0);
	return r;
}

/* Directories */

int es_dir_make(const char *path, mode_t mode)
{
	if (mkdir(path, mode) < 0)
		return es_neg_errno();
	/* The umask is process-wide: not ours to change. */
	return chmod(path, mode) < 0 ? es_neg_errno() : 0;
}

static int check_is_dir(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return es_neg_errno();
	return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

int es_dir_make_all(const char *path, mode_t mode)
{
	cleanup_free char *copy = strdup(path);
	int r;

	if (!copy)
		return -ENOMEM;
	for (char *p = strchr(copy + 1, '/'); p; p = strchr(p + 1, '/')) {
		*p = '\0';
		r = es_dir_make(copy, 0711);
		if (r == -EEXIST)
			r = check_is_dir(copy);
		*p = '/';
		if (r < 0)
			return r;
	}
	r = es_dir_make(path, mode);
	return r == -EEXIST ? check_is_dir(path) : r;
}

static bool is_dot_or_dot_dot(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* Trees */

/* Whether dir_fd/name is a mount point. STATX_ATTR_MOUNT_ROOT also tells bind mounts (5.8). */
static int is_mount_root(int dir_fd, const char *name)
{
	struct statx stx;

	if (statx(dir_fd, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_TYPE, &stx) < 0)
		return es_neg_errno();
	return (stx.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

/*
 * Lift dir/name/entry to dir/<unique>: a tree of any depth is taken apart with two descriptors and
 * no recursion.
 */
static int lift(int dir_fd, int sub_fd, const char *entry)
{
	char unique[32];
	uint64_t random;

	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		return es_neg_errno();
	snprintf(unique, sizeof(unique), ".del-%016llx", (unsigned long long)random);
	return renameat(sub_fd, entry, dir_fd, unique) < 0 ? es_neg_errno() : 0;
}

/* dir_fd < 0: a directory that is not empty stays where it is. */
static int remove_entry(int dir_fd, int sub_fd, const char *entry)
{
	int r;

	r = is_mount_root(sub_fd, entry);
	if (r != 0)
		return r == 1 ? -EBUSY : r == -ENOENT ? 0 : r;
	if (unlinkat(sub_fd, entry, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return es_neg_errno();
	/* A directory: gone at once if it is empty, otherwise for the caller's next round. */
	if (unlinkat(sub_fd, entry, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	if (errno != ENOTEMPTY && errno != EEXIST)
		return es_neg_errno();
	return dir_fd < 0 ? 0 : lift(dir_fd, sub_fd, entry);
}

/* Empty the directory sub_fd, which is closed; what is deep goes to lift_fd, or stays if that is <
 * 0. */
static int empty_dir(int lift_fd, int sub_fd)
{
	struct dirent *entry;
	DIR *dir = fdopendir(sub_fd);
	int r = 0;

	if (!dir) {
		r = es_neg_errno();
		es_close(sub_fd);
		return r;
	}
	while ((entry = readdir(dir))) {
		int e;

		if (is_dot_or_dot_dot(entry->d_name))
			continue;
		e = remove_entry(lift_fd, dirfd(dir), entry->d_name);
		if (r == 0)
			r = e;
	}
	closedir(dir);
	return r;
}

static int open_dir_at(int dir_fd, const char *name)
{
	int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	return fd < 0 ? es_neg_errno() : fd;
}

/* Any entry of the directory. */
static int find_entry(int dir_fd, char *ret, size_t size)
{
	int fd = open_dir_at(dir_fd, "."), r = -ENOENT;
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *entry;

	if (!dir) {
		r = fd < 0 ? fd : es_neg_errno();
		es_close(fd);
		return r;
	}
	while (r < 0 && (entry = readdir(dir))) {
		if (is_dot_or_dot_dot(entry->d_name))
			continue;
		snprintf(ret, size, "%s", entry->d_name);
		r = 0;
	}
	closedir(dir);
	return r;
}

static int remove_dir(int dir_fd, const char *name)
{
	return unlinkat(dir_fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? es_neg_errno() : 0;
}

/* Remove what is in the directory top_fd/name, lifting what is deep to its first level. */
static int remove_contents(int top_fd, const char *name)
{
	cleanup_fd int fd = -EBADF;
	char entry[NAME_MAX + 1];
	int sub_fd, r;

	fd = open_dir_at(top_fd, name);
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	sub_fd = open_dir_at(fd, ".");
	r = sub_fd < 0 ? sub_fd : empty_dir(-EBADF, sub_fd);
	while (r == 0 && (r = find_entry(fd, entry, sizeof(entry))) == 0) {
		sub_fd = open_dir_at(fd, entry);
		r = sub_fd < 0 ? sub_fd : empty_dir(fd, sub_fd);
		if (r == 0)
			r = remove_dir(fd, entry);
	}
	return r == -ENOENT ? 0 : r;
}

int es_tree_remove(int dir_fd, const char *name)
{
	struct stat st;
	int r;

	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : es_neg_errno();
	r = is_mount_root(dir_fd, name);
	if (r != 0)
		return r == 1 ? -EBUSY : r;
	if (!S_ISDIR(st.st_mode))
		return unlinkat(dir_fd, name, 0) < 0 && errno != ENOENT ? es_neg_errno() : 0;
	r = remove_contents(dir_fd, name);
	return r < 0 ? r : remove_dir(dir_fd, name);
}
