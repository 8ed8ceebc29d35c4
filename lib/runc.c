/* SPDX-License-Identifier: Apache-2.0 */
/* The OCI runtime's commands as functions, with the arguments containerd's shim gives them. */
#include "runc.h"

#include <sys/mman.h>

#include "error.h"

/* What create and restore have in common, and the container's streams. */
static void add_create_options(struct es_runc_command *c, const struct es_runc_create *create)
{
	es_runc_command_add(c, "--bundle");
	es_runc_command_add(c, c->runc->bundle);
	es_runc_command_add(c, "--pid-file");
	es_runc_command_add(c, create->pid_file);
	if (create->console_socket) {
		es_runc_command_add(c, "--console-socket");
		es_runc_command_add(c, create->console_socket);
	}
	if (create->no_pivot)
		es_runc_command_add(c, "--no-pivot");
	for (int i = 0; i < 3; i++)
		c->fd[i] = create->io->fd[i];
	c->mark_prog_fd = create->mark_prog_fd;
	c->trace_id = create->trace_id;
}

int es_runc_create(const struct es_runc *runc, const struct es_runc_create *create,
		   struct es_error *error)
{
	struct es_runc_command c;

	es_runc_command_init(&c, runc, "create");
	add_create_options(&c, create);
	if (create->no_new_keyring)
		es_runc_command_add(&c, "--no-new-keyring");
	es_runc_command_add(&c, runc->id);
	return es_runc_command_run(&c, error);
}

int es_runc_restore(const struct es_runc *runc, const struct es_runc_restore *restore,
		    struct es_error *error)
{
	struct es_runc_command c;

	es_runc_command_init(&c, runc, "restore");
	c.env = restore->env;
	es_runc_command_add(&c, "--image-path");
	es_runc_command_add(&c, restore->image_path);
	es_runc_command_add(&c, "--work-path");
	es_runc_command_add(&c, restore->work_path);
	es_runc_command_add(&c, "--detach");
	/* The restored process is nobody's child: its exit is learnt of as that of any other. */
	es_runc_command_add(&c, "--no-subreaper");
	add_create_options(&c, &restore->create);
	es_runc_command_add(&c, runc->id);
	return es_runc_command_run(&c, error);
}

int es_runc_exec(const struct es_runc *runc, const struct es_runc_exec *exec,
		 struct es_error *error)
{
	struct es_runc_command c;

	es_runc_command_init(&c, runc, "exec");
	es_runc_command_add(&c, "--process");
	es_runc_command_add(&c, exec->process_file);
	if (exec->console_socket) {
		es_runc_command_add(&c, "--console-socket");
		es_runc_command_add(&c, exec->console_socket);
	}
	es_runc_command_add(&c, "--detach");
	es_runc_command_add(&c, "--pid-file");
	es_runc_command_add(&c, exec->pid_file);
	es_runc_command_add(&c, runc->id);
	for (int i = 0; i < 3; i++)
		c.fd[i] = exec->io->fd[i];
	c.mark_prog_fd = exec->mark_prog_fd;
	c.trace_id = exec->trace_id;
	return es_runc_command_run(&c, error);
}

static int run_on_container(const struct es_runc *runc, const char *verb, struct es_error *error)
{
	CLEANUP(es_runc_command_clear) struct es_runc_command c;

	es_runc_command_init(&c, runc, verb);
	es_runc_command_add(&c, runc->id);
	return es_runc_command_run_plain(&c, error);
}

int es_runc_start(const struct es_runc *runc, struct es_error *error)
{
	return run_on_container(runc, "start", error);
}

int es_runc_pause(const struct es_runc *runc, struct es_error *error)
{
	return run_on_container(runc, "pause", error);
}

int es_runc_resume(const struct es_runc *runc, struct es_error *error)
{
	return run_on_container(runc, "resume", error);
}

/* A descriptor to read text from. */
static int text_fd(const char *text, size_t size)
{
	cleanup_fd int fd = memfd_create("embedshim", MFD_CLOEXEC);

	if (fd < 0)
		return es_neg_errno();
	for (size_t done = 0; done < size;) {
		ssize_t n = write(fd, text + done, size - done);

		if (n < 0)
			return es_neg_errno();
		done += (size_t)n;
	}
	if (lseek(fd, 0, SEEK_SET) < 0)
		return es_neg_errno();
	return TAKE_FD(fd);
}

int es_runc_update(const struct es_runc *runc, const char *resources, size_t size,
		   struct es_error *error)
{
	CLEANUP(es_runc_command_clear) struct es_runc_command c;
	cleanup_fd int fd = text_fd(resources, size);

	if (fd < 0)
		return es_error_set_errno(error, fd, "OCI runtime update");
	es_runc_command_init(&c, runc, "update");
	es_runc_command_add(&c, "--resources=-");
	es_runc_command_add(&c, runc->id);
	c.fd[0] = fd;
	return es_runc_command_run_plain(&c, error);
}

int es_runc_checkpoint(const struct es_runc *runc, const struct es_checkpoint_opts *checkpoint,
		       const char *work_path, const char *env, struct es_error *error)
{
	static const struct {
		uint32_t flag;
		const char *argument;
	} flags[] = {
		{ ES_CHECKPOINT_TCP, "--tcp-established" },
		{ ES_CHECKPOINT_UNIX_SOCKETS, "--ext-unix-sk" },
		{ ES_CHECKPOINT_SHELL_JOB, "--shell-job" },
		{ ES_CHECKPOINT_FILE_LOCKS, "--file-locks" },
	};
	CLEANUP(es_runc_command_clear) struct es_runc_command c;

	es_runc_command_init(&c, runc, "checkpoint");
	c.env = env;
	es_runc_command_add(&c, "--image-path");
	es_runc_command_add(&c, checkpoint->image_path);
	es_runc_command_add(&c, "--work-path");
	es_runc_command_add(&c, work_path);
	if (!(checkpoint->flags & ES_CHECKPOINT_EXIT))
		es_runc_command_add(&c, "--leave-running");
	for (size_t i = 0; i < ES_ARRAY_SIZE(flags); i++)
		if (checkpoint->flags & flags[i].flag)
			es_runc_command_add(&c, flags[i].argument);
	if (checkpoint->cgroups_mode) {
		es_runc_command_add(&c, "--manage-cgroups-mode");
		es_runc_command_add(&c, checkpoint->cgroups_mode);
	}
	for (const char *const *ns = checkpoint->empty_namespaces; ns && *ns; ns++) {
		es_runc_command_add(&c, "--empty-ns");
		es_runc_command_add(&c, *ns);
	}
	es_runc_command_add(&c, runc->id);
	return es_runc_command_run_plain(&c, error);
}

static void delete_command(struct es_runc_command *c, const struct es_runc *runc, bool force)
{
	es_runc_command_init(c, runc, "delete");
	if (force)
		es_runc_command_add(c, "--force");
	es_runc_command_add(c, runc->id);
}

int es_runc_delete(const struct es_runc *runc, bool force, struct es_error *error)
{
	CLEANUP(es_runc_command_clear) struct es_runc_command c;

	delete_command(&c, runc, force);
	return es_runc_command_run_plain(&c, error);
}

int es_runc_delete_begin(const struct es_runc *runc, struct es_runc_child *child,
			 struct es_error *error)
{
	struct es_runc_command c;
	int r;

	delete_command(&c, runc, true);
	r = es_runc_command_spawn(&c, &child->process, error);
	child->log_start = c.log_start;
	return r;
}

int es_runc_delete_end(const struct es_runc *runc, struct es_runc_child *child,
		       struct es_error *error)
{
	struct es_runc_command c;
	int r;

	if (!es_pidref_has_exited(&child->process))
		return -EAGAIN;
	delete_command(&c, runc, true);
	c.log_start = child->log_start;
	r = es_runc_command_collect(&c, &child->process, error);
	es_pidref_close(&child->process);
	return r;
}
