// SPDX-License-Identifier: Apache-2.0
// The first process of a pod: holds its namespaces and reaps what is orphaned in them, until it is
// told to end. Linked statically, it is the whole image.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static void end(int signal)
{
	(void)signal;
	_exit(0);
}

static void reap(int signal)
{
	(void)signal;
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
}

int main(void)
{
	struct sigaction ending = { .sa_handler = end }, reaping = { .sa_handler = reap };

	reaping.sa_flags = SA_NOCLDSTOP;
	if (sigaction(SIGTERM, &ending, NULL) < 0 || sigaction(SIGINT, &ending, NULL) < 0 ||
	    sigaction(SIGCHLD, &reaping, NULL) < 0)
		return 1;
	for (;;)
		pause();
}
