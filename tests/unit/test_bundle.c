/* SPDX-License-Identifier: Apache-2.0 */
/* Bundles and their store. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bundle_store.h"
#include "unit.h"

static struct es_error error;

static struct es_bundle_store *open_store(void)
{
	struct es_bundle_store *store = NULL;

	ck_assert_int_eq(es_bundle_store_open(scratch("root"), scratch("state"), &error, &store),
			 0);
	return store;
}

static mode_t mode_of(const char *path)
{
	struct stat st;

	ck_assert_msg(lstat(path, &st) == 0, "%s", path);
	return st.st_mode & 07777;
}

START_TEST(make_and_remove)
{
	struct es_bundle_opts opts = { .size = sizeof(opts), .spec = "{}", .error = &error };
	struct es_bundle_store *store;
	struct es_bundle *b, *again;
	struct stat st;

	umask(077);
	store = open_store();
	ck_assert_int_eq(es_bundle_create(store, "ns", "a", &opts, &b), 0);
	ck_assert_str_eq(es_bundle_dir(b), scratch("state/ns/a"));
	ck_assert_uint_eq(mode_of(scratch("state")), 0711);
	ck_assert_uint_eq(mode_of(scratch("state/ns")), 0711);
	ck_assert_uint_eq(mode_of(es_bundle_dir(b)), 0700);
	ck_assert_uint_eq(mode_of(es_bundle_rootfs(b)), 0711);
	ck_assert_uint_eq(mode_of(es_bundle_work_dir(b)), 0711);
	ck_assert_uint_eq(mode_of(scratch("state/ns/a/config.json")), 0644);
	ck_assert_int_eq(es_bundle_is_valid(b), 1);
	ck_assert_int_eq(es_bundle_create(store, "ns", "a", &opts, &again), -EEXIST);
	ck_assert_int_eq(es_bundle_open(store, "ns", "a", &again), 0);
	ck_assert_int_eq(es_bundle_is_valid(again), 1);
	es_bundle_free(again);
	ck_assert_int_eq(es_bundle_open(store, "ns", "b", &again), -ENOENT);
	ck_assert_int_eq(es_bundle_remove(b, &error), 0);
	ck_assert_int_eq(es_bundle_remove(b, &error), 0);
	ck_assert_int_lt(lstat(scratch("state/ns"), &st), 0);
	ck_assert_int_lt(lstat(scratch("root/ns"), &st), 0);
	es_bundle_store_free(store);
	es_bundle_free(b);
	scratch_clear();
}
END_TEST

START_TEST(remapped_group)
{
	struct es_bundle_opts opts = { .size = sizeof(opts), .group = 1234, .error = &error };
	struct es_bundle_store *store = open_store();
	struct es_bundle *b;
	struct stat st;

	if (geteuid() == 0) {
		ck_assert_int_eq(es_bundle_create(store, "ns", "a", &opts, &b), 0);
		ck_assert_int_eq(stat(es_bundle_dir(b), &st), 0);
		ck_assert_uint_eq(st.st_gid, 1234);
		ck_assert_uint_eq(st.st_mode & 07777, 0710);
		es_bundle_free(b);
	}
	es_bundle_store_free(store);
	scratch_clear();
}
END_TEST

START_TEST(halves_are_not_valid)
{
	struct es_bundle_store *store = open_store();
	struct es_bundle_name *names;
	char target[PATH_MAX];
	struct es_bundle *b;

	ck_assert_int_eq(es_bundle_begin(store, "ns", "a", NULL, &b), 0);
	ck_assert_int_eq(es_bundle_is_valid(b), 0);
	ck_assert_int_eq(es_bundle_commit(b, &error), 0);
	ck_assert_int_eq(es_bundle_commit(b, &error), 0);
	ck_assert_int_eq(es_bundle_is_valid(b), 1);
	/* Also when somebody has removed the root: the link counts, not where it leads. */
	ck_assert_int_eq(rmdir(scratch("root/ns/a")), 0);
	ck_assert_int_eq(es_bundle_is_valid(b), 1);
	ck_assert_int_eq(es_bundle_remake_work(b), 0);
	ck_assert_uint_eq(mode_of(scratch("root/ns/a")), 0711);
	ck_assert_int_eq(es_bundle_uncommit(b, &error), 0);
	ck_assert_int_eq(es_bundle_is_valid(b), 0);
	/* That of another bundle is not the mark, nor is a directory in its place. */
	ck_assert_int_eq(symlink(scratch("root/ns/b"), scratch("state/ns/a/work")), 0);
	ck_assert_int_eq(es_bundle_is_valid(b), -EBADMSG);
	ck_assert_int_eq(es_bundle_uncommit(b, &error), 0);
	ck_assert_int_eq(mkdir(scratch("state/ns/a/work"), 0700), 0);
	ck_assert_int_eq(es_bundle_is_valid(b), -EBADMSG);
	ck_assert_int_eq(es_bundle_uncommit(b, &error), 0);
	ck_assert_int_eq(rmdir(scratch("state/ns/a/work")), 0);
	/* That of the same one in a root of another name is, and is turned. */
	ck_assert_int_eq(symlink("/elsewhere/ns/a", scratch("state/ns/a/work")), 0);
	ck_assert_int_eq(es_bundle_is_valid(b), 1);
	ck_assert_int_eq(es_bundle_remake_work(b), 0);
	ck_assert_int_eq(readlink(scratch("state/ns/a/work"), target, sizeof(target)),
			 (ssize_t)strlen(scratch("root/ns/a")));
	/* Listed all the same, foreign names and files are not. */
	ck_assert_int_eq(close(creat(scratch("state/ns/file"), 0600)), 0);
	ck_assert_int_eq(mkdir(scratch("state/.hidden"), 0700), 0);
	ck_assert_int_eq(mkdir(scratch("state/ns/--"), 0700), 0);
	ck_assert_int_eq(symlink("/", scratch("state/link")), 0);
	ck_assert_int_eq(es_bundle_store_list(store, &names), 1);
	ck_assert_str_eq(names[0].namespace_, "ns");
	ck_assert_str_eq(names[0].id, "a");
	free(names);
	es_bundle_free(b);
	es_bundle_store_free(store);
	scratch_clear();
}
END_TEST

START_TEST(prune)
{
	struct es_bundle_store *store = open_store();
	struct es_bundle *b;

	ck_assert_int_eq(es_bundle_create(store, "ns", "kept", NULL, &b), 0);
	ck_assert_int_eq(mkdir(scratch("root/ns/gone"), 0700), 0);
	ck_assert_int_eq(mkdir(scratch("root/other"), 0700), 0);
	ck_assert_int_eq(mkdir(scratch("root/other/gone"), 0700), 0);
	ck_assert_int_eq(mkdir(scratch("root/bpf"), 0700), 0);
	ck_assert_int_eq(mkdir(scratch("root/bpf/v1"), 0700), 0);
	ck_assert_int_eq(es_bundle_store_prune(store), 0);
	ck_assert_int_eq(access(scratch("root/ns/kept"), F_OK), 0);
	ck_assert_int_lt(access(scratch("root/ns/gone"), F_OK), 0);
	ck_assert_int_lt(access(scratch("root/other"), F_OK), 0);
	ck_assert_int_eq(access(scratch("root/bpf/v1"), F_OK), 0);
	es_bundle_free(b);
	es_bundle_store_free(store);
	scratch_clear();
}
END_TEST

START_TEST(mounts_go_first)
{
	struct es_bundle_store *store = open_store();
	struct es_bundle *b;

	if (private_mounts_possible()) {
		ck_assert_int_eq(mkdir(scratch("precious"), 0700), 0);
		ck_assert_int_eq(close(creat(scratch("precious/file"), 0600)), 0);
		ck_assert_int_eq(es_bundle_create(store, "ns", "a", NULL, &b), 0);
		ck_assert_int_eq(
			mount(scratch("precious"), es_bundle_rootfs(b), NULL, MS_BIND, NULL), 0);
		ck_assert_int_eq(es_bundle_unmount(b, &error), 1);
		ck_assert_int_eq(
			mount(scratch("precious"), es_bundle_rootfs(b), NULL, MS_BIND, NULL), 0);
		ck_assert_int_eq(es_bundle_remove(b, &error), 0);
		ck_assert_int_eq(access(scratch("precious/file"), F_OK), 0);
		es_bundle_free(b);
	}
	es_bundle_store_free(store);
	scratch_clear();
}
END_TEST

START_TEST(fails_without_a_trace)
{
	struct es_bundle_opts opts = { .size = sizeof(opts), .spec = "{}", .error = &error };
	struct es_bundle_store *store;
	struct es_bundle *b = NULL;
	char long_path[PATH_MAX];

	ck_assert_int_eq(es_bundle_store_open("relative", scratch("s"), &error, &store), -EINVAL);
	ck_assert_int_eq(es_bundle_store_open(scratch("s"), scratch("s"), &error, &store), -EINVAL);
	memset(long_path, 'x', sizeof(long_path));
	long_path[0] = '/';
	long_path[sizeof(long_path) - 100] = '\0';
	ck_assert_int_eq(es_bundle_store_open(long_path, scratch("s"), &error, &store),
			 -ENAMETOOLONG);
	store = open_store();
	ck_assert_int_eq(es_bundle_create(store, "..", "a", &opts, &b), -EINVAL);
	ck_assert_int_eq(es_bundle_create(store, "ns", "a/b", &opts, &b), -EINVAL);
	ck_assert_int_eq(es_bundle_create(store, "ns", NULL, &opts, &b), -EINVAL);
	/* The work directory cannot be made. */
	ck_assert_int_eq(close(creat(scratch("root/ns"), 0600)), 0);
	ck_assert_int_lt(es_bundle_create(store, "ns", "a", &opts, &b), 0);
	ck_assert_ptr_nonnull(strstr(error.message, "root/ns"));
	ck_assert_int_lt(access(scratch("state/ns"), F_OK), 0);
	if (private_mounts_possible()) {
		ck_assert_int_eq(mount("t", scratch("state"), "tmpfs", 0, "nr_inodes=4"), 0);
		ck_assert_int_eq(es_bundle_create(store, "ns2", "a", &opts, &b), -ENOSPC);
		ck_assert_int_lt(access(scratch("state/ns2"), F_OK), 0);
		ck_assert_int_eq(umount(scratch("state")), 0);
	}
	ck_assert_ptr_null(b);
	es_bundle_store_free(store);
	scratch_clear();
}
END_TEST

UNIT_SUITE("bundle", make_and_remove, remapped_group, halves_are_not_valid, prune, mounts_go_first,
	   fails_without_a_trace)
