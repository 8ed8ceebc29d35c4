/* SPDX-License-Identifier: Apache-2.0 */
/* A process that ends on another processor while it is resolved: its exit is known. */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "followed.h"
#include "monitor_watch.h"
#include "support.h"

static struct env env;
static struct es_monitor *monitor;

static void spin(long ns)
{
	uint64_t end = es_clock_ns(CLOCK_MONOTONIC) + (uint64_t)ns;

	while (es_clock_ns(CLOCK_MONOTONIC) < end)
		;
}

/*
 * Resolved delay ns after the process was told to end. Whether it is recorded in the end;
 * *was_alive: not yet when it was resolved.
 */
static bool is_recorded(uint64_t id, atomic_int *flag, long delay, bool *was_alive)
{
	char *argv[] = { ES_VICTIM, "flag", "7", "20", NULL };
	struct es_exitsnoop *snoop = es_monitor_exitsnoop(monitor);
	struct es_pidref ref = ES_PIDREF_UNSET;
	struct es_exit exit = { 0 };
	bool recorded;
	int status;

	atomic_store(flag, 0);
	ck_assert_int_eq(spawn_followed(snoop, id, argv, env.dir, &ref), 0);
	while (atomic_load(flag) != 1)
		;
	atomic_store(flag, 2);
	spin(delay);
	ck_assert_int_eq(es_exitsnoop_resolve(snoop, id, ref.pid), 0);
	*was_alive = es_exitsnoop_lookup(snoop, id, &exit) < 0;
	ck_assert_int_eq(es_exitsnoop_unfollow(snoop, id), 0);
	es_pidref_wait(&ref, UINT64_MAX);
	recorded = es_exitsnoop_lookup(snoop, id, &exit) == 0;
	ck_assert_int_eq(waitpid(ref.pid, &status, __WALL), ref.pid);
	ck_assert_int_eq(status, 7 << 8);
	ck_assert(!recorded || exit.status == status);
	es_monitor_forget(monitor, id);
	es_pidref_close(&ref);
	return recorded;
}

START_TEST(ends_in_the_resolve)
{
	int count = test_count(10000, 50000), missing = 0, fd;
	struct es_monitor_opts opts = { .size = sizeof(opts), .error = &env.error };
	long delay = 20000;
	atomic_int *flag;
	char path[PATH_MAX];

	env_init(&env);
	opts.root_dir = env.root;
	ck_assert_msg(es_monitor_open(&opts, &monitor) == 0, "%s", env.error.message);
	snprintf(path, sizeof(path), "%s/flag", env.dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_eq(ftruncate(fd, sizeof(*flag)), 0);
	flag = mmap(NULL, sizeof(*flag), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ck_assert_ptr_ne(flag, MAP_FAILED);
	for (int i = 0; i < count; i++) {
		/* Now and then we look for the delay with which it ends at the end of the resolve;
		   between, it ends a little earlier. */
		int earlier = i % 8;
		bool was_alive;

		missing += !is_recorded((uint64_t)i + 1, flag, delay + earlier * 400, &was_alive);
		if (earlier == 0)
			delay = was_alive ? delay + 200 : delay > 200 ? delay - 200 : 0;
	}
	printf("%d processes: %d missing\n", count, missing);
	ck_assert_int_eq(missing, 0);
	munmap(flag, sizeof(*flag));
	close(fd);
	es_monitor_close(monitor);
	env_clear(&env);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = { ends_in_the_resolve };

	require_runtime();
	return run_suite("resolve", tests, 1, 300);
}
