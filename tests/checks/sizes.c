/* SPDX-License-Identifier: Apache-2.0 */
/* Sizes and offsets that are part of the ABI on 64-bit machines. */
#include <embedshim/embedshim.h>

_Static_assert(sizeof(struct es_error) == 512, "struct es_error");
_Static_assert(sizeof(struct es_exit) == 144, "struct es_exit");
_Static_assert(sizeof(struct es_task_state) == 40, "struct es_task_state");
_Static_assert(sizeof(struct es_task_opts) == 88, "struct es_task_opts");
_Static_assert(sizeof(struct es_manager_opts) == 72, "struct es_manager_opts");
_Static_assert(sizeof(struct es_monitor_opts) == 40, "struct es_monitor_opts");
_Static_assert(sizeof(struct es_bundle_opts) == 40, "struct es_bundle_opts");
_Static_assert(sizeof(struct es_idalloc_opts) == 40, "struct es_idalloc_opts");
_Static_assert(offsetof(struct es_exit, status) == 76, "struct es_exit");

int main(void)
{
	return 0;
}
