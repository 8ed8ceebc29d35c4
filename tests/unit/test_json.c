/* SPDX-License-Identifier: Apache-2.0 */
/* JSON in and out. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "unit.h"

static const char doc[] =
	"{\"s\":\"a\\u00e4\\n\",\"n\":-7,\"big\":9223372036854775807,\"bigger\":"
	"9223372036854775808,"
	"\"t\":true,\"f\":false,\"z\":null,\"a\":[1,[2,\"x\"]],\"o\":{\"k\":1.5}}";

START_TEST(read_values)
{
	struct es_json *j;
	int64_t n;
	size_t length;
	bool b;
	char *s;

	ck_assert_int_eq(es_json_new(&j), 0);
	ck_assert_int_eq(es_json_get_string(j, "$.s", &s), -ENOENT);
	ck_assert_int_eq(es_json_load(j, doc, strlen(doc)), 0);
	ck_assert_int_eq(es_json_get_string(j, "$.s", &s), 0);
	ck_assert_str_eq(s, "a\xc3\xa4\n");
	free(s);
	ck_assert_int_eq(es_json_get_int64(j, "$.n", &n), 0);
	ck_assert_int_eq(n, -7);
	ck_assert_int_eq(es_json_get_int64(j, "$.big", &n), 0);
	ck_assert(n == INT64_MAX);
	ck_assert_int_eq(es_json_get_int64(j, "$.bigger", &n), -EBADMSG);
	ck_assert_int_eq(es_json_get_int64(j, "$.o.k", &n), -EBADMSG);
	ck_assert_int_eq(es_json_get_bool(j, "$.t", &b), 0);
	ck_assert(b);
	ck_assert_int_eq(es_json_get_bool(j, "$.f", &b), 0);
	ck_assert(!b);
	ck_assert_int_eq(es_json_get_bool(j, "$.n", &b), -EBADMSG);
	ck_assert_int_eq(es_json_get_string(j, "$.z", &s), -ENOENT);
	ck_assert_int_eq(es_json_get_string(j, "$.missing", &s), -ENOENT);
	ck_assert_int_eq(es_json_get_string(j, "$.n", &s), -EBADMSG);
	ck_assert_int_eq(es_json_get_string(j, "$.a[1][1]", &s), 0);
	ck_assert_str_eq(s, "x");
	free(s);
	ck_assert_int_eq(es_json_get_length(j, "$.a", &length), 0);
	ck_assert_uint_eq(length, 2);
	ck_assert_int_eq(es_json_get_length(j, "$.o", &length), -EBADMSG);
	es_json_free(j);
}
END_TEST

START_TEST(refuse_what_is_not_json)
{
	static const struct {
		const char *text;
		size_t size;
	} bad[] = {
		{ "", 0 },
		{ "{", 1 },
		{ "{}x", 3 },
		{ "{\"a\":1,}", 8 },
		{ "{\"a\":\"\xff\"}", 9 },
		{ "{\"a\":\"\xc0\x80\"}", 10 },
		{ "{\"a\":\"\xed\xa0\x80\"}", 11 },
		{ "{\"a\":1}\0", 8 },
		{ "nul", 3 },
	};
	struct es_json *j;
	char *s;

	ck_assert_int_eq(es_json_new(&j), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ck_assert_int_eq(es_json_load(j, "{\"a\":\"old\"}", 11), 0);
		ck_assert_msg(es_json_load(j, bad[i].text, bad[i].size) == -EBADMSG, "%zu", i);
		/* Nothing of the document before is left. */
		ck_assert_int_eq(es_json_get_string(j, "$.a", &s), -ENOENT);
	}
	ck_assert_int_eq(es_json_load(j, "{\"a\":\"x\\u0000y\"}", 16), 0);
	ck_assert_int_eq(es_json_get_string(j, "$.a", &s), 0);
	ck_assert_str_eq(s, "x");
	free(s);
	es_json_free(j);
}
END_TEST

START_TEST(round_trip)
{
	static const char hostile[] = "quote \" backslash \\ tab \t bell \a \xf0\x9f\x90\xb3";
	const struct es_json_member members[] = {
		{ "s", ES_JSON_STRING, hostile, 0 },
		{ "none", ES_JSON_STRING, NULL, 0 },
		{ "n", ES_JSON_INT64, NULL, INT64_MIN },
		{ "b", ES_JSON_BOOL, NULL, 1 },
	};
	const struct es_json_member bad = { "s", ES_JSON_STRING, "\xff", 0 };
	struct es_json *j;
	char *text, *s;
	int64_t n;
	bool b;

	ck_assert_int_eq(es_json_new(&j), 0);
	ck_assert_int_eq(es_json_object(j, members, 4, &text), 0);
	ck_assert_int_eq(es_json_load(j, text, strlen(text)), 0);
	free(text);
	ck_assert_int_eq(es_json_get_string(j, "$.s", &s), 0);
	ck_assert_str_eq(s, hostile);
	free(s);
	ck_assert_int_eq(es_json_get_string(j, "$.none", &s), -ENOENT);
	ck_assert_int_eq(es_json_get_int64(j, "$.n", &n), 0);
	ck_assert(n == INT64_MIN);
	ck_assert_int_eq(es_json_get_bool(j, "$.b", &b), 0);
	ck_assert(b);
	ck_assert_int_eq(es_json_object(j, &bad, 1, &text), -EINVAL);
	es_json_free(j);
}
END_TEST

/* Whatever the bytes are: an answer, no crash. */
START_TEST(damaged_documents)
{
	char copy[sizeof(doc)];
	struct es_json *j;
	char *s;

	srand(3);
	ck_assert_int_eq(es_json_new(&j), 0);
	for (size_t n = 0; n < sizeof(doc); n++)
		es_json_load(j, doc, n);
	for (int i = 0; i < 20000; i++) {
		memcpy(copy, doc, sizeof(doc));
		for (int k = rand() % 4; k >= 0; k--)
			copy[(size_t)rand() % (sizeof(doc) - 1)] ^= (char)(1 << rand() % 8);
		if (es_json_load(j, copy, strlen(copy)) == 0 &&
		    es_json_get_string(j, "$.s", &s) == 0)
			free(s);
	}
	es_json_free(j);
}
END_TEST

START_TEST(large_and_deep)
{
	size_t size = 1 << 20;
	char *text = malloc(size);
	struct es_json *j;

	ck_assert_int_eq(es_json_new(&j), 0);
	memset(text, 'x', size);
	text[0] = '"';
	text[size - 1] = '"';
	ck_assert_int_eq(es_json_load(j, text, size), 0);
	memset(text, '[', size);
	ck_assert_int_eq(es_json_load(j, text, size), -EBADMSG);
	es_json_free(j);
	free(text);
}
END_TEST

UNIT_SUITE("json", read_values, refuse_what_is_not_json, round_trip, damaged_documents,
	   large_and_deep)
