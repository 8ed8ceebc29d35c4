/* SPDX-License-Identifier: Apache-2.0 */
/* Files, atomic writes and trees. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs.h"
#include "mount.h"
#include "unit.h"

static int open_scratch(void)
{
	int fd = open(scratch_dir(), O_PATH | O_DIRECTORY | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	return fd;
}

START_TEST(write_and_read)
{
	int fd = open_scratch();
	struct stat st;
	size_t size;
	char *text;

	umask(077);
	ck_assert_int_eq(es_file_write(fd, "a", "hello", 5, 0644), 0);
	ck_assert_int_eq(fstatat(fd, "a", &st, 0), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0644);
	ck_assert_int_eq(es_file_read(fd, "a", 5, &text, &size), 0);
	ck_assert_uint_eq(size, 5);
	ck_assert_str_eq(text, "hello");
	free(text);
	ck_assert_int_eq(es_file_read(fd, "a", 4, &text, &size), -EFBIG);
	ck_assert_int_eq(es_file_read(fd, "b", 4, &text, &size), -ENOENT);
	ck_assert_int_eq(es_file_write(fd, "a", "", 0, 0600), 0);
	ck_assert_int_eq(es_file_read(fd, "a", 4, &text, &size), 0);
	ck_assert_uint_eq(size, 0);
	free(text);
	ck_assert_int_eq(mkfifo(scratch("fifo"), 0600), 0);
	ck_assert_int_eq(es_file_read(fd, "fifo", 4, &text, &size), -EINVAL);
	ck_assert_int_eq(es_file_read(fd, ".", 4, &text, &size), -EINVAL);
	close(fd);
	scratch_clear();
}
END_TEST

/* When there is no room the old content stays, and no temporary file does. */
START_TEST(full_disk)
{
	char filler[4096] = { 0 }, *text;
	int fd, file;

	if (private_mounts_possible()) {
		ck_assert_int_eq(mount("tmpfs", scratch_dir(), "tmpfs", 0, "size=32k"), 0);
		fd = open_scratch();
		ck_assert_int_eq(es_file_write(fd, "a", "old", 3, 0600), 0);
		file = openat(fd, "filler", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		while (write(file, filler, sizeof(filler)) > 0)
			;
		close(file);
		ck_assert_int_eq(es_file_write(fd, "a", filler, sizeof(filler), 0600), -ENOSPC);
		ck_assert_int_eq(es_file_read(fd, "a", 10, &text, NULL), 0);
		ck_assert_str_eq(text, "old");
		free(text);
		ck_assert_int_eq(unlinkat(fd, "filler", 0) | unlinkat(fd, "a", 0), 0);
		close(fd);
		ck_assert_int_eq(umount(scratch_dir()), 0);
	}
	scratch_clear();
}
END_TEST

START_TEST(directories)
{
	struct stat st;

	umask(077);
	ck_assert_int_eq(es_dir_make_all(scratch("x/y/z"), 0700), 0);
	ck_assert_int_eq(stat(scratch("x/y"), &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0711);
	ck_assert_int_eq(stat(scratch("x/y/z"), &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0700);
	ck_assert_int_eq(es_dir_make_all(scratch("x/y/z"), 0711), 0);
	ck_assert_int_eq(close(creat(scratch("x/file"), 0600)), 0);
	ck_assert_int_eq(es_dir_make_all(scratch("x/file/z"), 0700), -ENOTDIR);
	ck_assert_int_eq(es_dir_make(scratch("x"), 0700), -EEXIST);
	scratch_clear();
}
END_TEST

/* A container may leave a tree of any depth: neither the stack nor the descriptors may end first.
 */
START_TEST(deep_tree)
{
	int fd = open_scratch(), cwd = open(".", O_PATH | O_CLOEXEC);

	ck_assert_int_eq(chdir(scratch_dir()), 0);
	for (int i = 0; i < 20000; i++) {
		ck_assert_int_eq(mkdir("deep", 0700), 0);
		ck_assert_int_eq(chdir("deep"), 0);
		if (i % 1000 == 0)
			ck_assert_int_eq(close(creat("file", 0600)), 0);
	}
	ck_assert_int_eq(fchdir(cwd), 0);
	ck_assert_int_eq(es_tree_remove(fd, "deep"), 0);
	ck_assert_int_lt(access(scratch("deep"), F_OK), 0);
	close(cwd);
	close(fd);
	scratch_clear();
}
END_TEST

START_TEST(tree_with_links_and_mounts)
{
	int fd = open_scratch();

	ck_assert_int_eq(mkdir(scratch("outside"), 0700), 0);
	ck_assert_int_eq(close(creat(scratch("outside/kept"), 0600)), 0);
	ck_assert_int_eq(es_dir_make_all(scratch("tree/a/b"), 0700), 0);
	ck_assert_int_eq(symlink(scratch("outside"), scratch("tree/a/link")), 0);
	ck_assert_int_eq(symlink("/", scratch("tree/root")), 0);
	if (private_mounts_possible()) {
		ck_assert_int_eq(mkdir(scratch("tree/mnt"), 0700), 0);
		ck_assert_int_eq(
			mount(scratch("outside"), scratch("tree/mnt"), NULL, MS_BIND, NULL), 0);
		/* A bind mount of the same file system is another one all the same. */
		ck_assert_int_eq(es_tree_remove(fd, "tree"), -EBUSY);
		ck_assert_int_eq(access(scratch("outside/kept"), F_OK), 0);
		ck_assert_int_eq(es_mount_remove_below(scratch("tree"), true), 1);
	}
	ck_assert_int_eq(es_tree_remove(fd, "tree"), 0);
	ck_assert_int_eq(access(scratch("outside/kept"), F_OK), 0);
	ck_assert_int_eq(es_tree_remove(fd, "tree"), 0);
	close(fd);
	scratch_clear();
}
END_TEST

START_TEST(mounts_below)
{
	if (private_mounts_possible()) {
		ck_assert_int_eq(es_dir_make_all(scratch("m/with space"), 0700), 0);
		ck_assert_int_eq(mkdir(scratch("m2"), 0700), 0);
		ck_assert_int_eq(mount("t", scratch("m"), "tmpfs", 0, NULL), 0);
		ck_assert_int_eq(mkdir(scratch("m/with space"), 0700), 0);
		ck_assert_int_eq(mount("t", scratch("m/with space"), "tmpfs", 0, NULL), 0);
		ck_assert_int_eq(mount("t", scratch("m/with space"), "tmpfs", 0, NULL), 0);
		ck_assert_int_eq(mount("t", scratch("m2"), "tmpfs", 0, NULL), 0);
		/* m2 begins with the same letters and is not below m. */
		ck_assert_int_eq(es_mount_remove_below(scratch("m"), true), 2);
		ck_assert_int_eq(es_mount_remove_below(scratch("m"), false), 1);
		ck_assert_int_eq(es_mount_remove_below(scratch("m"), false), 0);
		ck_assert_int_eq(es_mount_remove_below(scratch("nothing"), false), 0);
		ck_assert_int_eq(umount(scratch("m2")), 0);
		/* A busy one is detached. */
		ck_assert_int_eq(mount("t", scratch("m"), "tmpfs", 0, NULL), 0);
		{
			int busy = open(scratch("m"), O_RDONLY | O_CLOEXEC);

			ck_assert_int_eq(es_mount_remove_below(scratch("m"), false), 1);
			close(busy);
		}
	}
	scratch_clear();
}
END_TEST

UNIT_SUITE("fs", write_and_read, full_disk, directories, deep_tree, tree_with_links_and_mounts,
	   mounts_below)
