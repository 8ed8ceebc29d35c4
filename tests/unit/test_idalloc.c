/* SPDX-License-Identifier: Apache-2.0 */
/* Trace IDs: never the same one twice. */
#include <embedshim/idalloc.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit.h"

static struct es_error error;

static int open_alloc(const char *path, uint64_t floor, struct es_idalloc **ret)
{
	struct es_idalloc_opts opts = { .size = sizeof(opts),
					.path = path,
					.floor = floor,
					.block = 16,
					.busy_timeout_ms = 200,
					.error = &error };

	return es_idalloc_open(&opts, ret);
}

START_TEST(grows_over_reopening)
{
	struct es_idalloc *a;
	uint64_t id, last = 0;

	for (int round = 0; round < 5; round++) {
		ck_assert_int_eq(open_alloc(scratch("db"), 0, &a), 0);
		for (int i = 0; i < 40; i++) {
			ck_assert_int_eq(es_idalloc_next(a, &id), 0);
			ck_assert_uint_gt(id, last);
			last = id;
		}
		es_idalloc_free(a);
	}
	ck_assert_int_eq(open_alloc(scratch("db"), 100000, &a), 0);
	ck_assert_int_eq(es_idalloc_next(a, &id), 0);
	ck_assert_uint_eq(id, 100001);
	es_idalloc_free(a);
	scratch_clear();
}
END_TEST

START_TEST(ends_before_overflow)
{
	struct es_idalloc *a;
	uint64_t id;

	ck_assert_int_eq(open_alloc(scratch("db"), UINT64_MAX, &a), -EOVERFLOW);
	ck_assert_int_eq(open_alloc(scratch("db"), INT64_MAX - 20, &a), 0);
	for (int i = 0; i < 16; i++)
		ck_assert_int_eq(es_idalloc_next(a, &id), 0);
	ck_assert_int_eq(es_idalloc_next(a, &id), -EOVERFLOW);
	es_idalloc_free(a);
	scratch_clear();
}
END_TEST

#define THREADS	  4
#define PROCESSES 4
#define EACH	  500

struct shared {
	uint64_t ids[PROCESSES][THREADS][EACH];
};

struct taker {
	struct es_idalloc *alloc;
	uint64_t *ids;
};

static void *take(void *arg)
{
	struct taker *t = arg;

	for (int i = 0; i < EACH; i++)
		while (es_idalloc_next(t->alloc, &t->ids[i]) == -EBUSY)
			;
	return NULL;
}

static int compare_ids(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void take_in_process(const char *path, struct shared *shared, int p)
{
	struct taker takers[THREADS];
	pthread_t threads[THREADS];
	struct es_idalloc *a;
	int r;

	while ((r = open_alloc(path, 0, &a)) == -EBUSY)
		;
	if (r < 0)
		_exit(1);
	for (int t = 0; t < THREADS; t++) {
		takers[t] = (struct taker){ a, shared->ids[p][t] };
		pthread_create(&threads[t], NULL, take, &takers[t]);
	}
	for (int t = 0; t < THREADS; t++)
		pthread_join(threads[t], NULL);
	es_idalloc_free(a);
	_exit(0);
}

START_TEST(unique_over_processes_and_threads)
{
	struct shared *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint64_t *all = &shared->ids[0][0][0];
	const char *path = scratch("db");
	int status;

	for (int p = 0; p < PROCESSES; p++)
		if (fork() == 0)
			take_in_process(path, shared, p);
	for (int p = 0; p < PROCESSES; p++) {
		ck_assert_int_gt(wait(&status), 0);
		ck_assert_int_eq(status, 0);
	}
	qsort(all, PROCESSES * THREADS * EACH, sizeof(*all), compare_ids);
	ck_assert_uint_gt(all[0], 0);
	for (int i = 1; i < PROCESSES * THREADS * EACH; i++)
		ck_assert_uint_ne(all[i], all[i - 1]);
	munmap(shared, sizeof(*shared));
	scratch_clear();
}
END_TEST

/* Killed at any moment: the database opens again, and no ID comes back. */
START_TEST(survives_kill)
{
	uint64_t *last = mmap(NULL, sizeof(*last), PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	const char *path = scratch("db");

	srand(1);
	for (int i = 0; i < 100; i++) {
		uint64_t before = *last;
		pid_t pid = fork();

		if (pid == 0) {
			struct es_idalloc *a;
			uint64_t id;

			if (open_alloc(path, 0, &a) < 0)
				_exit(1);
			while (es_idalloc_next(a, &id) == 0) {
				if (id <= before)
					_exit(2);
				*(volatile uint64_t *)last = id;
			}
			_exit(3);
		}
		usleep((useconds_t)(rand() % 15000));
		kill(pid, SIGKILL);
		int status;
		waitpid(pid, &status, 0);
		ck_assert_int_eq(status, SIGKILL);
	}
	munmap(last, sizeof(*last));
	scratch_clear();
}
END_TEST

START_TEST(locked)
{
	struct es_idalloc *a;
	uint64_t id;
	sqlite3 *db;

	ck_assert_int_eq(open_alloc(scratch("db"), 0, &a), 0);
	ck_assert_int_eq(sqlite3_open(scratch("db"), &db), SQLITE_OK);
	ck_assert_int_eq(sqlite3_exec(db, "BEGIN EXCLUSIVE", NULL, NULL, NULL), SQLITE_OK);
	ck_assert_int_eq(es_idalloc_next(a, &id), -EBUSY);
	sqlite3_close(db);
	ck_assert_int_eq(es_idalloc_next(a, &id), 0);
	es_idalloc_free(a);
	scratch_clear();
}
END_TEST

START_TEST(not_a_database_of_ours)
{
	struct es_idalloc *a;
	sqlite3 *db;

	write_script(scratch("garbage"), "garbage that is not a database at all, only some text "
					 "that goes on and on until it is longer than a header is");
	ck_assert_int_eq(open_alloc(scratch("garbage"), 0, &a), -EBADMSG);
	ck_assert_ptr_nonnull(strstr(error.message, "garbage"));
	ck_assert_int_eq(sqlite3_open(scratch("foreign"), &db), SQLITE_OK);
	sqlite3_exec(db, "CREATE TABLE t (x)", NULL, NULL, NULL);
	sqlite3_close(db);
	ck_assert_int_eq(open_alloc(scratch("foreign"), 0, &a), -EBADMSG);
	ck_assert_int_eq(open_alloc(scratch("db"), 0, &a), 0);
	es_idalloc_free(a);
	ck_assert_int_eq(truncate(scratch("db"), 5000), 0);
	ck_assert_int_eq(open_alloc(scratch("db"), 0, &a), 0);
	{
		uint64_t id;

		ck_assert_int_eq(es_idalloc_next(a, &id), -EBADMSG);
	}
	es_idalloc_free(a);
	ck_assert_int_eq(open_alloc("/no/such/dir/db", 0, &a), -ENOENT);
	ck_assert_int_eq(open_alloc(scratch_dir(), 0, &a), -EBADMSG);
	ck_assert_int_eq(open_alloc(NULL, 0, &a), -EINVAL);
	scratch_clear();
}
END_TEST

START_TEST(no_room_and_no_permission)
{
	struct es_idalloc *a;
	char filler[4096] = { 0 };
	uint64_t id;
	int fd;

	if (private_mounts_possible()) {
		ck_assert_int_eq(mount("t", scratch_dir(), "tmpfs", 0, "size=64k"), 0);
		ck_assert_int_eq(open_alloc(scratch("db"), 0, &a), 0);
		fd = open(scratch("filler"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		while (write(fd, filler, sizeof(filler)) > 0)
			;
		close(fd);
		/* No room for the journal. What is in hand is still given out. */
		ck_assert_int_eq(es_idalloc_next(a, &id), -ENOSPC);
		ck_assert_int_eq(unlink(scratch("filler")), 0);
		ck_assert_int_eq(es_idalloc_next(a, &id), 0);
		es_idalloc_free(a);
		ck_assert_int_eq(mount(NULL, scratch_dir(), NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
		ck_assert_int_eq(open_alloc(scratch("db"), 0, &a), 0);
		ck_assert_int_eq(es_idalloc_next(a, &id), -EROFS);
		es_idalloc_free(a);
		ck_assert_int_eq(open_alloc(scratch("new"), 0, &a), -EROFS);
		ck_assert_int_eq(umount(scratch_dir()), 0);
	}
	scratch_clear();
}
END_TEST

START_TEST(used_after_fork)
{
	struct es_idalloc *a;
	uint64_t id;
	int status;

	ck_assert_int_eq(open_alloc(scratch("db"), 0, &a), 0);
	if (fork() == 0) {
		int r = es_idalloc_next(a, &id);

		es_idalloc_free(a);
		_exit(r == -ECHILD ? 0 : 1);
	}
	ck_assert_int_gt(wait(&status), 0);
	ck_assert_int_eq(status, 0);
	ck_assert_int_eq(es_idalloc_next(a, &id), 0);
	es_idalloc_free(a);
	scratch_clear();
}
END_TEST

UNIT_SUITE("idalloc", grows_over_reopening, ends_before_overflow, unique_over_processes_and_threads,
	   survives_kill, locked, not_a_database_of_ours, no_room_and_no_permission,
	   used_after_fork)
