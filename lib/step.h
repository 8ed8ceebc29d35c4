/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Named points between the side effects of create, start, delete and reload, so that a test can
 * end the process at each of them.
 */
#ifndef ES_STEP_H
#define ES_STEP_H

#include "util.h"

/* Called at every step when set. Only tests set it; it is not exported. */
ES_HIDDEN extern void (*es_step_hook)(const char *name);

/* Name: "<operation>.<what has just been done>", unique in the source. */
static inline void es_step(const char *name)
{
	if (__builtin_expect(es_step_hook != NULL, 0))
		es_step_hook(name);
}

#endif
