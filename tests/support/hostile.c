/* SPDX-License-Identifier: Apache-2.0 */
/* A container that puts other things in the place of what we open, and those it must not reach. */
#include "hostile.h"

#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

const struct trick tricks[TRICKS] = {
	{ "file", "ln -s $victim $x", -ELOOP, -ELOOP },
	{ "nothing", "ln -s $missing $x", -ELOOP, -ELOOP },
	{ "device", "ln -s /dev/zero $x", -ELOOP, -ELOOP },
	{ "input", "ln -s $in $x", -ELOOP, -ELOOP },
	{ "output", "ln -s $out $x", -ELOOP, -ELOOP },
	{ "itself", "ln -s $x $x", -ELOOP, -ELOOP },
	{ "own-file", "echo mine >$x", -EINVAL, 0 },
	{ "directory", "mkdir $x", -EINVAL, -EINVAL },
	{ "own-device", "mknod $x c 1 1", -EINVAL, -EINVAL },
	{ "block", "mknod $x b 7 0", -EINVAL, -EINVAL },
	{ "socket", "/victim -s $x exit 0", -EINVAL, -EINVAL },
	{ "own-fifo", "mkfifo $x", 0, -EINVAL },
	{ "none", "", -ENOENT, 0 },
};

#define PRECIOUS "precious\n"
#define ANSWER	 "fine\n"

const char *in_shared(const struct world *w, const char *name)
{
	static char paths[8][PATH_MAX];
	static unsigned int next;
	char *path = paths[next++ % 8];

	snprintf(path, PATH_MAX, "%s/%s", w->shared, name);
	return path;
}

/* Of the container itself, which needs no manager for it. */
void hostile_does(const struct world *w, const char *script, ...)
{
	char text[8192], result[16] = "";
	const char *done = in_shared(w, "done");
	va_list list;
	FILE *f;

	va_start(list, script);
	vsnprintf(text, sizeof(text), script, list);
	va_end(list);
	write_script(in_shared(w, "next"), text);
	ck_assert_int_eq(rename(in_shared(w, "next"), in_shared(w, "do")), 0);
	ck_assert_msg(wait_until(access(done, F_OK) == 0), "not done: %s", text);
	f = fopen(done, "re");
	ck_assert_ptr_nonnull(f);
	ck_assert_ptr_nonnull(fgets(result, sizeof(result), f));
	fclose(f);
	ck_assert_msg(strcmp(result, "0\n") == 0, "%s ended with %s", text, result);
	unlink(done);
}

#define OBEY                                                                                       \
	"while :; do if [ -e /shared/do ]; then sh /shared/do; echo $? >/shared/.done; "           \
	"rm /shared/do; mv /shared/.done /shared/done; fi; usleep 2000; done"

/* Put something in the place of a file in the directory. */
void play_trick(const struct world *w, const struct trick *trick, const char *name)
{
	hostile_does(w, "set -e\nx=/shared/%s victim=%s missing=%s in=%s out=%s\nrm -rf $x\n%s\n",
		     name, w->victim, w->missing, w->other[0], w->other[1], trick->script);
}

static void check_unchanged(const char *path, const struct stat *before)
{
	struct stat now;

	ck_assert_int_eq(lstat(path, &now), 0);
	ck_assert_uint_eq(now.st_ino, before->st_ino);
	ck_assert_uint_eq(now.st_mode, before->st_mode);
	ck_assert_uint_eq(now.st_uid, before->st_uid);
	ck_assert_uint_eq(now.st_gid, before->st_gid);
	ck_assert_uint_eq(now.st_nlink, before->st_nlink);
	if (!S_ISREG(now.st_mode))
		return;
	ck_assert_int_eq(now.st_size, before->st_size);
	ck_assert_int_eq(now.st_mtim.tv_sec, before->st_mtim.tv_sec);
	ck_assert_int_eq(now.st_mtim.tv_nsec, before->st_mtim.tv_nsec);
}

static uint64_t answered(struct world *w)
{
	uint64_t total;

	pthread_mutex_lock(&w->answers.lock);
	total = w->answers.total;
	pthread_mutex_unlock(&w->answers.lock);
	return total;
}

/* Nobody but the hostile one may have noticed anything. */
void check_others(struct world *w)
{
	char text[64] = "";
	FILE *f = fopen(w->victim, "re");

	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fread(text, 1, sizeof(text) - 1, f), strlen(PRECIOUS));
	fclose(f);
	ck_assert_str_eq(text, PRECIOUS);
	check_unchanged(w->victim, &w->victim_st);
	ck_assert_int_eq(access(w->missing, F_OK), -1);
	ck_assert_int_eq(count_entries(w->secret), 1);
	for (int i = 0; i < 2; i++)
		check_unchanged(w->other[i], &w->other_st[i]);
	/* All of its input comes to the bystander, and all that it says and no more comes from it.
	 */
	for (int i = 0; i < 3; i++)
		say(w->to_bystander, "question\n");
	w->asked += 3;
	wait_until(answered(w) >= w->asked * strlen(ANSWER));
	ck_assert_uint_eq(answered(w), w->asked * strlen(ANSWER));
	ck_assert_int_eq(es_task_wait(w->bystander, 0, NULL), -ETIMEDOUT);
}

void world_prepare(struct world *w)
{
	const struct timespec times[2] = { { .tv_sec = 1000000 }, { .tv_sec = 1000000 } };

	memset(w, 0, sizeof(*w));
	env_init(&w->env);
	env_busybox(&w->env);
	snprintf(w->shared, sizeof(w->shared), "%s/shared", w->env.dir);
	snprintf(w->secret, sizeof(w->secret), "%s/secret", w->env.dir);
	snprintf(w->victim, sizeof(w->victim), "%s/victim", w->secret);
	snprintf(w->missing, sizeof(w->missing), "%s/missing", w->secret);
	ck_assert_int_eq(mkdir(w->shared, 0755) | mkdir(w->secret, 0700), 0);
	write_script(w->victim, PRECIOUS);
	ck_assert_int_eq(chmod(w->victim, 0640), 0);
	ck_assert_int_eq(utimensat(AT_FDCWD, w->victim, times, 0), 0);
	ck_assert_int_eq(lstat(w->victim, &w->victim_st), 0);
	for (int i = 0; i < 2; i++) {
		snprintf(w->other[i], sizeof(w->other[i]), "%s",
			 make_fifo(&w->env, i ? "other-out" : "other-in"));
		ck_assert_int_eq(lstat(w->other[i], &w->other_st[i]), 0);
	}
}

static void make_streams(const struct world *w, const char *in, const char *out)
{
	remove(in_shared(w, in));
	remove(in_shared(w, out));
	ck_assert_int_eq(mkfifo(in_shared(w, in), 0600) | mkfifo(in_shared(w, out), 0600), 0);
}

static void run_in_bundle(struct world *w, const struct box *box)
{
	struct es_task_opts opts = { .size = sizeof(opts),
				     .bundle_dir = w->shared,
				     .error = &w->env.error };
	struct es_task *task;

	/* Of the round before. */
	remove(in_shared(w, "config.json"));
	write_script(in_shared(w, "config.json"), box_spec(&w->env, "hostile", box));
	ck_assert_msg(es_task_create(w->m, "test", "hostile", &opts, &task) == 0 &&
			      es_task_start(task, &w->env.error) == 0,
		      "%s", w->env.error.message);
}

/* The first manager, which is killed. */
static void live(void *arg)
{
	struct world *w = arg;
	struct box bystander = { .args = SH("while read x; do echo fine; done"),
				 .in = w->other[0],
				 .out = w->other[1] };
	struct box hostile = { .args = SH(OBEY), .terminal = w->terminal, .shared = w->shared };
	struct box created = { .args = { "/victim", "exit", "3" }, .terminal = w->terminal };

	w->m = env_open(&w->env);
	box_run(&w->env, w->m, "bystander", &bystander);
	for (size_t i = 0; w->with_created && i < TRICKS; i++) {
		char in[32], out[32];

		snprintf(in, sizeof(in), "in-%zu", i);
		snprintf(out, sizeof(out), "out-%zu", i);
		make_streams(w, in, out);
		created.in = in_shared(w, in);
		created.out = in_shared(w, out);
		box_create(&w->env, w->m, tricks[i].id, &created);
	}
	if (w->in_bundle) {
		run_in_bundle(w, &hostile);
	} else {
		make_streams(w, "in", "out");
		hostile.in = in_shared(w, "in");
		hostile.out = in_shared(w, "out");
		box_run(&w->env, w->m, "hostile", &hostile);
	}
	kill(getpid(), SIGKILL);
}

struct es_task *world_get(const struct world *w, const char *id)
{
	struct es_task *task;

	ck_assert_msg(es_manager_get(w->m, "test", id, &task) == 0, "%s is lost", id);
	return task;
}

/* The containers run, and no manager does. */
void world_begin(struct world *w)
{
	int status;

	w->asked = 0;
	reader_open(&w->answers, w->other[1]);
	status = in_child(live, w);
	ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "%#x", status);
	w->to_bystander = open(w->other[0], O_WRONLY | O_CLOEXEC);
	ck_assert_int_ge(w->to_bystander, 0);
	ck_assert(reader_wait_for(&w->answers, ""));
}

/* The next manager. */
void world_come_back(struct world *w)
{
	w->m = env_open(&w->env);
	w->hostile = world_get(w, "hostile");
	w->bystander = world_get(w, "bystander");
	check_others(w);
}

static void end_task(struct world *w, struct es_task *task)
{
	struct es_exit exit;

	ck_assert_int_eq(es_task_kill(task, SIGKILL), 0);
	ck_assert_int_eq(es_task_wait(task, 60000, &exit), 0);
	ck_assert_int_eq(exit.code, 137);
	box_delete(&w->env, task);
}

/* The hostile one goes first, and has done no harm. */
void world_end(struct world *w)
{
	end_task(w, w->hostile);
	check_others(w);
	end_task(w, w->bystander);
	reader_wait_end(&w->answers);
	close(w->to_bystander);
	es_manager_close(w->m);
	census_assert_empty(&w->env);
}
