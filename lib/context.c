/* SPDX-License-Identifier: Apache-2.0 */
/* What a manager and its tasks share: services, the registry of tasks, lifetimes. */
#include "context.h"

#include <search.h>
#include <string.h>

#include "log.h"

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
	pthread_mutex_destroy(&m->lock);
	free(m->runtime);
	free(m->runtime_root);
	free(m);
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
	free(task);
	es_context_put(m);
}

bool es_task_note_exit(struct es_task *task)
{
	struct es_manager *m = task->manager;
	struct es_exit exit;
	bool known;

	pthread_mutex_lock(&m->lock);
	known = task->exit_known;
	pthread_mutex_unlock(&m->lock);
	if (known || es_monitor_exit(m->monitor, task->record.trace_id, &exit) < 0)
		return known;
	pthread_mutex_lock(&m->lock);
	if (!task->exit_known) {
		task->exit = exit;
		task->exit_known = true;
		task->refs++;
		TAILQ_INSERT_TAIL(&m->unsaved, task, unsaved_link);
	}
	pthread_mutex_unlock(&m->lock);
	return true;
}

static int write_exit(struct es_task *task)
{
	CLEANUP(cleanup_es_json_free) struct es_json *json = NULL;
	int r;

	r = es_json_new(&json);
	return r < 0 ? r : es_task_exit_write(task->bundle, json, &task->exit);
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

bool es_registry_has_trace_id(struct es_manager *m, uint64_t trace_id)
{
	bool found;

	pthread_mutex_lock(&m->lock);
	found = find_trace_id(m, trace_id) != NULL;
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
