/* SPDX-License-Identifier: Apache-2.0 */
/* What one embedshim-io holds, and what can happen to it. */
#ifndef ES_HELPER_HELPER_H
#define ES_HELPER_HELPER_H

#include <stdbool.h>

#include "pump.h"

/* Descriptors are -1 when they are not there (any more). */
struct helper {
	bool terminal;
	int epoll;
	int in;	      /* standard input's FIFO */
	int keep;     /* its write end: a client that goes away does not end the input */
	int out;      /* of a terminal: where its output goes; otherwise the container's stdin */
	int control;  /* requests of the library */
	int lifeline; /* readable at its end: whoever was making the container has gone */
	int console;  /* where the runtime connects to hand over the master */
	int runtime;  /* that connection */
	int master;   /* of the terminal */
	int process;  /* pidfd of the container's process */

	bool input_given;  /* once: it may have ended since */
	bool input_closed; /* by request: no write end of ours is kept */
	bool hung_up;	   /* at present no process has the terminal open */
	bool exited;	   /* the process has */
	struct pump input, output;
};

enum helper_event { EVENT_DATA, EVENT_CONTROL, EVENT_LIFELINE, EVENT_CONSOLE, EVENT_PROCESS };

/* edge: only changes wake us, so that one that lasts (a hang-up, a full FIFO) does not. */
int helper_watch(const struct helper *h, int fd, enum helper_event event, bool edge);
/* Stop watching it, and close it. */
void helper_drop(const struct helper *h, int *fd);

/* control.c: serve one request. */
void control_serve(struct helper *h);

/* console.c: take what the runtime sends, if it has. */
void console_serve(struct helper *h);

#endif
