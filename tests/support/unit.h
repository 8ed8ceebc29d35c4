/* SPDX-License-Identifier: Apache-2.0 */
/* Frame of a unit test: needs neither root nor a runtime unless a test says so. */
#ifndef ES_TEST_UNIT_H
#define ES_TEST_UNIT_H

#include "support.h"

#define UNIT_SUITE(name, ...)                                                                      \
	int main(void)                                                                             \
	{                                                                                          \
		const TTest *const tests[] = { __VA_ARGS__ };                                      \
                                                                                                   \
		return run_suite(name, tests, sizeof(tests) / sizeof(tests[0]), 120);              \
	}

/* A scratch directory of the test program, removed by scratch_clear(). */
const char *scratch_dir(void);
void scratch_clear(void);
/* A path in it; a static buffer for each of the last 8 calls. */
const char *scratch(const char *name);

/* Go on in a mount namespace of its own; false: not possible (no root), and the reason is printed.
 */
bool private_mounts_possible(void);

#endif
