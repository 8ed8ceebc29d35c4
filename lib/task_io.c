/* SPDX-License-Identifier: Apache-2.0 */
/* Opens the standard streams of a task or an exec. */
#include "task_io.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "error.h"
#include "logger_uri.h"
#include "uri.h"

#define FILE_SCHEME "file://"
#define FIFO_SCHEME "fifo://"

static const char *const names[3] = { "stdin", "stdout", "stderr" };

/* One stream being opened. */
struct stream {
	const char *name;
	const char *path;
	struct es_error *error;
};

static int fail(const struct stream *s, int r)
{
	return es_error_set_errno(s->error, r, "%s: %s", s->name, s->path);
}

static int set_blocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0 ? es_neg_errno() : 0;
}

/*
 * A container may share the directory a stream lies in, and put something else in its place. So a
 * link there is not followed, what is there is known before it is opened (which may do something to
 * a device), and it is that which is opened. Returns a descriptor that names it.
 */
static int look(const struct stream *s, const char *path, struct stat *st)
{
	cleanup_fd int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0 || fstat(fd, st) < 0)
		return fail(s, es_neg_errno());
	return S_ISLNK(st->st_mode) ? es_error_set(s->error, -ELOOP,
						   "%s: %s is a symbolic link, which is not "
						   "followed",
						   s->name, s->path)
				    : TAKE_FD(fd);
}

/* What a descriptor names. */
static int open_again(const struct stream *s, int fd, int flags)
{
	char path[32];
	int r;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	r = open(path, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	return r < 0 ? fail(s, es_neg_errno()) : r;
}

static int look_for_fifo(const struct stream *s, const char *path)
{
	struct stat st;
	int fd = look(s, path, &st);

	if (fd < 0 || S_ISFIFO(st.st_mode))
		return fd;
	es_close(fd);
	return es_error_set(s->error, -EINVAL, "%s: %s is not a FIFO", s->name, s->path);
}

static const char *fifo_path(const char *path)
{
	return strncmp(path, FIFO_SCHEME, strlen(FIFO_SCHEME)) == 0 ? path + strlen(FIFO_SCHEME)
								    : path;
}

/* Read-write: neither this nor the container waits for a reader, or is told that one has gone. */
static int open_output_fifo(const struct stream *s)
{
	cleanup_fd int place = look_for_fifo(s, fifo_path(s->path));
	cleanup_fd int fd = place < 0 ? place : open_again(s, place, O_RDWR);
	int r;

	if (fd < 0)
		return fd;
	r = set_blocking(fd);
	return r < 0 ? fail(s, r) : TAKE_FD(fd);
}

/* Both ends: only when ours is closed, too, does the last writer's leaving end the input. */
int es_task_io_open_stdin(const char *path, int fds[2], struct es_error *error)
{
	const struct stream s = { .name = names[0], .path = path, .error = error };
	cleanup_fd int place = look_for_fifo(&s, fifo_path(path));

	if (place < 0)
		return place;
	fds[0] = open_again(&s, place, O_RDONLY);
	if (fds[0] < 0)
		return fds[0];
	fds[1] = open_again(&s, place, O_WRONLY);
	if (fds[1] < 0)
		es_close(fds[0]);
	return fds[1] < 0 ? fds[1] : 0;
}

static int check_stdin(const struct stream *s)
{
	int fd = look_for_fifo(s, fifo_path(s->path));

	es_close(fd);
	return fd < 0 ? fd : 0;
}

/* As mkdir -p, with the mode the umask leaves. */
static int make_parents(char *path)
{
	int r = 0;

	for (char *p = strchr(path + 1, '/'); r == 0 && p; p = strchr(p + 1, '/')) {
		*p = '\0';
		if (mkdir(path, 0755) < 0 && errno != EEXIST)
			r = es_neg_errno();
		*p = '/';
	}
	return r;
}

/* A device node elsewhere may be the container's, which may make one but not open it. */
static bool is_in_dev(const struct stat *st)
{
	struct stat dev;

	return (stat("/dev", &dev) == 0 && dev.st_dev == st->st_dev) ||
	       (stat("/dev/pts", &dev) == 0 && dev.st_dev == st->st_dev);
}

static int open_existing_file(const struct stream *s, const char *path)
{
	cleanup_fd int place = -EBADF;
	struct stat st;

	place = look(s, path, &st);
	if (place < 0)
		return place;
	if (!S_ISREG(st.st_mode) && !(S_ISCHR(st.st_mode) && is_in_dev(&st)))
		return es_error_set(s->error, -EINVAL, "%s: %s is not a regular file", s->name,
				    s->path);
	return open_again(s, place, O_WRONLY | O_APPEND);
}

static int open_file(const struct stream *s)
{
	/* O_EXCL: not what a link leads to. */
	const int flags = O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC;
	cleanup_free char *path = strdup(s->path + strlen(FILE_SCHEME));
	cleanup_fd int fd = -EBADF;

	if (!path)
		return -ENOMEM;
	if (path[0] != '/' || strpbrk(path, "?#") || !es_uri_decode(path, false))
		return es_error_set(s->error, -EINVAL, "%s: %s is not a file URI with a path",
				    s->name, s->path);
	fd = open(path, flags, 0644);
	if (fd < 0 && errno == ENOENT && make_parents(path) == 0)
		fd = open(path, flags, 0644);
	if (fd >= 0)
		return TAKE_FD(fd);
	if (errno != EEXIST)
		return fail(s, es_neg_errno());
	fd = open_existing_file(s, path);
	if (fd < 0)
		return fd;
	if (set_blocking(fd) < 0)
		return fail(s, es_neg_errno());
	return TAKE_FD(fd);
}

int es_stream_kind(const char *path)
{
	if (!path || !*path)
		return ES_STREAM_NULL;
	if (path[0] == '/' || fifo_path(path) != path)
		return ES_STREAM_FIFO;
	if (strncmp(path, FILE_SCHEME, strlen(FILE_SCHEME)) == 0)
		return ES_STREAM_FILE;
	if (es_logger_uri_is(path))
		return ES_STREAM_LOGGER;
	return strstr(path, "://") ? -ENOTSUP : -EINVAL;
}

static int check_logger(const struct stream *s)
{
	struct es_logger_uri uri;
	int r;

	r = es_logger_uri_parse(s->path, &uri);
	es_logger_uri_clear(&uri);
	if (r == -EINVAL)
		return es_error_set(s->error, r, "%s: %s is not a logger's URI with a path",
				    s->name, s->path);
	return r;
}

static int open_output(const struct stream *s, int kind)
{
	switch (kind) {
	case ES_STREAM_FIFO:
		return open_output_fifo(s);
	case ES_STREAM_FILE:
		return open_file(s);
	case ES_STREAM_LOGGER:
		return check_logger(s);
	default:
		return -EBADF;
	}
}

static int duplicate(int fd)
{
	int r = fcntl(fd, F_DUPFD_CLOEXEC, 3);

	return r < 0 ? es_neg_errno() : r;
}

static int open_stream(struct es_task_io *io, int i, const struct stream *s, const char *first)
{
	int kind = es_stream_kind(s->path), r;

	if (kind == -ENOTSUP || (i == 0 && kind > ES_STREAM_FIFO))
		return es_error_set(s->error, -ENOTSUP, "%s: %s: this scheme is not supported",
				    s->name, s->path);
	if (kind < 0)
		return es_error_set(s->error, kind, "%s: %s is neither an absolute path nor a URI",
				    s->name, s->path);
	io->kind[i] = (enum es_stream_kind)kind;
	if (kind == ES_STREAM_NULL)
		return 0;
	if (i == 0)
		return check_stdin(s);
	/* One description, so that the lines keep their order. */
	if (i == 2 && first && strcmp(first, s->path) == 0 && io->fd[1] >= 0)
		r = duplicate(io->fd[1]);
	else
		r = open_output(s, kind);
	if (kind != ES_STREAM_LOGGER)
		io->fd[i] = r;
	return r < 0 ? r : 0;
}

int es_task_io_open(struct es_task_io *io, const char *const paths[3], struct es_error *error)
{
	*io = ES_TASK_IO_NULL;
	for (int i = 0; i < 3; i++) {
		struct stream s = { .name = names[i], .path = paths[i], .error = error };
		int r = open_stream(io, i, &s, paths[1]);

		if (r < 0) {
			es_task_io_close(io);
			return r;
		}
	}
	return 0;
}

void es_task_io_close(struct es_task_io *io)
{
	for (int i = 0; i < 3; i++)
		es_close(TAKE_FD(io->fd[i]));
}
