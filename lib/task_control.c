/* SPDX-License-Identifier: Apache-2.0 */
/* The container as a whole: pause, resume, update, its processes. */
#include <embedshim/task.h>

#include <signal.h>
#include <string.h>

#include "container_cgroup.h"
#include "error.h"
#include "json.h"
#include "step.h"
#include "task_change.h"

static void set_pausing(struct es_task *task)
{
	pthread_mutex_lock(&task->manager->lock);
	task->status = ES_TASK_PAUSING;
	pthread_mutex_unlock(&task->manager->lock);
}

int es_task_pause(struct es_task *task, struct es_error *error)
{
	char log[ES_TASK_LOG_PATH_MAX];
	struct es_runc runc;
	int r;

	r = es_task_change_begin(task, ES_TASK_EVENT_PAUSE, "pause", error);
	if (r < 0)
		return r;
	set_pausing(task);
	es_task_runtime(task, log, &runc);
	r = es_runc_pause(&runc, error);
	es_step("pause.runtime");
	/* One that was killed in the middle may have frozen it all the same. */
	if (r == -ETIMEDOUT && es_container_cgroup_is_frozen(task->cgroups))
		es_task_change_end(task, ES_TASK_PAUSED);
	else
		es_task_change_end(task, r == 0 ? ES_TASK_PAUSED : ES_TASK_RUNNING);
	return r;
}

int es_task_resume(struct es_task *task, struct es_error *error)
{
	char log[ES_TASK_LOG_PATH_MAX];
	struct es_runc runc;
	int r;

	r = es_task_change_begin(task, ES_TASK_EVENT_RESUME, "resume", error);
	if (r < 0)
		return r;
	es_task_runtime(task, log, &runc);
	r = es_runc_resume(&runc, error);
	es_step("resume.runtime");
	if (r == -ETIMEDOUT && !es_container_cgroup_is_frozen(task->cgroups))
		es_task_change_end(task, ES_TASK_RUNNING);
	else
		es_task_change_end(task, r == 0 ? ES_TASK_RUNNING : ES_TASK_PAUSED);
	return r;
}

/* The runtime would take anything and change nothing. */
static int check_resources(const char *resources, size_t size, struct es_error *error)
{
	CLEANUP(cleanup_es_json_free) struct es_json *json = NULL;
	int r;

	r = es_json_new(&json);
	if (r == 0)
		r = es_json_load(json, resources, size);
	if (r == -EBADMSG || (r == 0 && !es_json_is_object(json)))
		return es_error_set(error, -EINVAL, "resources are not a JSON object");
	return r;
}

int es_task_update(struct es_task *task, const char *resources, size_t size, struct es_error *error)
{
	char log[ES_TASK_LOG_PATH_MAX];
	struct es_runc runc;
	int r, status;

	if (!task || !resources)
		return -EINVAL;
	if (size == 0)
		size = strlen(resources);
	r = check_resources(resources, size, error);
	if (r < 0)
		return r;
	status = es_task_change_begin(task, ES_TASK_EVENT_UPDATE, "update", error);
	if (status < 0)
		return status;
	es_task_runtime(task, log, &runc);
	r = es_runc_update(&runc, resources, size, error);
	es_step("update.runtime");
	es_task_change_end(task, (uint32_t)status);
	return r;
}

int es_task_pids(struct es_task *task, int32_t **ret)
{
	if (!task || !ret)
		return -EINVAL;
	if (task->manager->owner != getpid())
		return -ECHILD;
	return es_container_cgroup_pids(task->cgroups, ret);
}

int es_task_kill_all(struct es_task *task, int signal)
{
	int r;

	if (!task || signal < 1 || signal > SIGRTMAX)
		return -EINVAL;
	if (task->manager->owner != getpid())
		return -ECHILD;
	if (signal == SIGKILL)
		es_container_cgroup_thaw_v1(task->cgroups);
	r = es_container_cgroup_signal(task->cgroups, signal);
	return r;
}
