/* SPDX-License-Identifier: Apache-2.0 */
/* What a manager and its tasks share: services, the registry of tasks, lifetimes. */
#include "context.h"

#include <search.h>
#include <signal.h>
#include <string.h>
#include <sys/timerfd.h>

#include "clock.h"
#include "container_cgroup.h"
#include "log.h"
#include "step.h"

int es_context_enter(struct es_manager *m)
{
	int r = 0;

	if (!m)
		return -EINVAL;
	if (m->owner != getpid())
		return -ECHILD;
	pthread_mutex_lock(&m->lock);
	if (m->closed)
		r = -ESHUTDOWN;
	else
		m->calls++;
	pthread_mutex_unlock(&m->lock);
	return r;
}

void es_context_leave(struct es_manager *m)
{
	bool last;

	pthread_mutex_lock(&m->lock);
	last = --m->calls == 0 && m->closed;
	pthread_mutex_unlock(&m->lock);
	if (last)
		es_context_teardown(m);
}

void es_context_put(struct es_manager *m)
{
	bool last;

	pthread_mutex_lock(&m->lock);
	last = --m->refs == 0;
	pthread_mutex_unlock(&m->lock);
	if (!last)
		return;
	pthread_cond_destroy(&m->changed);
	pthread_mutex_destroy(&m->lock);
	free(m->runtime);
	free(m->runtime_root);
	free(m->io_helper);
	free(m);
}

void es_context_wake(struct es_manager *m)
{
	uint64_t one = 1;
	ssize_t n;

	n = write(m->ready_fd, &one, sizeof(one));
	(void)n; /* EAGAIN: it is readable */
}

void es_context_arm_timer(struct es_manager *m, uint64_t at_ns)
{
	struct itimerspec t = { .it_value.tv_sec = (time_t)(at_ns / NSEC_PER_SEC),
				.it_value.tv_nsec = (long)(at_ns % NSEC_PER_SEC) };
	struct itimerspec now;

	timerfd_gettime(m->timer_fd, &now);
	if (now.it_value.tv_sec || now.it_value.tv_nsec) {
		uint64_t left = (uint64_t)now.it_value.tv_sec * NSEC_PER_SEC +
				(uint64_t)now.it_value.tv_nsec;

		if (left + es_clock_ns(CLOCK_MONOTONIC) <= at_ns)
			return;
	}
	if (at_ns == 0)
		t.it_value.tv_nsec = 1;
	timerfd_settime(m->timer_fd, TFD_TIMER_ABSTIME, &t, NULL);
}

/* Tasks */

struct es_task *es_task_alloc(struct es_manager *m, const char *namespace_, const char *id)
{
	struct es_task *task = calloc(1, sizeof(*task));

	if (!task)
		return NULL;
	snprintf(task->namespace_, sizeof(task->namespace_), "%s", namespace_);
	snprintf(task->id, sizeof(task->id), "%s", id);
	task->refs = 1;
	task->manager = m;
	TAILQ_INIT(&task->execs);
	pthread_mutex_init(&task->save_lock, NULL);
	pthread_mutex_lock(&m->lock);
	m->refs++;
	pthread_mutex_unlock(&m->lock);
	return task;
}

void es_task_ref(struct es_task *task)
{
	pthread_mutex_lock(&task->manager->lock);
	task->refs++;
	pthread_mutex_unlock(&task->manager->lock);
}

void es_task_free(struct es_task *task)
{
	struct es_manager *m;
	bool last;

	if (!task)
		return;
	m = task->manager;
	pthread_mutex_lock(&m->lock);
	last = --task->refs == 0;
	pthread_mutex_unlock(&m->lock);
	if (!last)
		return;
	pthread_mutex_destroy(&task->save_lock);
	es_bundle_free(task->bundle);
	es_task_record_clear(&task->record);
	free(task->cgroups);
	free(task);
	es_context_put(m);
}

/* An exec whose runtime command is under way may hold init's exit back, but not for long: that
   command can be wedged. */
#define STARTING_EXECS_WAIT_NS (1 * NSEC_PER_SEC)

/* Call with the lock held. */
static bool execs_are_over(struct es_task *task)
{
	uint64_t give_up = task->gone_since_ns + STARTING_EXECS_WAIT_NS;

	if (task->running_execs > 0)
		return false;
	if (task->starting_execs == 0 || es_clock_ns(CLOCK_MONOTONIC) >= give_up)
		return true;
	es_context_arm_timer(task->manager, give_up);
	return false;
}

/* Whether init has exited; then task->exit is filled. */
static bool init_is_gone(struct es_task *task)
{
	struct es_manager *m = task->manager;
	struct es_exit exit;
	bool gone;

	pthread_mutex_lock(&m->lock);
	gone = task->gone_since_ns != 0;
	pthread_mutex_unlock(&m->lock);
	if (gone)
		return true;
	if (es_monitor_exit(m->monitor, task->record.trace_id, &exit) < 0)
		return false;
	if (task->record.flags & ES_TASK_SHARES_PIDNS)
		es_container_cgroup_signal(task->cgroups, SIGKILL);
	pthread_mutex_lock(&m->lock);
	if (!task->gone_since_ns) {
		task->exit = exit;
		task->gone_since_ns = es_clock_ns(CLOCK_MONOTONIC);
	}
	pthread_mutex_unlock(&m->lock);
	return true;
}

bool es_task_note_exit(struct es_task *task)
{
	struct es_manager *m = task->manager;
	bool known;

	if (!init_is_gone(task))
		return false;
	pthread_mutex_lock(&m->lock);
	if (!task->exit_known && execs_are_over(task)) {
		task->exit_known = true;
		task->refs++;
		TAILQ_INSERT_TAIL(&m->unsaved, task, unsaved_link);
		pthread_cond_broadcast(&m->changed);
	}
	known = task->exit_known;
	pthread_mutex_unlock(&m->lock);
	return known;
}

static struct es_oom_watch *oom_watch(const struct es_task *task)
{
	return es_exitsnoop_oom(es_monitor_exitsnoop(task->manager->monitor));
}

void es_task_set_cgroups(struct es_task *task, char *text)
{
	int r;

	task->cgroups = text;
	task->cgroup_id = es_container_cgroup_id(text);
	if (!task->cgroup_id)
		return;
	r = es_oom_watch_add(oom_watch(task), task->cgroup_id, task->record.trace_id);
	if (r < 0) {
		es_log(ES_LOG_WARNING, "task %s/%s: OOM kills in its cgroup will not be told: %s",
		       task->namespace_, task->id,
		       r == -EEXIST ? "it is that of another task" : strerrordesc_np(-r));
		task->cgroup_id = 0;
	}
}

void es_task_stop_counting_oom(struct es_task *task)
{
	if (task->cgroup_id)
		es_oom_watch_remove(oom_watch(task), task->cgroup_id);
}

bool es_task_take_oom(struct es_task *task)
{
	return task->cgroup_id && es_oom_watch_take(oom_watch(task), task->cgroup_id);
}

static int write_exit(struct es_task *task)
{
	CLEANUP(cleanup_es_json_free) struct es_json *json = NULL;
	int r;

	r = es_json_new(&json);
	return r < 0 ? r : es_exit_record_write(es_bundle_dir(task->bundle), json, &task->exit);
}

static void save_exit(struct es_task *task)
{
	struct es_manager *m = task->manager;
	bool save;
	int r = 0;

	pthread_mutex_lock(&task->save_lock);
	pthread_mutex_lock(&m->lock);
	save = !task->exit_saved && task->status;
	task->exit_saved |= save;
	pthread_mutex_unlock(&m->lock);
	if (save)
		r = write_exit(task);
	es_step("exit.saved");
	pthread_mutex_unlock(&task->save_lock);
	if (r < 0)
		es_log(ES_LOG_DEBUG, "cannot save the exit of %s/%s: %s", task->namespace_,
		       task->id, strerrordesc_np(-r));
}

void es_task_save_exits(struct es_manager *m)
{
	struct es_task *task;

	for (;;) {
		pthread_mutex_lock(&m->lock);
		task = TAILQ_FIRST(&m->unsaved);
		if (task)
			TAILQ_REMOVE(&m->unsaved, task, unsaved_link);
		pthread_mutex_unlock(&m->lock);
		if (!task)
			return;
		save_exit(task);
		es_task_free(task);
	}
}

void es_task_forbid_save(struct es_task *task)
{
	pthread_mutex_lock(&task->save_lock);
	pthread_mutex_lock(&task->manager->lock);
	task->exit_saved = true;
	pthread_mutex_unlock(&task->manager->lock);
	pthread_mutex_unlock(&task->save_lock);
}

/* Registry */

static int compare_names(const void *a, const void *b)
{
	const struct es_task *x = a, *y = b;
	int r = strcmp(x->namespace_, y->namespace_);

	return r ? r : strcmp(x->id, y->id);
}

static int compare_trace_ids(const void *a, const void *b)
{
	const struct es_task *x = a, *y = b;

	return (x->record.trace_id > y->record.trace_id) -
	       (x->record.trace_id < y->record.trace_id);
}

static int tree_add(void **root, struct es_task *task, int (*compare)(const void *, const void *))
{
	struct es_task **node = tsearch(task, root, compare);

	if (!node)
		return -ENOMEM;
	return *node == task ? 0 : -EEXIST;
}

int es_registry_add(struct es_task *task)
{
	struct es_manager *m = task->manager;
	int r;

	pthread_mutex_lock(&m->lock);
	r = tree_add(&m->tasks, task, compare_names);
	if (r == 0)
		task->refs++;
	pthread_mutex_unlock(&m->lock);
	return r;
}

int es_registry_add_trace_id(struct es_task *task)
{
	struct es_manager *m = task->manager;
	int r;

	pthread_mutex_lock(&m->lock);
	r = tree_add(&m->trace_ids, task, compare_trace_ids);
	pthread_mutex_unlock(&m->lock);
	return r;
}

void es_registry_remove(struct es_task *task)
{
	struct es_manager *m = task->manager;
	struct es_task **node;
	bool found;

	pthread_mutex_lock(&m->lock);
	node = tfind(task, &m->trace_ids, compare_trace_ids);
	if (node && *node == task)
		tdelete(task, &m->trace_ids, compare_trace_ids);
	node = tfind(task, &m->tasks, compare_names);
	found = node && *node == task;
	if (found)
		tdelete(task, &m->tasks, compare_names);
	pthread_mutex_unlock(&m->lock);
	if (found)
		es_task_free(task);
}

struct es_task *es_registry_find(struct es_manager *m, const char *namespace_, const char *id)
{
	struct es_task key, **node, *task = NULL;

	/* What is too long to fit is the name of no task. */
	if (strlen(namespace_) > ES_ID_MAX || strlen(id) > ES_ID_MAX)
		return NULL;
	strcpy(key.namespace_, namespace_);
	strcpy(key.id, id);
	pthread_mutex_lock(&m->lock);
	node = tfind(&key, &m->tasks, compare_names);
	if (node && (*node)->listed) {
		task = *node;
		task->refs++;
	}
	pthread_mutex_unlock(&m->lock);
	return task;
}

/* Call with the lock held. */
static struct es_task *find_trace_id(struct es_manager *m, uint64_t trace_id)
{
	struct es_task key, **node;

	key.record.trace_id = trace_id;
	node = tfind(&key, &m->trace_ids, compare_trace_ids);
	return node ? *node : NULL;
}

struct es_task *es_registry_find_trace_id(struct es_manager *m, uint64_t trace_id)
{
	struct es_task *task;

	pthread_mutex_lock(&m->lock);
	task = find_trace_id(m, trace_id);
	if (task && !task->status)
		task = NULL;
	if (task)
		task->refs++;
	pthread_mutex_unlock(&m->lock);
	return task;
}

/* Of execs, which begin with it. */
static int compare_exec_trace_ids(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

bool es_registry_has_trace_id(struct es_manager *m, uint64_t trace_id)
{
	bool found;

	pthread_mutex_lock(&m->lock);
	found = find_trace_id(m, trace_id) ||
		tfind(&trace_id, &m->exec_trace_ids, compare_exec_trace_ids);
	pthread_mutex_unlock(&m->lock);
	return found;
}

struct listing {
	const char *namespace_;
	struct es_task **tasks; /* NULL: only count */
	size_t n;
};

static void list_node(const void *node, VISIT which, void *closure)
{
	struct es_task *task = *(struct es_task *const *)node;
	struct listing *listing = closure;

	if ((which != postorder && which != leaf) || !task->listed ||
	    (listing->namespace_ && strcmp(listing->namespace_, task->namespace_) != 0))
		return;
	if (listing->tasks) {
		task->refs++;
		listing->tasks[listing->n] = task;
	}
	listing->n++;
}

int es_registry_list(struct es_manager *m, const char *namespace_, struct es_task ***ret)
{
	struct listing listing = { .namespace_ = namespace_ };

	pthread_mutex_lock(&m->lock);
	twalk_r(m->tasks, list_node, &listing);
	listing.tasks = calloc(listing.n + 1, sizeof(struct es_task *));
	if (listing.tasks) {
		listing.n = 0;
		twalk_r(m->tasks, list_node, &listing);
	}
	pthread_mutex_unlock(&m->lock);
	if (!listing.tasks)
		return -ENOMEM;
	*ret = listing.tasks;
	return (int)listing.n;
}
