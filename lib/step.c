/* SPDX-License-Identifier: Apache-2.0 */
/* Storage of the hook that tests hang into the steps of an operation. */
#include "step.h"

void (*es_step_hook)(const char *name);
