/* SPDX-License-Identifier: Apache-2.0 */
/* The client's side of a container's streams: FIFOs, what comes out of them, checksums. */
#include "stream.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char *json_escape(const char *text)
{
	static __thread char buffer[4096];
	size_t n = 0;

	for (; *text && n + 3 < sizeof(buffer); buffer[n++] = *text++)
		if (*text == '"' || *text == '\\')
			buffer[n++] = '\\';
	buffer[n] = '\0';
	return buffer;
}

void env_busybox(const struct env *env)
{
	char command[PATH_MAX + 64];

	if (access("/usr/bin/busybox", X_OK) < 0) {
		printf("SKIPPED: busybox is not installed\n");
		exit(77);
	}
	snprintf(command, sizeof(command), "mkdir %s/bin && cp /usr/bin/busybox %s/bin/",
		 env->rootfs, env->rootfs);
	ck_assert_int_eq(system(command), 0);
}

struct es_manager *env_open_busybox(struct env *env)
{
	env_init(env);
	env_busybox(env);
	return env_open(env);
}

const char *make_fifo(const struct env *env, const char *name)
{
	static char paths[8][PATH_MAX];
	static unsigned int next;
	char *path = paths[next++ % 8];

	snprintf(path, PATH_MAX, "%s/%s", env->dir, name);
	unlink(path);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	return path;
}

uint64_t sum_add(uint64_t sum, const void *data, size_t size)
{
	const unsigned char *p = data;

	/* FNV-1a */
	for (size_t i = 0; i < size; i++)
		sum = (sum ^ p[i]) * 1099511628211ULL;
	return sum;
}

static void fill_pattern(unsigned char *buffer, size_t size, uint64_t *state)
{
	for (size_t i = 0; i < size; i++) {
		*state = *state * 6364136223846793005ULL + 1442695040888963407ULL;
		buffer[i] = (unsigned char)(*state >> 56);
	}
}

uint64_t pattern_sum(uint64_t bytes)
{
	unsigned char buffer[65536];
	uint64_t state = 1, sum = 0;

	while (bytes > 0) {
		size_t n = bytes < sizeof(buffer) ? (size_t)bytes : sizeof(buffer);

		fill_pattern(buffer, n, &state);
		sum = sum_add(sum, buffer, n);
		bytes -= n;
	}
	return sum;
}

void write_pattern(int fd, uint64_t bytes)
{
	unsigned char buffer[65536];
	uint64_t state = 1;

	while (bytes > 0) {
		size_t n = bytes < sizeof(buffer) ? (size_t)bytes : sizeof(buffer), done = 0;

		fill_pattern(buffer, n, &state);
		while (done < n) {
			ssize_t written = write(fd, buffer + done, n - done);

			ck_assert_int_gt(written, 0);
			done += (size_t)written;
		}
		bytes -= n;
	}
}

static void keep(struct reader *r, const char *data, size_t size)
{
	size_t room = sizeof(r->text) - 1, old = r->size;

	if (size > room) {
		data += size - room;
		size = room;
	}
	if (old + size > room)
		old = room - size;
	memmove(r->text, r->text + r->size - old, old);
	memcpy(r->text + old, data, size);
	r->size = old + size;
	r->text[r->size] = '\0';
}

static void *read_all(void *arg)
{
	struct reader *r = arg;
	char buffer[65536];
	ssize_t n;

	while ((n = read(r->fd, buffer, sizeof(buffer))) > 0) {
		/* A NUL would end the text. */
		pthread_mutex_lock(&r->lock);
		r->sum = sum_add(r->sum, buffer, (size_t)n);
		r->total += (uint64_t)n;
		keep(r, buffer, (size_t)n);
		pthread_mutex_unlock(&r->lock);
	}
	pthread_mutex_lock(&r->lock);
	r->ended = true;
	pthread_mutex_unlock(&r->lock);
	return NULL;
}

void reader_take(struct reader *r, int fd)
{
	ck_assert_int_ge(fd, 0);
	memset(r, 0, sizeof(*r));
	pthread_mutex_init(&r->lock, NULL);
	r->fd = fd;
}

void reader_open(struct reader *r, const char *path)
{
	/* Does not wait for a writer; once it is open, reads do. */
	reader_take(r, open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC));
}

static void start(struct reader *r)
{
	if (r->thread)
		return;
	fcntl(r->fd, F_SETFL, 0);
	ck_assert_int_eq(pthread_create(&r->thread, NULL, read_all, r), 0);
}

bool reader_wait_for(struct reader *r, const char *text)
{
	bool found = false;

	start(r);
	for (int i = 0; i < 4000 && !found; i++) {
		pthread_mutex_lock(&r->lock);
		found = strstr(r->text, text) != NULL;
		pthread_mutex_unlock(&r->lock);
		if (!found)
			sleep_ms(5);
	}
	if (!found)
		printf("did not come: %s; what came: %s\n", text, r->text);
	return found;
}

void reader_wait_end(struct reader *r)
{
	bool ended = false;

	start(r);
	for (int i = 0; i < 12000 && !ended; i++) {
		pthread_mutex_lock(&r->lock);
		ended = r->ended;
		pthread_mutex_unlock(&r->lock);
		if (!ended)
			sleep_ms(5);
	}
	ck_assert_msg(ended, "no end after %llu bytes", (unsigned long long)r->total);
	pthread_join(r->thread, NULL);
	close(r->fd);
}

void say(int fd, const char *text)
{
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}
