/* SPDX-License-Identifier: Apache-2.0 */
/* The client's side of a container's streams: FIFOs, what comes out of them, checksums. */
#ifndef ES_TEST_STREAM_H
#define ES_TEST_STREAM_H

#include <pthread.h>
#include <stdint.h>

#include "support.h"

/* Put busybox into the root file system, as /bin/busybox; exit 77 with a reason if there is none.
 */
void env_busybox(const struct env *env);
/* Make an environment with it, and open a manager on that. */
struct es_manager *env_open_busybox(struct env *env);
/* Arguments of a box that runs a shell script. */
#define SH(script)                                                                                 \
	{                                                                                          \
		"/bin/busybox", "sh", "-c", script                                                 \
	}

/* Everything that a FIFO or a file gave until its end, or the last part of it. */
struct reader {
	int fd;
	pthread_t thread;
	pthread_mutex_t lock;
	char text[16384]; /* the last of it, ended by NUL */
	size_t size;
	uint64_t total;
	uint64_t sum; /* of all bytes, in order */
	bool ended;
};

/* Make a FIFO below the environment and return its path (static; eight are kept). */
const char *make_fifo(const struct env *env, const char *name);

/* Read a FIFO in a thread, until its end. */
void reader_open(struct reader *r, const char *path);
/* The same with what is open already; it is closed in the end. */
void reader_take(struct reader *r, int fd);
/* Until the text has come; false after 20 s. */
bool reader_wait_for(struct reader *r, const char *text);
/* Until the end has come, and close; fails the test after 60 s. */
void reader_wait_end(struct reader *r);

/* The checksum of readers. */
uint64_t sum_add(uint64_t sum, const void *data, size_t size);
/* A pattern of that many bytes, written to fd by a thread that then closes it; its sum. */
uint64_t pattern_sum(uint64_t bytes);
void write_pattern(int fd, uint64_t bytes);

/* Write the whole text. */
void say(int fd, const char *text);

#endif
