/* SPDX-License-Identifier: Apache-2.0 */
/* Error text, log callback, options, identifiers, step hook. */
#include <embedshim/base.h>
#include <string.h>

#include "error.h"
#include "log.h"
#include "opts.h"
#include "unit.h"

START_TEST(text_and_code)
{
	struct es_error e = { 0 };

	ck_assert_int_eq(es_error_set(&e, -EINVAL, "bad %s", "thing"), -EINVAL);
	ck_assert_int_eq(e.code, -EINVAL);
	ck_assert_int_eq(e.runtime_exit, -1);
	ck_assert_str_eq(e.message, "bad thing");
	ck_assert_int_eq(es_error_set_errno(&e, -ENOENT, "file %d", 1), -ENOENT);
	ck_assert_str_eq(e.message, "file 1: No such file or directory");
	es_error_prefix(&e, "task %s", "a");
	ck_assert_str_eq(e.message, "task a: file 1: No such file or directory");
	ck_assert_int_eq(es_error_set(NULL, -EIO, "nobody listens"), -EIO);
}
END_TEST

START_TEST(text_is_one_line_of_utf8)
{
	char text[2000];
	struct es_error e;

	es_error_set(&e, -EIO, "a\nb\tc\x7f\n\n");
	ck_assert_str_eq(e.message, "a b c");
	/* A two-byte character across the end is dropped as a whole. */
	memset(text, 'x', sizeof(text));
	memcpy(text + 502, "\xc3\xa4", 2);
	text[sizeof(text) - 1] = '\0';
	es_error_set(&e, -EIO, "%s", text);
	ck_assert_uint_eq(strlen(e.message), 502);
	memcpy(text + 501, "\xc3\xa4y", 3);
	es_error_set(&e, -EIO, "%s", text);
	ck_assert_uint_eq(strlen(e.message), 503);
}
END_TEST

static int lines, last_level;
static char last_line[64];

static void on_line(int level, const char *message, void *userdata)
{
	lines += *(int *)userdata;
	last_level = level;
	snprintf(last_line, sizeof(last_line), "%s", message);
	errno = EIO;
}

START_TEST(log_callback)
{
	int weight = 3;

	es_log(ES_LOG_ERROR, "silence by default");
	es_log_set(on_line, &weight);
	errno = EAGAIN;
	es_log(ES_LOG_WARNING, "line %d", 1);
	ck_assert_int_eq(errno, EAGAIN);
	ck_assert_int_eq(lines, 3);
	ck_assert_int_eq(last_level, ES_LOG_WARNING);
	ck_assert_str_eq(last_line, "line 1");
	es_log_set(NULL, NULL);
	es_log(ES_LOG_ERROR, "silence again");
	ck_assert_int_eq(lines, 3);
}
END_TEST

struct old_opts {
	size_t size;
	uint32_t a, b;
};

struct new_opts {
	size_t size;
	uint32_t a, b;
	uint64_t c;
};

START_TEST(options_of_other_sizes)
{
	struct old_opts old = { sizeof(old), 1, 2 };
	struct new_opts new = { sizeof(new), 3, 4, 0 }, out;

	ck_assert_int_eq(es_opts_copy(&out, sizeof(out), &old), 0);
	ck_assert(out.size == sizeof(out) && out.a == 1 && out.b == 2 && out.c == 0);
	ck_assert_int_eq(es_opts_copy(&old, sizeof(old), &new), 0);
	ck_assert(old.size == sizeof(old) && old.a == 3 && old.b == 4);
	new.c = 1;
	ck_assert_int_eq(es_opts_copy(&old, sizeof(old), &new), -E2BIG);
	new.size = 3;
	ck_assert_int_eq(es_opts_copy(&out, sizeof(out), &new), -EINVAL);
	ck_assert_int_eq(es_opts_copy(&out, sizeof(out), NULL), 0);
	ck_assert(out.size == sizeof(out) && out.a == 0 && out.c == 0);
}
END_TEST

START_TEST(identifiers)
{
	char longest[ES_ID_MAX + 2];

	ck_assert_int_eq(es_identifier_check("a"), 0);
	ck_assert_int_eq(es_identifier_check("k8s.io"), 0);
	ck_assert_int_eq(es_identifier_check("A-1_b.c"), 0);
	ck_assert_int_eq(es_identifier_check(NULL), -EINVAL);
	ck_assert_int_eq(es_identifier_check(""), -EINVAL);
	ck_assert_int_eq(es_identifier_check(".."), -EINVAL);
	ck_assert_int_eq(es_identifier_check("a/b"), -EINVAL);
	ck_assert_int_eq(es_identifier_check("a..b"), -EINVAL);
	ck_assert_int_eq(es_identifier_check("a."), -EINVAL);
	ck_assert_int_eq(es_identifier_check("_a"), -EINVAL);
	ck_assert_int_eq(es_identifier_check("a\xc3\xa4"), -EINVAL);
	memset(longest, 'x', sizeof(longest));
	longest[ES_ID_MAX] = '\0';
	ck_assert_int_eq(es_identifier_check(longest), 0);
	longest[ES_ID_MAX] = 'x';
	longest[ES_ID_MAX + 1] = '\0';
	ck_assert_int_eq(es_identifier_check(longest), -ENAMETOOLONG);
}
END_TEST

START_TEST(version)
{
	ck_assert_str_eq(es_version(), "0.1.0");
}
END_TEST

UNIT_SUITE("error", text_and_code, text_is_one_line_of_utf8, log_callback, options_of_other_sizes,
	   identifiers, version)
