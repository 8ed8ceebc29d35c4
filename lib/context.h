/* SPDX-License-Identifier: Apache-2.0 */
/* What a manager and its tasks share: services, the registry of tasks, lifetimes. */
#ifndef ES_CONTEXT_H
#define ES_CONTEXT_H

#include <embedshim/idalloc.h>
#include <embedshim/manager.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/queue.h>

#include "bundle_store.h"
#include "monitor_watch.h"
#include "reaper.h"
#include "task_record.h"

struct es_rollback;
TAILQ_HEAD(es_rollback_list, es_rollback);
TAILQ_HEAD(es_task_list, es_task);
TAILQ_HEAD(es_exec_list, es_exec);

struct es_manager {
	pid_t owner;
	struct es_monitor *monitor;
	struct es_bundle_store *store;
	struct es_idalloc *ids;
	char boot_id[40];
	char *runtime;
	char *runtime_root;
	char *io_helper;
	uint32_t timeout_ms;
	struct es_reaper *reaper; /* of the processes that serve streams */
	int epoll_fd;		  /* the monitor's, plus what rollbacks wait for */
	int timer_fd;		  /* nearest deadline of a rollback */
	int close_fd;		  /* eventfd: readable once the manager is closed */
	int ready_fd; /* eventfd: readable while es_manager_next_event() should look again */

	pthread_mutex_t lock; /* protects what follows and the marked members of every task */
	unsigned int refs;    /* the caller's handle, and every task */
	unsigned int calls;   /* public calls in progress that use the services */
	bool closed;
	void *tasks;		     /* tsearch(3) tree by namespace and ID */
	void *trace_ids;	     /* the same tasks by trace ID */
	void *exec_trace_ids;	     /* execs by trace ID; their tasks hold them */
	pthread_cond_t changed;	     /* a task is busy no more, or the manager is closed */
	struct es_task_list held;    /* exits that wait for those of execs; counted */
	struct es_task_list unsaved; /* noted exits that are not in their bundle yet; counted */
	struct es_rollback_list rollbacks; /* waiting for es_rollback_drive() */
	unsigned int rollbacks_running;	   /* taken off the list by a thread that drives them */
};

struct es_task {
	struct es_manager *manager; /* counted reference */
	char namespace_[ES_ID_MAX + 1];
	char id[ES_ID_MAX + 1];
	struct es_bundle *bundle;
	struct es_task_record record;
	struct es_process_record init;
	char *cgroups;	    /* text of /proc/<init>/cgroup; NULL: not known */
	uint64_t cgroup_id; /* whose OOM kills are counted; 0: none */

	pthread_mutex_t save_lock; /* held while exit.json is written */

	/* Protected by the manager's lock. */
	unsigned int refs;   /* handles, and the registry */
	uint32_t status;     /* enum es_task_status without STOPPED; 0: being made or cleaned up */
	bool listed;	     /* get and list show it; a create that has not returned is not shown */
	uint32_t flags;	     /* enum es_task_state_flags */
	bool busy;	     /* a call is changing it */
	bool start_in_doubt; /* a start was interrupted: the process tells whether it came through
			      */
	struct es_exec_list execs;   /* counted */
	unsigned int starting_execs; /* in a runtime command */
	unsigned int running_execs;  /* started, exit not known */
	unsigned int untold_execs;   /* started, exit not handed out as an event */
	uint64_t gone_since_ns;	     /* init has exited: when we saw it; 0: it has not */
	bool held;		     /* on the manager's list */
	TAILQ_ENTRY(es_task) held_link;
	bool exit_known; /* init has exited, and no exec runs any more */
	bool exit_saved; /* exit.json is written, or must not be any more */
	TAILQ_ENTRY(es_task) unsaved_link;
	struct es_exit exit;
};

/*
 * Begin a public call: 0, -EINVAL (NULL), -ECHILD or -ESHUTDOWN. Between enter and leave the
 * services exist even if another thread closes the manager.
 */
ES_HIDDEN int es_context_enter(struct es_manager *manager);
ES_HIDDEN void es_context_leave(struct es_manager *manager);

/* Release the services. The last leave after a close does it, or the close itself. */
ES_HIDDEN void es_context_teardown(struct es_manager *manager);
ES_HIDDEN void es_context_put(struct es_manager *manager);

/* A task with status 0 and one reference for the caller. NULL: out of memory. */
ES_HIDDEN struct es_task *es_task_alloc(struct es_manager *manager, const char *namespace_,
					const char *id);
ES_HIDDEN void es_task_ref(struct es_task *task);

/* Registry: its entries hold a reference. -EEXIST when the name is taken, -ENOMEM. */
ES_HIDDEN int es_registry_add(struct es_task *task);
/* Make it findable by its trace ID, which is set now. Nothing else changes. 0, -ENOMEM. */
ES_HIDDEN int es_registry_add_trace_id(struct es_task *task);
ES_HIDDEN void es_registry_remove(struct es_task *task);
/* A new reference, or NULL: by name what is listed, by trace ID what has a status. */
ES_HIDDEN struct es_task *es_registry_find(struct es_manager *manager, const char *namespace_,
					   const char *id);
ES_HIDDEN struct es_task *es_registry_find_trace_id(struct es_manager *manager, uint64_t trace_id);
/* Whether any task, also one with status 0, or any exec has this trace ID. */
ES_HIDDEN bool es_registry_has_trace_id(struct es_manager *manager, uint64_t trace_id);
/* New references to the listed tasks of a namespace (NULL: all), in the order of their names and
   ended by NULL, in a malloc()ed array. Their number, or -ENOMEM. */
ES_HIDDEN int es_registry_list(struct es_manager *manager, const char *namespace_,
			       struct es_task ***ret);

/*
 * Take the exit into the task if the monitor knows it. Whether it is known: init's is the last of
 * its container, so execs that run hold it back. The first call that sees init gone ends what is
 * left of a container without a PID namespace of its own.
 */
ES_HIDDEN bool es_task_note_exit(struct es_task *task);
/* Take the text of its cgroups, and count the OOM kills there from now on. */
ES_HIDDEN void es_task_set_cgroups(struct es_task *task, char *text);
ES_HIDDEN void es_task_stop_counting_oom(struct es_task *task);
/* Whether there were OOM kills that were not handed out; they are now. */
ES_HIDDEN bool es_task_take_oom(struct es_task *task);
/* Write the exits noted since the last time to their bundles, best effort. */
ES_HIDDEN void es_task_save_exits(struct es_manager *manager);
/* After this es_task_save_exits() does not write to the bundle, also not in another thread. */
ES_HIDDEN void es_task_forbid_save(struct es_task *task);

/* The manager's descriptor becomes readable: es_manager_next_event() has to look again. */
ES_HIDDEN void es_context_wake(struct es_manager *manager);
/* Its timer fires at that time on CLOCK_MONOTONIC, or earlier. Call with the lock held. */
ES_HIDDEN void es_context_arm_timer(struct es_manager *manager, uint64_t at_ns);

#endif
