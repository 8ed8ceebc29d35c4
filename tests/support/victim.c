/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process that ends in a chosen way. Static, so that it runs in any root file system.
 *
 *	victim [-w FILE] [-s FILE] KIND NUMBER [MICROSECONDS]
 *
 * -w waits until FILE exists, -s makes a socket of that name. NUMBER is the exit code, or, of the
 * kinds that say so, the signal.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define RACERS 8

static const char *self_path;
static int number, microseconds;
static atomic_int go;

static void pause_us(int us)
{
	struct timespec t = { us / 1000000, us % 1000000 * 1000L };

	nanosleep(&t, NULL);
}

static void exit_thread(int code)
{
	syscall(SYS_exit, code);
}

static void exit_process(int code)
{
	syscall(SYS_exit_group, code);
}

static void die_of(int signal)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, signal);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), signal);
	for (;;)
		pause();
}

static void allow_core(void)
{
	struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };

	setrlimit(RLIMIT_CORE, &unlimited);
}

static void forbid_core(void)
{
	struct rlimit none = { 0, 0 };

	setrlimit(RLIMIT_CORE, &none);
}

static void exec_self(const char *kind)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", number);
	execl(self_path, self_path, kind, text, (char *)NULL);
	_exit(99);
}

static void start_threads(void *(*fn)(void *), long n)
{
	pthread_t thread;

	for (long i = 0; i < n; i++)
		if (pthread_create(&thread, NULL, fn, (void *)i) != 0)
			_exit(98);
}

static void *thread_exits_group(void *arg)
{
	(void)arg;
	pause_us(microseconds);
	exit_process(number);
	return NULL;
}

static void *thread_exits(void *arg)
{
	pause_us(microseconds + 200 * (int)(long)arg);
	exit_thread((number + 1 + (int)(long)arg) & 255);
	return NULL;
}

static void *thread_dies(void *arg)
{
	pause_us(microseconds);
	die_of((long)arg == 0 ? SIGSEGV : number);
	return NULL;
}

static void *thread_execs(void *arg)
{
	(void)arg;
	pause_us(microseconds);
	exec_self("exit");
	return NULL;
}

static void *thread_execs_signal(void *arg)
{
	(void)arg;
	pause_us(microseconds);
	exec_self("signal");
	return NULL;
}

static void *thread_sleeps(void *arg)
{
	for (;;)
		pause();
	return arg;
}

static void spin_until_go(long seed)
{
	while (!go)
		;
	for (volatile long i = (seed * 7919 + number) % 2000; i > 0; i--)
		;
}

static void *race_exit_group(void *arg)
{
	spin_until_go((long)arg);
	exit_process((number + (int)(long)arg) & 255);
	return NULL;
}

static void *race_exit(void *arg)
{
	spin_until_go((long)arg);
	exit_thread((number + (int)(long)arg) & 255);
	return NULL;
}

static void *race_core(void *arg)
{
	spin_until_go((long)arg);
	if ((long)arg == 0)
		die_of(SIGABRT);
	exit_process((number + (int)(long)arg) & 255);
	return NULL;
}

static void use_memory(void)
{
	size_t size = 1UL << 30;
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	for (size_t i = 0; p != MAP_FAILED && i < size; i += 4096)
		p[i] = 1;
	_exit(97);
}

static void kind_exit(void)
{
	_exit(number);
}

static void kind_signal(void)
{
	forbid_core();
	die_of(number);
}

static void kind_core(void)
{
	allow_core();
	die_of(SIGABRT);
}

static void kind_core_thread(void)
{
	allow_core();
	start_threads(thread_dies, 1);
	for (;;)
		pause();
}

static void kind_group_thread(void)
{
	start_threads(thread_exits_group, 2);
	for (;;)
		pause();
}

static void kind_leader_first(void)
{
	start_threads(thread_exits_group, 2);
	exit_thread(0);
}

static void kind_all_threads(void)
{
	start_threads(thread_exits, 3);
	exit_thread(number);
}

static void kind_exec_thread(void)
{
	start_threads(thread_execs, 1);
	for (;;)
		pause();
}

static void kind_exec_dead_leader(void)
{
	start_threads(thread_execs, 1);
	exit_thread(number ^ 255);
}

static void kind_exec_signal(void)
{
	forbid_core();
	start_threads(thread_execs_signal, 1);
	for (;;)
		pause();
}

static void kind_race_group(void)
{
	start_threads(race_exit_group, RACERS);
	go = 1;
	for (;;)
		pause();
}

static void kind_race_threads(void)
{
	start_threads(race_exit, RACERS);
	go = 1;
	exit_thread(number);
}

static void kind_race_core(void)
{
	allow_core();
	start_threads(race_core, 4);
	go = 1;
	for (;;)
		pause();
}

static void kind_sleep(void)
{
	start_threads(thread_sleeps, 2);
	for (;;)
		pause();
}

static void kind_pause(void)
{
	for (;;)
		pause();
}

static void kind_late_exit(void)
{
	pause_us(800000);
	_exit(number);
}

static void fork_sleepers(int n)
{
	for (int i = 0; i < n; i++)
		if (fork() == 0)
			kind_pause();
}

static void kind_family(void)
{
	fork_sleepers(number);
	kind_pause();
}

static void kind_leave_children(void)
{
	fork_sleepers(5);
	_exit(number);
}

static void kind_oom_child(void)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		use_memory();
	waitpid(pid, &status, 0);
	_exit(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL ? number : 96);
}

/* That long after a file in the working directory says so, which is told that we look at it. */
static void kind_flag(void)
{
	struct timespec now, end;
	int fd = open("flag", O_RDWR | O_CLOEXEC);
	atomic_int *flag = mmap(NULL, sizeof(*flag), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (flag == MAP_FAILED)
		exit_process(94);
	atomic_store(flag, 1);
	while (atomic_load(flag) != 2)
		;
	/* Not asleep: waking up takes a while that nobody knows. */
	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_nsec += microseconds * 1000L;
	do
		clock_gettime(CLOCK_MONOTONIC, &now);
	while ((now.tv_sec - end.tv_sec) * 1000000000L + now.tv_nsec < end.tv_nsec);
	exit_process(number);
}

static bool make_socket(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	return bind(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&address,
		    sizeof(address)) == 0;
}

static const struct {
	const char *name;
	void (*run)(void);
} kinds[] = {
	{ "exit", kind_exit },
	{ "signal", kind_signal },
	{ "core", kind_core },
	{ "core-thread", kind_core_thread },
	{ "group-thread", kind_group_thread },
	{ "leader-first", kind_leader_first },
	{ "all-threads", kind_all_threads },
	{ "flag", kind_flag },
	{ "exec-thread", kind_exec_thread },
	{ "exec-dead-leader", kind_exec_dead_leader },
	{ "exec-signal", kind_exec_signal },
	{ "race-group", kind_race_group },
	{ "race-threads", kind_race_threads },
	{ "race-core", kind_race_core },
	{ "sleep", kind_sleep },
	{ "pause", kind_pause },
	{ "late-exit", kind_late_exit },
	{ "family", kind_family },
	{ "leave-children", kind_leave_children },
	{ "oom", use_memory },
	{ "oom-child", kind_oom_child },
};

int main(int argc, char **argv)
{
	/* Not /proc/self: that is the leader, which may be dead. */
	self_path = "/proc/thread-self/exe";
	if (argc > 2 && strcmp(argv[1], "-w") == 0) {
		while (access(argv[2], F_OK) < 0)
			pause_us(2000);
		argc -= 2;
		argv += 2;
	}
	if (argc > 2 && strcmp(argv[1], "-s") == 0) {
		if (!make_socket(argv[2]))
			return 94;
		argc -= 2;
		argv += 2;
	}
	if (argc < 3)
		return 95;
	number = atoi(argv[2]);
	microseconds = argc > 3 ? atoi(argv[3]) : 300;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(argv[1], kinds[i].name) == 0)
			kinds[i].run();
	return 95;
}
