/* SPDX-License-Identifier: Apache-2.0 */
/* The log an OCI runtime writes with --log-format json. */
#include "runc_log.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "json.h"

#define TAIL_MAX (64 * 1024)

off_t es_runc_log_end(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? st.st_size : 0;
}

/* What was written since offset, but no more than the end of it. */
static int read_tail(const char *path, off_t offset, char **ret, size_t *ret_size)
{
	cleanup_free char *text = NULL;
	cleanup_fd int fd = -EBADF;
	struct stat st;
	ssize_t n;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 || fstat(fd, &st) < 0)
		return es_neg_errno();
	/* A runtime that truncates its log has written all of it now. */
	if (!S_ISREG(st.st_mode) || st.st_size < offset)
		offset = 0;
	if (st.st_size - offset > TAIL_MAX)
		offset = st.st_size - TAIL_MAX;
	text = malloc(TAIL_MAX + 1);
	if (!text)
		return -ENOMEM;
	n = pread(fd, text, TAIL_MAX, offset);
	if (n < 0)
		return es_neg_errno();
	text[n] = '\0';
	*ret_size = (size_t)n;
	*ret = TAKE_PTR(text);
	return 0;
}

static int is_error_level(const char *level)
{
	return strcmp(level, "error") == 0 || strcmp(level, "fatal") == 0 ||
	       strcmp(level, "panic") == 0;
}

/* The message of one line if it is an error; -ENOENT otherwise. -EBADMSG: not JSON. */
static int parse_line(struct es_json *json, const char *line, size_t size, char **ret)
{
	cleanup_free char *level = NULL;
	int r;

	r = es_json_load(json, line, size);
	if (r < 0)
		return r;
	r = es_json_get_string(json, "$.level", &level);
	if (r < 0)
		return r == -ENOMEM ? r : -ENOENT;
	if (!is_error_level(level))
		return -ENOENT;
	r = es_json_get_string(json, "$.msg", ret);
	return r == -ENOMEM ? r : r < 0 ? -ENOENT : 0;
}

int es_runc_log_last_error(const char *path, off_t offset, char **ret)
{
	CLEANUP(cleanup_es_json_free) struct es_json *json = NULL;
	cleanup_free char *text = NULL, *message = NULL, *plain = NULL;
	bool any_json = false;
	size_t size;
	int r;

	if (read_tail(path, offset, &text, &size) < 0)
		return -ENOENT;
	r = es_json_new(&json);
	if (r < 0)
		return -ENOMEM;
	for (char *line = text, *end; line < text + size; line = end + 1) {
		char *found = NULL;

		end = memchr(line, '\n', (size_t)(text + size - line));
		if (!end)
			end = text + size;
		r = parse_line(json, line, (size_t)(end - line), &found);
		if (r == -ENOMEM)
			return r;
		any_json |= r != -EBADMSG;
		if (r == 0) {
			free(message);
			message = found;
		} else if (r == -EBADMSG && end > line) {
			free(plain);
			plain = strndup(line, (size_t)(end - line));
		}
	}
	*ret = message ? TAKE_PTR(message) : any_json ? NULL : TAKE_PTR(plain);
	return *ret ? 0 : -ENOENT;
}

int es_runc_message_is_not_found(const char *message)
{
	/* runc 1.1 and later: "container does not exist". crun: "error opening file
	   `ROOT/ID/status`: No such file or directory" from start, "cannot open directory
	   'ROOT/ID': No such file or directory" from delete. */
	return strstr(message, "does not exist") != NULL ||
	       (strstr(message, "No such file or directory") != NULL &&
		(strstr(message, "/status") || strstr(message, "cannot open directory")));
}
