/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recorded exits against what waitpid(2) says: thousands of random processes, reused numbers, and
 * the same inside PID namespaces. Needs no runtime and no file system but a scratch directory, so
 * that it also runs as the only program of a virtual machine.
 *
 *	test_exits [COUNT]
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "exitsnoop.h"
#include "exitsnoop_maps.h"
#include "fs.h"
#include "monitor_watch.h"
#include "mount.h"
#include "followed.h"

static char dir[64], root[96];
static const char *victim = ES_VICTIM;
static struct es_monitor *monitor;
static uint64_t next_id = 1;
static int failures;

#define CHECK(condition, ...)                                                                      \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			failures++;                                                                \
			printf("FAILED %s:%d: ", __func__, __LINE__);                              \
			printf(__VA_ARGS__);                                                       \
			printf("\n");                                                              \
		}                                                                                  \
	} while (0)

static const char *const kinds[] = {
	"exit",	       "signal",       "core",
	"core-thread", "group-thread", "leader-first",
	"all-threads", "exec-thread",  "exec-dead-leader",
	"exec-signal", "race-group",   "race-threads",
	"race-core",   "sleep",
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static const int signals[] = { SIGTERM, SIGKILL, SIGINT, SIGHUP, SIGUSR1, SIGPIPE, SIGALRM };

struct victim_args {
	const char *kind;
	char number[16], microseconds[16];
};

static void choose(struct victim_args *args)
{
	args->kind = kinds[(size_t)rand() % KINDS];
	if (strstr(args->kind, "signal"))
		snprintf(args->number, sizeof(args->number), "%d",
			 signals[(size_t)rand() % (sizeof(signals) / sizeof(signals[0]))]);
	else
		snprintf(args->number, sizeof(args->number), "%d", rand() & 255);
	snprintf(args->microseconds, sizeof(args->microseconds), "%d", rand() % 1500);
}

/* The victim is followed from before it executes, as a runtime's children are. */
static int start_followed(const struct victim_args *args, uint64_t id, struct es_pidref *ref)
{
	struct es_exitsnoop *snoop = es_monitor_exitsnoop(monitor);
	char *argv[] = { (char *)(uintptr_t)victim, (char *)(uintptr_t)args->kind,
			 (char *)(uintptr_t)args->number, (char *)(uintptr_t)args->microseconds,
			 NULL };
	int r = spawn_followed(snoop, id, argv, dir, ref);

	if (r < 0)
		return r;
	/* Now and then it has ended by then, which must make no difference. */
	if (rand() % 2)
		usleep((useconds_t)(rand() % 2000));
	r = es_exitsnoop_resolve(snoop, id, ref->pid);
	return r < 0 ? r : es_exitsnoop_unfollow(snoop, id);
}

/* The victim is watched when it runs already. */
static int start_attached(const struct victim_args *args, uint64_t id, struct es_pidref *ref)
{
	int gate[2], r;
	pid_t pid;
	char c;

	if (pipe2(gate, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid == 0) {
		close(gate[1]);
		if (read(gate[0], &c, 1) < 0 || chdir(dir) < 0)
			_exit(94);
		execl(victim, victim, args->kind, args->number, args->microseconds, (char *)NULL);
		_exit(93);
	}
	r = es_pidref_open(ref, pid);
	if (r == 0)
		r = es_monitor_watch(monitor, id, pid);
	close(gate[0]);
	close(gate[1]);
	return r;
}

static int reap(const struct es_pidref *ref)
{
	int status = -1;

	while (waitpid(ref->pid, &status, __WALL) < 0 && errno == EINTR)
		;
	return status;
}

static void remove_cores(void)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/core", dir);
	unlink(path);
}

struct sums {
	long wrong, missing, core;
};

static void one_random(struct sums *sums)
{
	struct es_pidref ref = ES_PIDREF_UNSET;
	struct victim_args args;
	struct es_exit exit = { 0 };
	uint64_t id = next_id++;
	bool followed = rand() % 2;
	int r, status;

	choose(&args);
	r = followed ? start_followed(&args, id, &ref) : start_attached(&args, id, &ref);
	CHECK(r == 0, "start %s: %d", args.kind, r);
	if (strcmp(args.kind, "sleep") == 0 || strncmp(args.kind, "race", 4) == 0) {
		usleep((useconds_t)(rand() % 1000));
		if (strcmp(args.kind, "sleep") == 0 || rand() % 4 == 0)
			es_pidref_signal(&ref, SIGKILL);
	}
	es_pidref_wait(&ref, UINT64_MAX);
	/* The record must be there when the pidfd wakes, before anybody reaps. */
	r = es_exitsnoop_lookup(es_monitor_exitsnoop(monitor), id, &exit);
	status = reap(&ref);
	if (r < 0) {
		sums->missing++;
		printf("missing: %s %s, %s, status %#x\n", args.kind, args.number,
		       followed ? "followed" : "attached", status);
	} else if (exit.status != status) {
		sums->wrong++;
		printf("wrong: %s %s: recorded %#x, waitpid says %#x\n", args.kind, args.number,
		       exit.status, status);
	}
	sums->core += (status & 0x80) != 0;
	es_monitor_forget(monitor, id);
	es_pidref_close(&ref);
	remove_cores();
}

static void random_processes(int count, const char *where)
{
	struct sums sums = { 0 };

	for (int i = 0; i < count; i++)
		one_random(&sums);
	printf("%d random processes%s: %ld wrong, %ld missing (core dumped by %ld)\n", count, where,
	       sums.wrong, sums.missing, sums.core);
	CHECK(sums.wrong == 0 && sums.missing == 0, "against waitpid");
}

/* The next fork gets this number. Other processes may take it first. */
static pid_t fork_with_pid(pid_t wanted)
{
	char text[16];

	for (int tries = 0; tries < 50; tries++) {
		int fd = open("/proc/sys/kernel/ns_last_pid", O_WRONLY | O_CLOEXEC), status;
		int n = snprintf(text, sizeof(text), "%d", wanted - 1);
		pid_t pid;

		if (fd < 0 || write(fd, text, (size_t)n) != n)
			return -1;
		close(fd);
		pid = fork();
		if (pid == 0) {
			pause();
			_exit(55);
		}
		if (pid == wanted)
			return pid;
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
	}
	return -1;
}

static int open_pinned_map(const char *name)
{
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", es_exitsnoop_pin_dir(es_monitor_exitsnoop(monitor)),
		 name);
	fd = bpf_obj_get(path);
	CHECK(fd >= 0, "%s: %s", path, strerror(errno));
	return fd;
}

/*
 * A watch whose process ends unseen: its record and its mark are put back as they were before, as
 * if the programs had not been attached. Another process with the same number must not be taken
 * for it. Returns 1 if it was, 0 if not, -1 if the number could not be had again.
 */
static int reuse_number(int exits_fd, int marks_fd)
{
	struct exitsnoop_record record, after;
	struct exitsnoop_mark mark;
	uint64_t id = next_id++;
	pid_t first = fork(), second;
	int status, wrong;

	if (first == 0) {
		pause();
		_exit(1);
	}
	CHECK(es_monitor_watch(monitor, id, first) == 0, "watch");
	CHECK(bpf_map_lookup_elem(exits_fd, &id, &record) == 0 &&
		      bpf_map_lookup_elem(marks_fd, &record.tgid, &mark) == 0,
	      "record and mark");
	kill(first, SIGTERM);
	waitpid(first, &status, 0);
	CHECK(bpf_map_update_elem(exits_fd, &id, &record, BPF_ANY) == 0 &&
		      bpf_map_update_elem(marks_fd, &record.tgid, &mark, BPF_ANY) == 0,
	      "put back");
	second = fork_with_pid(first);
	if (second > 0) {
		kill(second, SIGKILL);
		waitpid(second, &status, 0);
		wrong = bpf_map_lookup_elem(exits_fd, &id, &after) < 0 ||
			after.state != EXITSNOOP_ALIVE;
		/* The mark is not left for a third one. In a PID namespace it is the number outside
		   that a mark is found by, and that one is not the same again. */
		if (record.tgid == (uint32_t)first)
			wrong |= bpf_map_lookup_elem(marks_fd, &record.tgid, &mark) == 0;
	}
	es_monitor_forget(monitor, id);
	return second > 0 ? wrong : -1;
}

static void reused_numbers(int count, const char *where)
{
	int exits_fd = open_pinned_map("exits"), marks_fd = open_pinned_map("marks");
	int reused = 0, wrong = 0;

	for (int i = 0; i < count; i++) {
		int r = reuse_number(exits_fd, marks_fd);

		reused += r >= 0;
		wrong += r > 0;
	}
	close(exits_fd);
	close(marks_fd);
	printf("%d reused process numbers of %d tried%s: %d wrong\n", reused, count, where, wrong);
	CHECK(wrong == 0 && reused >= count * 9 / 10, "reuse");
}

static void edge_cases(void)
{
	struct es_exit exit;
	pid_t pid;
	int status;

	CHECK(es_monitor_watch(monitor, next_id, 0) == -EINVAL, "pid 0");
	CHECK(es_monitor_watch(monitor, 0, getpid()) == -EINVAL, "ID 0");
	CHECK(es_monitor_watch(monitor, next_id, 0x3fffff) == -ESRCH, "no process");
	CHECK(es_monitor_exit(monitor, next_id, &exit) == -ENOENT, "no watch");
	CHECK(es_monitor_forget(monitor, next_id) == 0, "forget nothing");
	/* A zombie still has its status. */
	pid = fork();
	if (pid == 0)
		_exit(33);
	waitid(P_PID, (id_t)pid, &(siginfo_t){ 0 }, WEXITED | WNOWAIT);
	CHECK(es_monitor_watch(monitor, next_id, pid) == 0, "zombie");
	CHECK(es_monitor_exit(monitor, next_id, &exit) == 0 && exit.code == 33, "zombie's code");
	/* We are its parent, and it was not taken from us. */
	CHECK(waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 33, "reaped by us");
	es_monitor_forget(monitor, next_id++);
	/* One process, two IDs. */
	pid = fork();
	if (pid == 0) {
		pause();
		_exit(0);
	}
	CHECK(es_monitor_watch(monitor, next_id, pid) == 0, "first");
	CHECK(es_monitor_watch(monitor, next_id, pid) == -EEXIST, "same ID");
	CHECK(es_monitor_watch(monitor, next_id + 1, pid) == -EEXIST, "second ID");
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	CHECK(es_monitor_next_exit(monitor, &exit) == 1 && exit.trace_id == next_id, "queued");
	CHECK(es_monitor_next_exit(monitor, &exit) == 0, "once");
	es_monitor_forget(monitor, next_id);
	next_id += 2;
}

static int open_monitor(void)
{
	struct es_error error = { 0 };
	struct es_monitor_opts opts = { .size = sizeof(opts), .root_dir = root, .error = &error };
	int r;

	r = es_monitor_open(&opts, &monitor);
	if (r < 0)
		printf("open: %d: %s\n", r, error.message);
	return r;
}

/* Without our descriptors: they would keep the programs attached. */
static pid_t fork_paused(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		close_range(3, ~0U, 0);
		pause();
		_exit(0);
	}
	return pid;
}

/* Exits while nobody has the monitor open, and again in the next one. */
static void survive_close(void)
{
	struct es_exit exit;
	uint64_t id = next_id++;
	pid_t pid = fork_paused();
	int status;

	CHECK(es_monitor_watch(monitor, id, pid) == 0, "watch");
	es_monitor_close(monitor);
	kill(pid, SIGQUIT);
	waitpid(pid, &status, 0);
	CHECK(open_monitor() == 0, "open again");
	CHECK(es_monitor_resume(monitor, id) == 0, "resume");
	CHECK(es_monitor_resume(monitor, id) == -EEXIST, "resume twice");
	CHECK(es_monitor_next_exit(monitor, &exit) == 1 && exit.status == status, "the exit");
	es_monitor_forget(monitor, id);
	remove_cores();
}

/* The mark of a process is gone, as if the programs were not attached: the kernel is asked, as its
   parent would. */
static void unrecorded(void)
{
	int exits_fd = open_pinned_map("exits"), marks_fd = open_pinned_map("marks");
	struct exitsnoop_record record = { 0 };
	struct es_exit exit = { 0 };
	uint64_t id = next_id++;
	pid_t pid = fork_paused();
	int status, r = -EAGAIN;

	CHECK(es_monitor_watch(monitor, id, pid) == 0, "watch");
	CHECK(bpf_map_lookup_elem(exits_fd, &id, &record) == 0 &&
		      bpf_map_delete_elem(marks_fd, &record.tgid) == 0,
	      "remove the mark");
	kill(pid, SIGTERM);
	for (int i = 0; i < 1000 && (r = es_monitor_exit(monitor, id, &exit)) == -EAGAIN; i++)
		usleep(1000);
	CHECK(r == 0 && exit.source == ES_EXIT_WAIT && exit.code == 143, "%d, source %u, code %d",
	      r, exit.source, exit.code);
	CHECK(waitpid(pid, &status, 0) == pid && exit.status == status, "it is ours to reap");
	es_monitor_forget(monitor, id);
	close(exits_fd);
	close(marks_fd);
}

/* Nobody was there, nothing was recorded: lost, and no number that could be real. */
static void lost(void)
{
	struct exitsnoop_record record = { 0 };
	int exits_fd = open_pinned_map("exits"), status;
	struct es_exit exit = { 0 };
	uint64_t id = next_id++;
	pid_t pid = fork_paused();

	CHECK(es_monitor_watch(monitor, id, pid) == 0, "watch");
	CHECK(bpf_map_lookup_elem(exits_fd, &id, &record) == 0, "record");
	kill(pid, SIGTERM);
	waitpid(pid, &status, 0);
	CHECK(bpf_map_update_elem(exits_fd, &id, &record, BPF_ANY) == 0, "put back");
	close(exits_fd);
	es_monitor_close(monitor);
	CHECK(open_monitor() == 0, "open again");
	CHECK(es_monitor_resume(monitor, id) == 0, "resume");
	CHECK(es_monitor_exit(monitor, id, &exit) == 0 && exit.source == ES_EXIT_LOST &&
		      exit.code == -1 && exit.status == -1 && exit.exited_boot_ns == 0,
	      "source %u, code %d", exit.source, exit.code);
	es_monitor_forget(monitor, id);
}

/* Inside `depth` nested PID namespaces: a manager of its own, in a number space of its own. */
static void in_namespaces(int depth, int count, const char *where)
{
	pid_t pid;
	int status;

	if (depth > 0) {
		fflush(NULL);
		pid = fork();
		if (pid == 0) {
			if (unshare(CLONE_NEWPID) < 0)
				_exit(3);
			pid = fork();
			if (pid == 0) {
				in_namespaces(depth - 1, count, where);
				_exit(failures != 0);
			}
			_exit(waitpid(pid, &status, 0) == pid && status == 0 ? 0 : 1);
		}
		waitpid(pid, &status, 0);
		CHECK(status == 0, "in a PID namespace");
		return;
	}
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("proc", "/proc", "proc", 0, NULL) < 0)
		_exit(4);
	snprintf(root, sizeof(root), "%s/root-%d", dir, getpid());
	if (open_monitor() < 0)
		_exit(5);
	random_processes(count, where);
	reused_numbers(count >= 1000 ? 200 : 20, where);
	es_monitor_close(monitor);
}

int main(int argc, char **argv)
{
	const char *long_run = getenv("ES_TEST_LONG");
	int count = argc > 1 ? atoi(argv[1]) : long_run && *long_run == '1' ? 10000 : 2000;
	struct utsname kernel;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (geteuid() != 0 || access("/sys/kernel/btf/vmlinux", R_OK) < 0) {
		printf("SKIPPED: needs root and a kernel with BTF\n");
		return 77;
	}
	uname(&kernel);
	printf("kernel %s\n", kernel.release);
	if (getenv("ES_TEST_VICTIM"))
		victim = getenv("ES_TEST_VICTIM");
	strcpy(dir, "/tmp/es-exits-XXXXXX");
	if (!mkdtemp(dir))
		return 1;
	snprintf(root, sizeof(root), "%s/root", dir);
	srand(5);
	if (open_monitor() < 0)
		return 1;
	edge_cases();
	random_processes(count, "");
	reused_numbers(count >= 1000 ? 200 : 20, "");
	survive_close();
	unrecorded();
	lost();
	es_monitor_close(monitor);
	in_namespaces(1, count, " in a PID namespace");
	in_namespaces(2, count, " in two nested PID namespaces");
	es_mount_remove_below(dir, true);
	es_tree_remove(AT_FDCWD, dir);
	printf("%s\n", failures ? "FAILED" : "PASSED");
	return failures != 0;
}
