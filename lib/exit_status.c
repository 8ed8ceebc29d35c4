/* SPDX-License-Identifier: Apache-2.0 */
/* The only decoder of wait statuses. */
#include "exit_status.h"

#include <sys/wait.h>

#include "clock.h"

/* containerd's rule for a process that was killed, as a shell's. */
#define SIGNAL_CODE_BASE 128

void es_exit_set_status(struct es_exit *exit, int wait_status)
{
	exit->status = wait_status;
	exit->flags &= ~(uint32_t)ES_EXIT_CORE;
	if (WIFSIGNALED(wait_status)) {
		exit->signal = WTERMSIG(wait_status);
		exit->code = SIGNAL_CODE_BASE + exit->signal;
		if (WCOREDUMP(wait_status))
			exit->flags |= ES_EXIT_CORE;
	} else {
		exit->signal = 0;
		exit->code = WEXITSTATUS(wait_status);
	}
}

void es_exit_set_lost(struct es_exit *exit)
{
	exit->source = ES_EXIT_LOST;
	exit->status = -1;
	exit->code = -1;
	exit->signal = 0;
	exit->flags = 0;
	exit->exited_boot_ns = 0;
	exit->exited_real_ns = 0;
}

void es_exit_set_real_times(struct es_exit *exit)
{
	uint64_t offset = es_clock_ns(CLOCK_REALTIME) - es_clock_ns(CLOCK_BOOTTIME);

	if (exit->started_boot_ns)
		exit->started_real_ns = exit->started_boot_ns + offset;
	if (exit->exited_boot_ns)
		exit->exited_real_ns = exit->exited_boot_ns + offset;
}

const char *es_exit_source_name(uint32_t source)
{
	switch (source) {
	case ES_EXIT_BPF:
		return "bpf";
	case ES_EXIT_WAIT:
		return "wait";
	case ES_EXIT_LOST:
		return "lost";
	default:
		return "unknown";
	}
}
