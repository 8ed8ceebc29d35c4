/* SPDX-License-Identifier: Apache-2.0 */
/* Run one child process without touching the host process. */
#include "spawn.h"

#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/close_range.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "clock.h"

#define DEFAULT_PATH	 "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define CHILD_STACK_SIZE (64 * 1024)

/*
 * The child shares our memory until it executes: its code must not touch anything another thread
 * could be using, and no sanitizer may put code of its own into it.
 */
#if defined(__clang__)
#define CHILD_CODE __attribute__((no_sanitize("address", "thread", "undefined"), noinline))
#else
#define CHILD_CODE                                                                                 \
	__attribute__((no_sanitize_address, no_sanitize_thread, no_sanitize_undefined, noinline))
#endif

struct child {
	const struct es_spawn *spawn;
	char **env;
	int null_fd;
	int error; /* written by the child: the negative errno that kept it from executing */
};

/* Libc's wrappers are instrumented and some set errno of the parent's thread: raw calls instead. */
static CHILD_CODE long call4(long number, long a, long b, long c, long d)
{
#if defined(__x86_64__)
	register long r10 __asm__("r10") = d;
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "0"(number), "D"(a), "S"(b), "d"(c), "r"(r10)
			 : "rcx", "r11", "memory");
	return ret;
#elif defined(__aarch64__)
	register long x8 __asm__("x8") = number;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;

	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
	return x0;
#else
#error "raw system calls of this architecture are missing"
#endif
}

static CHILD_CODE long call(long number, long a, long b, long c)
{
	return call4(number, a, b, c, 0);
}

/* The kernel's struct sigaction, all zero: SIG_DFL, no flags, empty mask. */
struct kernel_sigaction {
	void *handler;
	unsigned long flags;
	void *restorer;
	unsigned long mask;
};

/* What the host ignores or handles is none of the container's business. */
static CHILD_CODE void reset_signals(void)
{
	struct kernel_sigaction default_action;
	unsigned long none = 0;

	default_action.handler = NULL;
	default_action.flags = 0;
	default_action.restorer = NULL;
	default_action.mask = 0;
	for (int i = 1; i < _NSIG; i++)
		call4(SYS_rt_sigaction, i, (long)&default_action, 0, sizeof(none));
	call4(SYS_rt_sigprocmask, SIG_SETMASK, (long)&none, 0, sizeof(none));
}

/* The descriptor that becomes number i, or a negative one: it stays closed. */
static CHILD_CODE int descriptor(const struct child *c, size_t i)
{
	if (i >= 3)
		return c->spawn->more_fd[i - 3];
	return c->spawn->fd[i] >= 0 ? c->spawn->fd[i] : c->null_fd;
}

/* Put the descriptors on 0, 1, 2 ..., whatever numbers they have now, and close all others. */
static CHILD_CODE long set_descriptors(const struct child *c)
{
	long fds[3 + ES_SPAWN_MORE_MAX], r;
	size_t n = 3 + c->spawn->more;

	/* All of them out of the way first, so that none is overwritten before it is used. */
	for (size_t i = 0; i < n; i++) {
		int fd = descriptor(c, i);

		fds[i] = fd < 0 ? fd : call(SYS_fcntl, fd, F_DUPFD_CLOEXEC, (long)n);
		if (fd >= 0 && fds[i] < 0)
			return fds[i];
	}
	for (size_t i = 0; i < n; i++) {
		r = fds[i] < 0 ? call(SYS_close, (long)i, 0, 0)
			       : call(SYS_dup3, fds[i], (long)i, 0);
		if (r < 0 && fds[i] >= 0)
			return r;
	}
	return call(SYS_close_range, (long)n, (long)~0U, 0);
}

static CHILD_CODE long mark_self(const struct es_spawn *spawn)
{
	uint64_t args[2];
	union bpf_attr attr;
	unsigned char *p = (unsigned char *)&attr;
	long r;

	for (size_t i = 0; i < sizeof(attr); i++)
		p[i] = 0;
	args[0] = spawn->mark_arg;
	args[1] = 0;
	attr.test.prog_fd = (uint32_t)spawn->mark_prog_fd;
	attr.test.ctx_in = (uint64_t)(uintptr_t)args;
	attr.test.ctx_size_in = sizeof(args);
	r = call(SYS_bpf, BPF_PROG_TEST_RUN, (long)&attr, sizeof(attr));
	if (r < 0)
		return r;
	return attr.test.retval ? -ENOSPC : 0;
}

static CHILD_CODE long prepare(const struct child *c)
{
	long r;

	reset_signals();
	call(SYS_setsid, 0, 0, 0);
	if (c->spawn->mark_prog_fd >= 0) {
		r = mark_self(c->spawn);
		if (r < 0)
			return r;
	}
	r = set_descriptors(c);
	if (r < 0)
		return r;
	return call(SYS_chdir, (long)(c->spawn->cwd ? c->spawn->cwd : "/"), 0, 0);
}

static CHILD_CODE int run_child(void *arg)
{
	struct child *c = arg;
	long r;

	r = prepare(c);
	if (r >= 0)
		r = call(SYS_execve, (long)c->spawn->program, (long)c->spawn->argv, (long)c->env);
	c->error = (int)r;
	call(SYS_exit_group, 127, 0, 0);
	return 127;
}

/*
 * clone(2) by glibc's other name: sanitizers replace clone() with one that runs their fork handlers
 * on both sides, which the child must not do on shared memory.
 */
extern int __clone(int (*fn)(void *), void *stack, int flags, void *arg, ...);

/* Environment */

static bool is_dropped(const char *variable, const char *const *drop)
{
	size_t n = strcspn(variable, "=");

	for (; drop && *drop; drop++)
		if (strlen(*drop) == n && strncmp(variable, *drop, n) == 0)
			return true;
	return false;
}

/* A new array of the old strings, and one more. */
static char **make_environment(const char *const *drop, const char *add)
{
	size_t n = 0, kept = 0;
	char **env;

	while (environ && environ[n])
		n++;
	env = calloc(n + 2, sizeof(*env));
	for (size_t i = 0; env && i < n; i++)
		if (!is_dropped(environ[i], drop))
			env[kept++] = environ[i];
	if (env && add)
		env[kept] = (char *)(uintptr_t)add;
	return env;
}

/*
 * Like vfork(2), but with a pidfd and a stack of its own. No exit signal: a child that cannot
 * execute vanishes unnoticed by the host (execve sets it to SIGCHLD).
 */
static int clone_child(struct child *c, struct es_pidref *ret)
{
	const int flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD;
	sigset_t all, old;
	int pidfd = -EBADF, cancel, r = 0;
	char *stack;
	pid_t pid;

	stack = mmap(NULL, CHILD_STACK_SIZE, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (stack == MAP_FAILED)
		return es_neg_errno();
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	/* A handler of the host must not run in the child: it would run on shared memory. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pid = __clone(run_child, stack + CHILD_STACK_SIZE, flags, c, &pidfd);
	if (pid < 0)
		r = es_neg_errno();
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_setcancelstate(cancel, NULL);
	munmap(stack, CHILD_STACK_SIZE);
	if (r < 0)
		return r;
	if (c->error < 0) {
		waitid((idtype_t)P_PIDFD, (id_t)pidfd, &(siginfo_t){ 0 }, WEXITED | __WALL);
		es_close(pidfd);
		return c->error;
	}
	*ret = (struct es_pidref){ .pid = pid, .fd = pidfd };
	return 0;
}

int es_spawn(const struct es_spawn *spawn, struct es_pidref *ret)
{
	struct child c = { .spawn = spawn };
	cleanup_free char **env = NULL;
	cleanup_fd int null_fd = -EBADF;

	if (spawn->more > ES_SPAWN_MORE_MAX)
		return -EINVAL;
	null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null_fd < 0)
		return es_neg_errno();
	if (!spawn->env) {
		env = make_environment(spawn->env_drop, spawn->env_add);
		if (!env)
			return -ENOMEM;
	}
	c.env = env ? env : (char **)(uintptr_t)spawn->env;
	c.null_fd = null_fd;
	return clone_child(&c, ret);
}

int es_spawn_lasting(const struct es_spawn *spawn, struct es_pidref *ret)
{
	struct es_pidref child;
	int status, r;

	r = es_spawn(spawn, &child);
	if (r < 0)
		return r;
	/* Nobody has reaped it: the number is its own. */
	r = es_pidref_open(ret, child.pid);
	if (r < 0) {
		es_pidref_signal(&child, SIGKILL);
		es_spawn_reap(&child, ES_DEADLINE_NEVER, &status);
	}
	es_pidref_close(&child);
	return r;
}

int es_spawn_reap(const struct es_pidref *child, uint64_t deadline_ns, int *status)
{
	siginfo_t info = { 0 };
	int r;

	r = es_pidref_wait(child, deadline_ns);
	if (r < 0)
		return r;
	while (waitid((idtype_t)P_PIDFD, (id_t)child->fd, &info, WEXITED | __WALL) < 0) {
		if (errno == ECHILD)
			return -ENODATA;
		if (errno != EINTR)
			return es_neg_errno();
	}
	if (info.si_code == CLD_EXITED)
		*status = (info.si_status & 0xff) << 8;
	else
		*status = info.si_status | (info.si_code == CLD_DUMPED ? 0x80 : 0);
	return 0;
}

/* Programs */

static int check_program(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return es_neg_errno();
	if (!S_ISREG(st.st_mode))
		return -EACCES;
	return access(path, X_OK) < 0 ? es_neg_errno() : 0;
}

/* Not resolved: a link may be changed to point to another version, and a name may select an applet.
 */
static int make_absolute(const char *name, char **ret)
{
	cleanup_free char *cwd = NULL;

	if (name[0] == '/') {
		*ret = strdup(name);
		return *ret ? 0 : -ENOMEM;
	}
	cwd = getcwd(NULL, 0);
	if (!cwd)
		return es_neg_errno();
	return asprintf(ret, "%s/%s", cwd, name) < 0 ? -ENOMEM : 0;
}

int es_spawn_find_program(const char *name, char **ret)
{
	const char *path = getenv("PATH");
	int r, result = -ENOENT;

	if (strchr(name, '/')) {
		r = check_program(name);
		return r < 0 ? r : make_absolute(name, ret);
	}
	if (!*name)
		return -ENOENT;
	for (path = path ? path : DEFAULT_PATH; *path; path += strspn(path, ":")) {
		size_t n = strcspn(path, ":");
		char *candidate;

		if (asprintf(&candidate, "%.*s/%s", (int)n, path, name) < 0)
			return -ENOMEM;
		path += n;
		r = candidate[0] == '/' ? check_program(candidate) : -ENOENT;
		if (r == 0) {
			*ret = candidate;
			return 0;
		}
		if (r == -EACCES)
			result = r;
		free(candidate);
	}
	return result;
}
