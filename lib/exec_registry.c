/* SPDX-License-Identifier: Apache-2.0 */
/* The execs of tasks: lifetimes, lookup, and how their exits hold init's back. */
#include "exec_registry.h"

#include <fcntl.h>
#include <search.h>
#include <string.h>

#include "fs.h"
#include "log.h"

struct es_exec *es_exec_alloc(struct es_task *task, const char *id, uint64_t trace_id)
{
	struct es_exec *exec = calloc(1, sizeof(*exec));

	if (!exec)
		return NULL;
	if (asprintf(&exec->dir, "%s/execs/%llu", es_bundle_dir(task->bundle),
		     (unsigned long long)trace_id) < 0) {
		free(exec);
		return NULL;
	}
	snprintf(exec->id, sizeof(exec->id), "%s", id);
	exec->trace_id = trace_id;
	exec->refs = 1;
	exec->status = ES_TASK_CREATED;
	pthread_mutex_init(&exec->save_lock, NULL);
	es_task_ref(task);
	exec->task = task;
	return exec;
}

void es_exec_ref(struct es_exec *exec)
{
	pthread_mutex_lock(&exec->task->manager->lock);
	exec->refs++;
	pthread_mutex_unlock(&exec->task->manager->lock);
}

void es_exec_free(struct es_exec *exec)
{
	struct es_task *task;
	bool last;

	if (!exec)
		return;
	task = exec->task;
	pthread_mutex_lock(&task->manager->lock);
	last = --exec->refs == 0;
	pthread_mutex_unlock(&task->manager->lock);
	if (!last)
		return;
	pthread_mutex_destroy(&exec->save_lock);
	for (int i = 0; i < 3; i++)
		free(exec->stream[i]);
	free(exec->dir);
	free(exec);
	es_task_free(task);
}

static int compare_trace_ids(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Call with the lock held. */
static struct es_exec *find(struct es_task *task, const char *id)
{
	struct es_exec *exec;

	TAILQ_FOREACH(exec, &task->execs, link)
	if (strcmp(exec->id, id) == 0)
		return exec;
	return NULL;
}

int es_exec_register(struct es_exec *exec)
{
	struct es_manager *m = exec->task->manager;
	int r = 0;

	/* From a file that was copied. */
	if (es_registry_has_trace_id(m, exec->trace_id))
		return -EEXIST;
	pthread_mutex_lock(&m->lock);
	if (find(exec->task, exec->id))
		r = -EEXIST;
	else if (!tsearch(exec, &m->exec_trace_ids, compare_trace_ids))
		r = -ENOMEM;
	if (r == 0) {
		exec->refs++;
		TAILQ_INSERT_TAIL(&exec->task->execs, exec, link);
	}
	pthread_mutex_unlock(&m->lock);
	return r;
}

/* Call with the lock held; the list's reference is the caller's then. */
static void take_out(struct es_exec *exec)
{
	tdelete(exec, &exec->task->manager->exec_trace_ids, compare_trace_ids);
	TAILQ_REMOVE(&exec->task->execs, exec, link);
}

void es_exec_unregister(struct es_exec *exec)
{
	struct es_manager *m = exec->task->manager;

	pthread_mutex_lock(&m->lock);
	take_out(exec);
	pthread_mutex_unlock(&m->lock);
	es_exec_free(exec);
}

struct es_exec *es_exec_find(struct es_task *task, const char *id)
{
	struct es_exec *exec;

	pthread_mutex_lock(&task->manager->lock);
	exec = find(task, id);
	if (exec)
		exec->refs++;
	pthread_mutex_unlock(&task->manager->lock);
	return exec;
}

struct es_exec *es_exec_find_trace_id(struct es_manager *m, uint64_t trace_id)
{
	struct es_exec **node, *exec;

	pthread_mutex_lock(&m->lock);
	node = tfind(&trace_id, &m->exec_trace_ids, compare_trace_ids);
	exec = node ? *node : NULL;
	if (exec)
		exec->refs++;
	pthread_mutex_unlock(&m->lock);
	return exec;
}

void es_exec_set_running(struct es_exec *exec)
{
	struct es_task *task = exec->task;

	pthread_mutex_lock(&task->manager->lock);
	exec->status = ES_TASK_RUNNING;
	task->running_execs++;
	task->untold_execs++;
	pthread_mutex_unlock(&task->manager->lock);
}

/* Also a reboot must not make it unknown again. Best effort: the kernel's record stays. */
static void save_exit(struct es_exec *exec, const struct es_exit *exit)
{
	CLEANUP(cleanup_es_json_free) struct es_json *json = NULL;
	int r;

	r = es_json_new(&json);
	if (r == 0)
		r = es_exit_record_write(exec->dir, json, exit);
	if (r < 0)
		es_log(ES_LOG_DEBUG, "cannot save the exit of exec %s of %s/%s: %s", exec->id,
		       exec->task->namespace_, exec->task->id, strerrordesc_np(-r));
}

/* Call with save_lock held. */
static bool note_exit(struct es_exec *exec)
{
	struct es_manager *m = exec->task->manager;
	struct es_exit exit;
	bool known, running;

	pthread_mutex_lock(&m->lock);
	known = exec->exit_known;
	running = exec->status == ES_TASK_RUNNING;
	pthread_mutex_unlock(&m->lock);
	if (known || !running || es_monitor_exit(m->monitor, exec->trace_id, &exit) < 0)
		return known;
	save_exit(exec, &exit);
	pthread_mutex_lock(&m->lock);
	exec->exit = exit;
	exec->exit_known = true;
	exec->task->running_execs--;
	pthread_mutex_unlock(&m->lock);
	return true;
}

bool es_exec_note_exit(struct es_exec *exec)
{
	bool known;

	pthread_mutex_lock(&exec->save_lock);
	known = note_exit(exec);
	pthread_mutex_unlock(&exec->save_lock);
	return known;
}

void es_exec_note_exit_of(struct es_manager *m, uint64_t trace_id)
{
	struct es_exec *exec = es_exec_find_trace_id(m, trace_id);

	if (exec)
		es_exec_note_exit(exec);
	es_exec_free(exec);
}

void es_exec_set_told(struct es_exec *exec)
{
	struct es_task *task = exec->task;
	bool wake;

	pthread_mutex_lock(&task->manager->lock);
	if (!exec->told && exec->exit_known)
		task->untold_execs--;
	exec->told = true;
	wake = task->held && task->untold_execs == 0;
	pthread_mutex_unlock(&task->manager->lock);
	if (wake)
		es_context_wake(task->manager);
}

/* The first exec of the list with its reference, taken out; NULL: none is left. */
static struct es_exec *take_first(struct es_task *task, bool deleted)
{
	struct es_exec *exec;

	pthread_mutex_lock(&task->manager->lock);
	exec = TAILQ_FIRST(&task->execs);
	if (exec)
		take_out(exec);
	if (exec && deleted)
		exec->status = ES_TASK_DELETED;
	pthread_mutex_unlock(&task->manager->lock);
	return exec;
}

void es_exec_forget_all(struct es_task *task)
{
	struct es_exec *exec;

	while ((exec = take_first(task, true))) {
		es_monitor_forget(task->manager->monitor, exec->trace_id);
		es_exec_free(exec);
	}
}

void es_exec_release_all(struct es_task *task)
{
	struct es_exec *exec;

	while ((exec = take_first(task, false)))
		es_exec_free(exec);
}

int es_exec_remove_files(const struct es_exec *exec)
{
	cleanup_free char *parent = strdup(exec->dir);
	cleanup_fd int fd = -EBADF;

	if (!parent)
		return -ENOMEM;
	*strrchr(parent, '/') = '\0';
	fd = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : es_neg_errno();
	return es_tree_remove(fd, strrchr(exec->dir, '/') + 1);
}
