/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the helper needs of a C library, and no more: linked with a whole one it would cost every
 * interactive container half a megabyte. Declared by the system's headers.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static int error_number;

int *__errno_location(void)
{
	return &error_number;
}

static long call(long number, const long a[6])
{
#if defined(__x86_64__)
	register long r10 __asm__("r10") = a[3];
	register long r8 __asm__("r8") = a[4];
	register long r9 __asm__("r9") = a[5];
	long r;

	__asm__ volatile("syscall"
			 : "=a"(r)
			 : "0"(number), "D"(a[0]), "S"(a[1]), "d"(a[2]), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
#elif defined(__aarch64__)
	register long x8 __asm__("x8") = number;
	register long x0 __asm__("x0") = a[0];
	register long x1 __asm__("x1") = a[1];
	register long x2 __asm__("x2") = a[2];
	register long x3 __asm__("x3") = a[3];
	register long x4 __asm__("x4") = a[4];
	register long x5 __asm__("x5") = a[5];
	long r;

	__asm__ volatile("svc 0"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
			 : "memory");
	r = x0;
#else
#error "raw system calls of this architecture are missing"
#endif
	if (r >= -4095 && r < 0) {
		errno = (int)-r;
		return -1;
	}
	return r;
}

#define CALL(name, ...) call(SYS_##name, (const long[6]){ __VA_ARGS__ })

long syscall(long number, ...)
{
	long a[6];
	va_list list;

	va_start(list, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(list, long);
	va_end(list);
	return call(number, a);
}

ssize_t read(int fd, void *data, size_t size)
{
	return CALL(read, fd, (long)data, (long)size);
}

ssize_t write(int fd, const void *data, size_t size)
{
	return CALL(write, fd, (long)data, (long)size);
}

int close(int fd)
{
	return (int)CALL(close, fd);
}

int epoll_create1(int flags)
{
	return (int)CALL(epoll_create1, flags);
}

int epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event)
{
	return (int)CALL(epoll_ctl, epoll, operation, fd, (long)event);
}

int epoll_wait(int epoll, struct epoll_event *events, int size, int timeout_ms)
{
	return (int)CALL(epoll_pwait, epoll, (long)events, size, timeout_ms, 0, _NSIG / 8);
}

ssize_t recvmsg(int socket, struct msghdr *message, int flags)
{
	return CALL(recvmsg, socket, (long)message, flags);
}

ssize_t sendmsg(int socket, const struct msghdr *message, int flags)
{
	return CALL(sendmsg, socket, (long)message, flags);
}

int accept4(int socket, struct sockaddr *address, socklen_t *size, int flags)
{
	return (int)CALL(accept4, socket, (long)address, (long)size, flags);
}

int fcntl(int fd, int command, ...)
{
	va_list list;
	long argument;

	va_start(list, command);
	argument = va_arg(list, long);
	va_end(list);
	return (int)CALL(fcntl, fd, command, argument);
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list list;
	long argument;

	va_start(list, request);
	argument = va_arg(list, long);
	va_end(list);
	return (int)CALL(ioctl, fd, (long)request, argument);
}

int prctl(int option, ...)
{
	va_list list;
	long a[4];

	va_start(list, option);
	for (int i = 0; i < 4; i++)
		a[i] = va_arg(list, long);
	va_end(list);
	return (int)CALL(prctl, option, a[0], a[1], a[2], a[3]);
}

void *memcpy(void *restrict to, const void *restrict from, size_t size)
{
	char *t = to;
	const char *f = from;

	for (size_t i = 0; i < size; i++)
		t[i] = f[i];
	return to;
}

void *memset(void *to, int value, size_t size)
{
	char *t = to;

	for (size_t i = 0; i < size; i++)
		t[i] = (char)value;
	return to;
}

int strcmp(const char *a, const char *b)
{
	for (; *a && *a == *b; a++, b++)
		;
	return (unsigned char)*a - (unsigned char)*b;
}

int main(int argc, char **argv);
void start(long *stack) __attribute__((used, noreturn));

/* The kernel's stack: argc, argv, NULL, the environment. */
void start(long *stack)
{
	CALL(exit_group, main((int)stack[0], (char **)(stack + 1)));
	__builtin_unreachable();
}

#if defined(__x86_64__)
__asm__(".globl _start\n_start:\txor %ebp, %ebp\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall "
	"start\n");
#elif defined(__aarch64__)
__asm__(".globl _start\n_start:\tmov x29, #0\n\tmov x0, sp\n\tbl start\n");
#endif
