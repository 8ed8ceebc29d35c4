/* SPDX-License-Identifier: Apache-2.0 */
/* Sizes and offsets that programs have been compiled with: a change here breaks them. */
#include <embedshim/embedshim.h>

#include <stdio.h>

#define SIZE(type, size) _Static_assert(sizeof(struct type) == (size), "size of " #type)
#define OFFSET(type, member, offset)                                                               \
	_Static_assert(offsetof(struct type, member) == (offset), "offset of " #type "." #member)

/* Written and read by both sides: these never change. */
SIZE(es_error, 512);
OFFSET(es_error, message, 8);
SIZE(es_exit, 144);
OFFSET(es_exit, cgroup_id, 64);
OFFSET(es_exit, pid, 72);
OFFSET(es_exit, status, 76);
OFFSET(es_exit, code, 80);
OFFSET(es_exit, signal, 84);
OFFSET(es_exit, source, 88);
OFFSET(es_exit, flags, 92);
OFFSET(es_exit, comm, 96);
OFFSET(es_exit, reserved, 112);
SIZE(es_task_state, 40);
OFFSET(es_task_state, pid, 8);
OFFSET(es_task_state, status, 12);
OFFSET(es_task_state, flags, 16);

/* Options carry their size and may grow at the end: what is there now stays where it is. */
#if UINTPTR_MAX == UINT64_MAX
SIZE(es_bundle_opts, 40);
SIZE(es_idalloc_opts, 40);
SIZE(es_manager_opts, 80);
OFFSET(es_manager_opts, capacity, 48);
OFFSET(es_manager_opts, error, 64);
OFFSET(es_manager_opts, io_helper, 72);
SIZE(es_monitor_opts, 40);
SIZE(es_checkpoint_opts, 56);
SIZE(es_event, 168);
SIZE(es_exec_opts, 64);
OFFSET(es_exec_opts, io_uid, 56);
SIZE(es_exec_state, 32);
SIZE(es_task_opts, 112);
OFFSET(es_task_opts, stdout_path, 56);
OFFSET(es_task_opts, flags, 72);
OFFSET(es_task_opts, error, 96);
OFFSET(es_task_opts, io_uid, 104);
#endif

int main(void)
{
	/* The compiler has done the work; what is left is the library that came with the headers.
	 */
	printf("abi: library %s, headers %d.%d.%d\n", es_version(), ES_VERSION_MAJOR,
	       ES_VERSION_MINOR, ES_VERSION_PATCH);
	return 0;
}
