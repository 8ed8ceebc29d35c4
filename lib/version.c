/* SPDX-License-Identifier: Apache-2.0 */
/* The version of the library. */
#include <embedshim/base.h>

#define STRINGIFY_(x) #x
#define STRINGIFY(x)  STRINGIFY_(x)

const char *es_version(void)
{
	return STRINGIFY(ES_VERSION_MAJOR) "." STRINGIFY(ES_VERSION_MINOR) "." STRINGIFY(
		ES_VERSION_PATCH);
}
