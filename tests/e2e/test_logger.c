/* SPDX-License-Identifier: Apache-2.0 */
/* binary:// and file://: containerd's protocol, and what a broken logger or a full disk does. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "stream.h"

/* What most of them do: note what they were started with, say that they are ready, and write. */
#define NOTE                                                                                       \
	"#!/bin/sh\n"                                                                              \
	"tr '\\0' '\\n' </proc/$$/environ >$2.env\n"                                               \
	"echo \"$@\" >$2.args\n"                                                                   \
	"ls /proc/$$/fd | grep -v '^1.' >$2.fds\n"                                                 \
	"[ \"$(cut -d' ' -f6 /proc/$$/stat)\" = $$ ] && echo leader >$2.session\n"
#define WRITE                                                                                      \
	"cat <&3 >$2.out & cat <&4 >$2.err\n"                                                      \
	"wait\n"                                                                                   \
	"echo end >$2.end\n"

/* A logger's URI; a static buffer. */
static const char *logger(const struct env *env, const char *scheme, const char *script)
{
	static char uri[2 * PATH_MAX];
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/logger", env->dir);
	write_script(path, script);
	snprintf(uri, sizeof(uri), "%s://%s?to=%s/log&flag&with=a%%20b+c&to=ignored", scheme, path,
		 env->dir);
	return uri;
}

/* The text of a file the logger wrote; a static buffer. */
static const char *logged(const struct env *env, const char *what)
{
	static char text[65536];
	char path[PATH_MAX];
	size_t n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/log.%s", env->dir, what);
	f = fopen(path, "re");
	if (f) {
		n = fread(text, 1, sizeof(text) - 1, f);
		fclose(f);
	}
	text[n] = '\0';
	return text;
}

START_TEST(protocol)
{
	static const char *const schemes[] = { "binary", "binary-v2" };
	static const char *const ready[] = { "exec 5>&-\n", "printf r >&5; exec 5>&-\n" };
	struct es_manager *m;
	char expected[PATH_MAX], script[1024];
	struct env env;

	m = env_open_busybox(&env);
	for (int i = 0; i < 2; i++) {
		struct box box = { .args = SH("echo to-out; echo to-err >&2; exit 3") };

		snprintf(script, sizeof(script), NOTE "%s" WRITE, ready[i]);
		box.out = box.err = logger(&env, schemes[i], script);
		box_end(&env, box_run(&env, m, "box", &box), 3);
		/* All of it is there when the task is deleted. */
		ck_assert_str_eq(logged(&env, "out"), "to-out\n");
		ck_assert_str_eq(logged(&env, "err"), "to-err\n");
		ck_assert_str_eq(logged(&env, "end"), "end\n");
		ck_assert_str_eq(logged(&env, "env"),
				 "CONTAINER_ID=box\nCONTAINER_NAMESPACE=test\n");
		snprintf(expected, sizeof(expected), "to %s/log flag  with a b c\n", env.dir);
		ck_assert_str_eq(logged(&env, "args"), expected);
		/* Nothing else; from 10 on are the shell's own. */
		ck_assert_str_eq(logged(&env, "fds"), "0\n1\n2\n3\n4\n5\n");
		ck_assert_str_eq(logged(&env, "session"), "leader\n");
	}
	env_finish(&env, m);
}
END_TEST

/* Only stderr; and an exec, which is known by its own ID. */
START_TEST(one_stream)
{
	struct box box = { .args = SH("echo to-out; echo to-err >&2; sleep 1000") };
	struct es_exec_opts opts = { .size = sizeof(opts) };
	struct es_manager *m;
	struct es_exec *exec;
	struct es_task *task;
	struct env env;

	m = env_open_busybox(&env);
	box.err = logger(&env, "binary", NOTE "exec 5>&-\n" WRITE);
	task = box_run(&env, m, "box", &box);
	ck_assert(wait_until(strcmp(logged(&env, "err"), "to-err\n") == 0));
	ck_assert_str_eq(logged(&env, "out"), "");
	opts.process = "{\"args\":[\"/bin/busybox\",\"echo\",\"from exec\"],\"cwd\":\"/\","
		       "\"terminal\":true,\"user\":{\"uid\":0,\"gid\":0}}";
	opts.stdout_path = box.err;
	opts.error = &env.error;
	ck_assert_int_eq(es_exec_create(task, "second", &opts, &exec), 0);
	ck_assert_msg(es_exec_start(exec, &env.error) == 0, "%s", env.error.message);
	ck_assert_int_eq(es_exec_wait(exec, 20000, NULL), 0);
	ck_assert_int_eq(es_exec_delete(exec, NULL, &env.error), 0);
	es_exec_free(exec);
	/* The output of a terminal. */
	ck_assert_str_eq(logged(&env, "out"), "from exec\r\n");
	ck_assert_str_eq(logged(&env, "env"), "CONTAINER_ID=second\nCONTAINER_NAMESPACE=test\n");
	es_task_kill(task, SIGKILL);
	box_end(&env, task, 137);
	env_finish(&env, m);
}
END_TEST

static int try_create(struct env *env, struct es_manager *m, const struct box *box,
		      uint32_t timeout_ms)
{
	struct es_task_opts opts = { .size = sizeof(opts),
				     .error = &env->error,
				     .spec = box_spec(env, "box", box),
				     .stdout_path = box->out,
				     .runtime_timeout_ms = timeout_ms };
	struct es_task *task;
	int r = es_task_create(m, "test", "box", &opts, &task);

	if (r == 0)
		es_task_free(task);
	return r;
}

/* One that never becomes ready keeps no container waiting for ever, and is not left. */
START_TEST(not_ready)
{
	struct box box = { .args = { "/victim", "exit", "0" } };
	struct es_manager *m;
	struct env env;

	m = env_open_busybox(&env);
	box.out = logger(&env, "binary-v2", "#!/bin/sh\nexit 3\n");
	ck_assert_int_eq(try_create(&env, m, &box, 0), -EIO);
	ck_assert_msg(strstr(env.error.message, "ready") != NULL, "%s", env.error.message);
	ck_assert_int_eq(census_take(&env).processes, 0);
	box.out = logger(&env, "binary-v2", "#!/bin/sh\ntrap '' TERM\nexec sleep 1000\n");
	ck_assert_int_eq(try_create(&env, m, &box, 500), -ETIMEDOUT);
	ck_assert_msg(strstr(env.error.message, "in time") != NULL, "%s", env.error.message);
	ck_assert_int_eq(census_take(&env).slots, 0);
	env_finish(&env, m);
}
END_TEST

static char warning[1024];

static void keep_warning(int level, const char *message, void *arg)
{
	(void)arg;
	if (level == ES_LOG_WARNING)
		snprintf(warning, sizeof(warning), "%s", message);
}

/* As with containerd's shim, nobody reads what is written then. Others do not notice. */
START_TEST(crash)
{
	struct box box = { .args = SH("while :; do echo line; done") };
	struct box other = { .args = SH("echo fine; sleep 1000") };
	struct es_event event;
	struct es_manager *m;
	struct es_task *task, *bystander;
	struct reader out;
	struct env env;

	m = env_open_busybox(&env);
	es_log_set(keep_warning, NULL);
	other.out = make_fifo(&env, "out");
	reader_open(&out, other.out);
	bystander = box_run(&env, m, "other", &other);
	box.out = logger(&env, "binary", "#!/bin/sh\nexec 5>&-\nhead -c 3 <&3 >$2.out\nexit 9\n");
	task = box_run(&env, m, "box", &box);
	/* Its init has no handler for SIGPIPE, which PID 1 does not die of: echo fails. */
	ck_assert(wait_until(strcmp(logged(&env, "out"), "lin") == 0));
	ck_assert(wait_until(es_manager_next_event(m, &event) >= 0 &&
			     strstr(warning, "exited with 9") != NULL));
	ck_assert_msg(strstr(warning, "test/box") != NULL, "%s", warning);
	ck_assert(reader_wait_for(&out, "fine"));
	ck_assert_int_eq(es_task_wait(bystander, 0, NULL), -ETIMEDOUT);
	es_task_kill(task, SIGKILL);
	ck_assert_int_eq(es_task_wait(task, 20000, NULL), 0);
	box_delete(&env, task);
	es_task_kill(bystander, SIGKILL);
	box_end(&env, bystander, 137);
	reader_wait_end(&out);
	es_log_set(NULL, NULL);
	env_finish(&env, m);
}
END_TEST

/* One that does not end at the end of its input is ended, by SIGTERM; or by SIGKILL if that does
   not help, either. */
START_TEST(stubborn)
{
	struct box box = { .args = { "/victim", "exit", "4" } };
	struct es_manager *m;
	struct env env;

	m = env_open_busybox(&env);
	box.out = logger(&env, "binary",
			 "#!/bin/sh\ntrap 'echo term >$2.end; exit 0' TERM\nexec 5>&-\n"
			 "while :; do sleep 0.1; done\n");
	box_end(&env, box_run(&env, m, "box", &box), 4);
	ck_assert_str_eq(logged(&env, "end"), "term\n");
	if (test_count(0, 1)) {
		box.out = logger(&env, "binary",
				 "#!/bin/sh\ntrap '' TERM\nexec 5>&-\n"
				 "while :; do sleep 0.1; done\n");
		box_end(&env, box_run(&env, m, "box", &box), 4);
	}
	env_finish(&env, m);
}
END_TEST

START_TEST(files)
{
	struct box box = { .args = SH("echo one; echo two >&2; echo three") };
	struct es_manager *m;
	char uri[PATH_MAX + 16], path[PATH_MAX + 16], text[64] = "";
	struct stat st;
	struct env env;
	FILE *f;

	m = env_open_busybox(&env);
	/* Directories that are missing are made. */
	snprintf(uri, sizeof(uri), "file://%s/a/b/log", env.dir);
	box.out = box.err = uri;
	box_end(&env, box_run(&env, m, "box", &box), 0);
	box_end(&env, box_run(&env, m, "box", &box), 0);
	f = fopen(uri + 7, "re");
	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fread(text, 1, sizeof(text) - 1, f), 28);
	fclose(f);
	ck_assert_str_eq(text, "one\ntwo\nthree\none\ntwo\nthree\n");
	ck_assert_int_eq(stat(uri + 7, &st), 0);
	ck_assert_int_eq(st.st_mode & 0777, 0644);
	snprintf(path, sizeof(path), "%s/a/b", env.dir);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_mode & 0777, 0755);
	/* A full disk: the container is told, and goes on. */
	box = (struct box){ .args = SH("echo lost || exit 8"), .out = "file:///dev/full" };
	box_end(&env, box_run(&env, m, "box", &box), 8);
	env_finish(&env, m);
}
END_TEST

/* A FIFO that nobody opens, or reads: its own container waits, nobody else. */
START_TEST(nobody_reads)
{
	struct box box = { .args = SH("while :; do echo 0123456789012345678901234567890; done") };
	struct es_manager *m;
	struct env env;

	m = env_open_busybox(&env);
	for (int terminal = 0; terminal < 2; terminal++) {
		struct es_task *task;
		int fd = -1;

		box.terminal = terminal;
		box.out = make_fifo(&env, "out");
		task = box_run(&env, m, "stuck", &box);
		if (terminal)
			fd = open(box.out, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
		sleep_ms(100);
		{
			struct box quick = { .args = { "/victim", "exit", "2" } };

			box_end(&env, box_run(&env, m, "quick", &quick), 2);
		}
		ck_assert_int_eq(es_task_wait(task, 0, NULL), -ETIMEDOUT);
		es_task_kill(task, SIGKILL);
		ck_assert_int_eq(es_task_wait(task, 20000, NULL), 0);
		/* A terminal's helper is given some seconds for what it holds. */
		if (terminal == 0 || test_count(0, 1))
			ck_assert_int_eq(es_task_delete(task, NULL, &env.error), 0);
		close(fd);
		if (terminal && !test_count(0, 1)) {
			fd = open(box.out, O_RDWR | O_CLOEXEC | O_NONBLOCK);
			wait_until(read(fd, (char[65536]){ 0 }, 65536) < 0 && errno == EAGAIN);
			ck_assert_int_eq(es_task_delete(task, NULL, &env.error), 0);
			close(fd);
		}
		es_task_free(task);
	}
	env_finish(&env, m);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = { protocol, one_stream, not_ready,	  crash,
				       stubborn, files,	     nobody_reads };

	require_runtime();
	return run_suite("logger", tests, sizeof(tests) / sizeof(tests[0]), 600);
}
