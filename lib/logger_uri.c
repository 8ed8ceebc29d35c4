/* SPDX-License-Identifier: Apache-2.0 */
/* binary:// and binary-v2://: which program logs, and with which arguments. */
#include "logger_uri.h"

#include <string.h>

#include "uri.h"

#define SCHEME	  "binary://"
#define SCHEME_V2 "binary-v2://"

/* What follows the scheme, or NULL. */
static const char *skip_scheme(const char *uri)
{
	if (strncmp(uri, SCHEME, strlen(SCHEME)) == 0)
		return uri + strlen(SCHEME);
	if (strncmp(uri, SCHEME_V2, strlen(SCHEME_V2)) == 0)
		return uri + strlen(SCHEME_V2);
	return NULL;
}

bool es_logger_uri_is(const char *uri)
{
	return skip_scheme(uri) != NULL;
}

static bool has_key(char *const *argv, size_t n, const char *key)
{
	for (size_t i = 1; i < n; i += 2)
		if (strcmp(argv[i], key) == 0)
			return true;
	return false;
}

/* "key=value&key=value": the first value of each key, which may be missing. */
static int parse_query(char *query, char **argv)
{
	char *pair, *value;
	size_t n = 1;

	while ((pair = strsep(&query, "&"))) {
		value = strchr(pair, '=');
		if (value)
			*value++ = '\0';
		else
			value = pair + strlen(pair);
		if (!es_uri_decode(pair, true) || !es_uri_decode(value, true))
			return -EINVAL;
		if (!*pair || has_key(argv, n, pair))
			continue;
		argv[n++] = pair;
		argv[n++] = value;
	}
	return 0;
}

static int parse(struct es_logger_uri *uri)
{
	char *query;
	size_t n = 4;

	uri->text[strcspn(uri->text, "#")] = '\0';
	query = strchr(uri->text, '?');
	if (query)
		*query++ = '\0';
	if (uri->text[0] != '/' || !es_uri_decode(uri->text, false))
		return -EINVAL;
	for (const char *p = query; p && *p; p++)
		n += *p == '&' ? 2 : 0;
	uri->argv = calloc(n, sizeof(char *));
	if (!uri->argv)
		return -ENOMEM;
	uri->argv[0] = uri->text;
	return query ? parse_query(query, uri->argv) : 0;
}

int es_logger_uri_parse(const char *text, struct es_logger_uri *ret)
{
	const char *rest = skip_scheme(text);
	int r;

	*ret = (struct es_logger_uri){ 0 };
	if (!rest)
		return -EINVAL;
	ret->ready_byte = strncmp(text, SCHEME_V2, strlen(SCHEME_V2)) == 0;
	ret->text = strdup(rest);
	r = ret->text ? parse(ret) : -ENOMEM;
	if (r < 0)
		es_logger_uri_clear(ret);
	return r;
}

void es_logger_uri_clear(struct es_logger_uri *uri)
{
	free(uri->argv);
	free(uri->text);
	*uri = (struct es_logger_uri){ 0 };
}
