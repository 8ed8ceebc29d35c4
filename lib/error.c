/* SPDX-License-Identifier: Apache-2.0 */
/* Fills a caller's struct es_error. */
#include "error.h"

#include <stdarg.h>
#include <string.h>

/* One line of valid UTF-8: what a runtime printed may hold anything. */
static void sanitize(char *text)
{
	size_t n = strlen(text);

	for (char *p = text; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = ' ';
	while (n > 0 && text[n - 1] == ' ')
		text[--n] = '\0';
}

/* A cut may have split a multi-byte character: drop its first bytes. */
static void trim_split_character(char *text, size_t n)
{
	size_t start = n, need;
	unsigned char lead;

	while (start > 0 && n - start < 3 && ((unsigned char)text[start - 1] & 0xc0) == 0x80)
		start--;
	if (start == 0)
		return;
	lead = (unsigned char)text[start - 1];
	need = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
	if (n - (start - 1) < need)
		text[start - 1] = '\0';
}

static void store(char *dst, size_t size, const char *text)
{
	size_t n = strlen(text);

	if (n >= size)
		n = size - 1;
	memcpy(dst, text, n);
	dst[n] = '\0';
	if (text[n])
		trim_split_character(dst, n);
	sanitize(dst);
}

int es_error_set(struct es_error *error, int code, const char *fmt, ...)
{
	char text[1024];
	va_list args;

	if (!error)
		return code;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	error->code = code;
	error->runtime_exit = -1;
	store(error->message, sizeof(error->message), text);
	return code;
}

int es_error_set_errno(struct es_error *error, int code, const char *fmt, ...)
{
	char reason[128], text[1024];
	va_list args;
	int n;

	if (!error)
		return code;
	va_start(args, fmt);
	n = vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (n >= 0 && (size_t)n < sizeof(text))
		snprintf(text + n, sizeof(text) - (size_t)n, ": %s",
			 strerror_r(-code, reason, sizeof(reason)));
	error->code = code;
	error->runtime_exit = -1;
	store(error->message, sizeof(error->message), text);
	return code;
}

void es_error_prefix(struct es_error *error, const char *fmt, ...)
{
	char text[1024 + sizeof(error->message)];
	va_list args;
	int n;

	if (!error)
		return;
	va_start(args, fmt);
	n = vsnprintf(text, 1024, fmt, args);
	va_end(args);
	if (n < 0)
		return;
	if (n > 1023)
		n = 1023;
	snprintf(text + n, sizeof(text) - (size_t)n, ": %s", error->message);
	store(error->message, sizeof(error->message), text);
}
