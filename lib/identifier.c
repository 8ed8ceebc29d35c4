/* SPDX-License-Identifier: Apache-2.0 */
/* The rule for task IDs and namespaces: containerd's pkg/identifiers. */
#include <embedshim/base.h>

#include <stdbool.h>
#include <string.h>

#include "util.h"

/* Not isalnum(3): that one follows the locale. */
static bool is_alphanumeric(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

int es_identifier_check(const char *id)
{
	bool separator_allowed = false;

	if (!id || !*id)
		return -EINVAL;
	if (strnlen(id, ES_ID_MAX + 1) > ES_ID_MAX)
		return -ENAMETOOLONG;
	for (const char *p = id; *p; p++) {
		if (is_alphanumeric(*p)) {
			separator_allowed = true;
		} else if (separator_allowed && (*p == '.' || *p == '_' || *p == '-')) {
			separator_allowed = false;
		} else {
			return -EINVAL;
		}
	}
	return separator_allowed ? 0 : -EINVAL;
}
