/* SPDX-License-Identifier: Apache-2.0 */
/* Gives up every privilege and every system call that the helper does not need. */
#include "confine.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#error "the name of this architecture for seccomp is missing"
#endif

#define LOAD(member)                                                                               \
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned int)offsetof(struct seccomp_data, member))
#define UNLESS(value, skip) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned int)(value), 0, skip)
#define RETURN(action)	    BPF_STMT(BPF_RET | BPF_K, action)
#define ALLOW(name)	    UNLESS(SYS_##name, 1), RETURN(SECCOMP_RET_ALLOW)

static const struct sock_filter filter[] = {
	LOAD(arch),
	UNLESS(ARCHITECTURE, 1),
	LOAD(nr),
	/* Of another architecture: the number means nothing, and none below is as large. */
	ALLOW(read),
	ALLOW(write),
	ALLOW(splice),
	ALLOW(epoll_pwait),
	ALLOW(epoll_ctl),
	ALLOW(recvmsg),
	ALLOW(sendmsg),
	ALLOW(accept4),
	ALLOW(fcntl),
	ALLOW(close),
	ALLOW(restart_syscall),
	ALLOW(exit_group),
	/* Only to set a window's size, and to ask whether something is a terminal's master. */
	UNLESS(SYS_ioctl, 5),
	LOAD(args[1]),
	UNLESS(TIOCSWINSZ, 1),
	RETURN(SECCOMP_RET_ALLOW),
	UNLESS(TIOCGPTN, 1),
	RETURN(SECCOMP_RET_ALLOW),
	RETURN(SECCOMP_RET_KILL_PROCESS),
};

static int drop_capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2] = { 0 };

	/* Best effort, while there is the capability for it: without execve it changes nothing. */
	for (unsigned long cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	syscall(SYS_setgroups, 0, NULL);
	return syscall(SYS_capset, &header, none) < 0 ? -errno : 0;
}

int confine(void)
{
	struct sock_fprog program = { .len = sizeof(filter) / sizeof(filter[0]),
				      .filter = (struct sock_filter *)(void *)filter };
	int r;

	r = drop_capabilities();
	if (r < 0)
		return r;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
#if !defined(ES_HELPER_SANITIZED) /* whose run-time library calls what it likes */
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) < 0)
		return -errno;
#else
	(void)program;
#endif
	return 0;
}
