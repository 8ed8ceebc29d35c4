/* SPDX-License-Identifier: Apache-2.0 */
/* Standard streams that are given to the container directly. */
#include "task_io.h"

#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "error.h"

#define FILE_SCHEME "file://"

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

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* RFC 3986 percent-encoding, in place. false: malformed, or an encoded NUL. */
static bool decode_percent(char *s)
{
	char *out = s;

	for (; *s; s++) {
		int high, low;

		if (*s != '%') {
			*out++ = *s;
			continue;
		}
		high = hex_digit(s[1]);
		low = high < 0 ? -1 : hex_digit(s[2]);
		if (low < 0 || high * 16 + low == 0)
			return false;
		*out++ = (char)(high * 16 + low);
		s += 2;
	}
	*out = '\0';
	return true;
}

static int set_blocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0 ? es_neg_errno() : 0;
}

static int open_fifo(const struct stream *s)
{
	cleanup_fd int fd = -EBADF;
	struct stat st;

	/* Read-write: neither this nor the container waits for a reader. Checked first, because
	   opening a device may do something. */
	if (stat(s->path, &st) < 0)
		return fail(s, es_neg_errno());
	if (!S_ISFIFO(st.st_mode))
		return es_error_set(s->error, -EINVAL, "%s: %s is not a FIFO", s->name, s->path);
	fd = open(s->path, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 || fstat(fd, &st) < 0)
		return fail(s, es_neg_errno());
	if (!S_ISFIFO(st.st_mode))
		return es_error_set(s->error, -EINVAL, "%s: %s is not a FIFO", s->name, s->path);
	if (set_blocking(fd) < 0)
		return fail(s, es_neg_errno());
	return TAKE_FD(fd);
}

static int open_file(const struct stream *s)
{
	cleanup_free char *path = strdup(s->path + strlen(FILE_SCHEME));
	cleanup_fd int fd = -EBADF;
	struct stat st;

	if (!path)
		return -ENOMEM;
	if (path[0] != '/' || strpbrk(path, "?#") || !decode_percent(path))
		return es_error_set(s->error, -EINVAL, "%s: %s is not a file URI with a path",
				    s->name, s->path);
	/* O_NONBLOCK: a FIFO in its place must not make us wait for a reader. */
	fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0644);
	if (fd < 0 || fstat(fd, &st) < 0)
		return fail(s, es_neg_errno());
	if (!S_ISREG(st.st_mode) && !S_ISCHR(st.st_mode))
		return es_error_set(s->error, -EINVAL, "%s: %s is not a regular file", s->name,
				    s->path);
	if (set_blocking(fd) < 0)
		return fail(s, es_neg_errno());
	return TAKE_FD(fd);
}

static int open_stream(const struct stream *s)
{
	if (s->path[0] == '/')
		return open_fifo(s);
	if (strncmp(s->path, FILE_SCHEME, strlen(FILE_SCHEME)) == 0)
		return open_file(s);
	if (strstr(s->path, "://"))
		return es_error_set(s->error, -ENOTSUP, "%s: %s: this scheme is not supported",
				    s->name, s->path);
	return es_error_set(s->error, -EINVAL, "%s: %s is neither an absolute path nor a URI",
			    s->name, s->path);
}

static int duplicate(int fd)
{
	int r = fcntl(fd, F_DUPFD_CLOEXEC, 3);

	return r < 0 ? es_neg_errno() : r;
}

int es_task_io_open(struct es_task_io *io, const char *const paths[3], struct es_error *error)
{
	*io = ES_TASK_IO_NULL;
	for (int i = 0; i < 3; i++) {
		struct stream s = { .name = names[i], .path = paths[i], .error = error };
		int r;

		if (!s.path || !*s.path)
			continue;
		if (i == 0)
			r = es_error_set(error, -ENOTSUP,
					 "stdin: %s: a standard input is not supported by this "
					 "version",
					 s.path);
		else if (i == 2 && paths[1] && strcmp(paths[1], paths[2]) == 0)
			/* One description, so that the lines keep their order. */
			r = duplicate(io->fd[1]);
		else
			r = open_stream(&s);
		if (r < 0) {
			es_task_io_close(io);
			return r;
		}
		io->fd[i] = r;
	}
	return 0;
}

void es_task_io_close(struct es_task_io *io)
{
	for (int i = 0; i < 3; i++)
		es_close(TAKE_FD(io->fd[i]));
}
