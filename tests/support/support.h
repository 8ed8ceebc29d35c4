/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests share: scratch directories, containers, counts of what must not leak. */
#ifndef ES_TEST_SUPPORT_H
#define ES_TEST_SUPPORT_H

#include <check.h>
#include <errno.h>
#include <embedshim/embedshim.h>
#include <limits.h>
#include <stdbool.h>

/* One scratch directory with a root and a state directory and a root file system. */
struct env {
	char dir[PATH_MAX / 4];
	char root[PATH_MAX / 2];
	char state[PATH_MAX / 2];
	char rootfs[PATH_MAX / 2];
	struct es_error error;
	struct es_manager_opts opts;
};

/* What a container runs and in what. */
struct box {
	const char *args[8];   /* of the container's process, ended by NULL */
	bool host_pid;	       /* no PID namespace: signals have their default effect on init */
	uint64_t memory_limit; /* bytes; 0: none */
	bool terminal;
	const char *in, *out, *err; /* standard streams; NULL: null */
	const char *shared; /* directory of the host that it has as /shared, and may do all in */
};

/* Exit 77 with a reason unless root with BPF and a runtime. */
void require_runtime(void);

void env_init(struct env *env);
/* Removes the directory, what is mounted in it and what is pinned. Asserts nothing. */
void env_clear(struct env *env);

/* SIGKILL what runs outside of the containers' cgroups, as a service manager does to a service. */
void env_kill_runtimes(const struct env *env);

/* A copy of the mount namespace, as PrivateMounts= makes it: of one that the host's mounts do not
   reach, in which a bpffs is at /sys/fs/bpf or not. */
void enter_private_mounts(bool with_bpffs);

/* Open a manager on the environment or fail the test. */
struct es_manager *env_open(struct env *env);

/* As a JSON string without its quotes; a static buffer. */
const char *json_escape(const char *text);

/* Text of a config.json for the box, valid for the named task; static buffer per thread. */
const char *box_spec(const struct env *env, const char *id, const struct box *box);
/* Write that text to an OCI bundle below the environment; returns its directory (static). */
const char *box_bundle(const struct env *env, const char *id, const struct box *box);

/* Create (and start) or fail the test. */
struct es_task *box_create(struct env *env, struct es_manager *m, const char *id,
			   const struct box *box);
struct es_task *box_run(struct env *env, struct es_manager *m, const char *id,
			const struct box *box);
/* Delete the task or fail the test, and let go of it. */
void box_delete(struct env *env, struct es_task *task);
/* The same for one that ends by itself, with this code. */
void box_end(struct env *env, struct es_task *task, int code);

/* Let containers that `victim -w /go-NAME` waits go on. */
void box_go(const struct env *env, const char *name);
/* Let those that come after it wait again. */
void box_ungo(const struct env *env, const char *name);

/* Its name in paths and cgroups; unique on the machine. */
const char *env_tag(const struct env *env);
/* End every process of it, of containers too. */
void env_kill_all(const struct env *env);
void env_remove_cgroups(const struct env *env);

/* Counts of what a test could leave behind, for the environment. */
struct census {
	int processes; /* in one of its containers' cgroups, or at work in or on its directory */
	int runtimes;  /* of them: in no container, those of the runtime and of ours */
	int mounts;    /* below the environment, without the bpffs of the root */
	int cgroups;   /* of its containers */
	int files;     /* below state and root, without what belongs to the manager itself */
	int slots;     /* trace IDs in the maps; -1: no pins */
};
struct census census_take(const struct env *env);
/* Fails the test when anything is left. The manager must be closed. */
void census_assert_empty(const struct env *env);
/* The end of a test: close the manager, nothing is left, and clear. */
void env_finish(struct env *env, struct es_manager *m);

/* Run fn(arg) in a child process and return its wait status. */
int in_child(void (*fn)(void *arg), void *arg);
/* Start fn(arg) in a child process, which is killed by the caller; returns its pid. */
pid_t start_child(void (*fn)(void *arg), void *arg);
void kill_child(pid_t pid);

/* Sleep. */
void sleep_ms(int ms);
/* Poll until the condition holds, at most 20 s. */
#define wait_until(condition)                                                                      \
	({                                                                                         \
		bool ok_ = false;                                                                  \
		for (int i_ = 0; i_ < 4000 && !(ok_ = (condition)); i_++)                          \
			sleep_ms(5);                                                               \
		ok_;                                                                               \
	})

/* Count of a quick or a long run: the environment variable ES_TEST_LONG selects. */
int test_count(int quick, int long_run);

/* Count of what is in a directory. */
int count_entries(const char *path);

/* Write a file, mode 0755. */
void write_script(const char *path, const char *text);

/* Main of every test program that needs a runtime: runs the suite, 0 or 1. */
int run_suite(const char *name, const TTest *const *tests, size_t n, double timeout_s);

#define RUN_SUITE(name, timeout_s, ...)                                                            \
	int main(void)                                                                             \
	{                                                                                          \
		const TTest *const tests[] = { __VA_ARGS__ };                                      \
		return run_suite(name, tests, sizeof(tests) / sizeof(tests[0]), timeout_s);        \
	}

#endif
