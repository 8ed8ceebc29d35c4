/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many containers in one event loop: no thread, no process and no blocked call for any of them.
 *
 *	epoll_loop DIR BUNDLE COUNT
 */
#include <embedshim/embedshim.h>

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>

static struct es_error error;

static int start_one(struct es_manager *manager, const char *bundle, int number)
{
	struct es_task_opts opts = { .size = sizeof(opts), .bundle_dir = bundle, .error = &error };
	struct es_task *task;
	char id[32];
	int r;

	snprintf(id, sizeof(id), "loop-%d", number);
	r = es_task_create(manager, "default", id, &opts, &task);
	if (r < 0)
		return r;
	r = es_task_start(task, &error);
	es_task_free(task);
	return r;
}

/* Everything that is ready: the descriptor stays readable until next_event has said 0. */
static int collect(struct es_manager *manager)
{
	struct es_event event;
	int n = 0;

	for (; es_manager_next_event(manager, &event) > 0; es_event_clear(&event)) {
		if (event.type != ES_EVENT_EXIT)
			continue;
		printf("%s: code %d\n", es_task_id(event.task), event.exit.code);
		if (es_task_delete(event.task, NULL, &error) < 0)
			fprintf(stderr, "%s\n", error.message);
		n++;
	}
	return n;
}

int main(int argc, char **argv)
{
	char root[PATH_MAX], state[PATH_MAX];
	struct es_manager_opts opts = { .size = sizeof(opts), .error = &error };
	struct epoll_event event = { .events = EPOLLIN };
	struct es_manager *manager;
	int epoll_fd, running = 0, failed;

	if (argc != 4) {
		fprintf(stderr, "usage: %s DIR BUNDLE COUNT\n", argv[0]);
		return 2;
	}
	snprintf(root, sizeof(root), "%s/root", argv[1]);
	snprintf(state, sizeof(state), "%s/state", argv[1]);
	opts.root_dir = root;
	opts.state_dir = state;
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (es_manager_open(&opts, &manager) < 0 ||
	    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, es_manager_fd(manager), &event) < 0) {
		fprintf(stderr, "%s\n", error.message);
		return 1;
	}
	while (running < atoi(argv[3]) && start_one(manager, argv[2], running) == 0)
		running++;
	failed = running < atoi(argv[3]);
	if (failed)
		fprintf(stderr, "%s\n", error.message);
	while (running > 0 && epoll_wait(epoll_fd, &event, 1, -1) > 0)
		running -= collect(manager);
	es_manager_close(manager);
	return failed;
}
