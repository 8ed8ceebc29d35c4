// SPDX-License-Identifier: Apache-2.0

package embed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/containerd/cgroups/v3"
	"github.com/containerd/cgroups/v3/cgroup2"
	apievents "github.com/containerd/containerd/api/events"
	"github.com/containerd/containerd/api/types"
	runcoptions "github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/runtime"
	"github.com/containerd/containerd/v2/pkg/archive"
	"github.com/containerd/containerd/v2/pkg/archive/compression"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	embedshim "github.com/embedshim/embedshim/go-binding"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// optionsFile is where containerd's shim keeps the options of a container.
const optionsFile = "options.json"

// rootfsDiff is what CRI puts beside a checkpoint: the container's changes to its root file system.
const rootfsDiff = "rootfs-diff.tar"

// creation is a Create under way.
type creation struct {
	*container
	opts     runtime.CreateOpts
	resolved options
	spec     []byte // text of config.json
	oci      specs.Spec
	bundle   *embedshim.Bundle
}

// Create makes a container. When it fails, or the client has given up meanwhile, nothing of it is left.
func (r *Runtime) Create(ctx context.Context, id string, opts runtime.CreateOpts) (runtime.Task, error) {
	namespace, err := namespaces.NamespaceRequired(ctx)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{namespace, id} {
		if err := embedshim.CheckIdentifier(name); err != nil {
			return nil, fmt.Errorf("identifier %q: %w", name, err)
		}
	}
	c := &creation{container: newContainer(r, namespace, id), opts: opts}
	c.hear()
	if !r.add(c.container) {
		r.queues.drop(key(namespace, id), c.queue)
		return nil, fmt.Errorf("task %s: %w", id, errdefs.ErrAlreadyExists)
	}
	defer close(c.made)
	if err := c.create(ctx); err != nil {
		r.remove(c.container)
		return nil, err
	}
	return &Task{c.container}, nil
}

func (c *creation) create(ctx context.Context) error {
	var err error

	if c.resolved, err = resolveOptions(c.runtime.defaults, c.opts.RuntimeOptions, c.opts.TaskOptions); err != nil {
		return err
	}
	c.ioUid, c.ioGid = c.resolved.IoUid, c.resolved.IoGid
	if err := c.readSpec(ctx); err != nil {
		return err
	}
	if err := c.runtime.activateMounts(ctx, c.id, &c.opts); err != nil {
		return err
	}
	task, err := c.createTask()
	if err == nil && ctx.Err() != nil {
		err = c.undo(task, ctx.Err())
	}
	if err != nil {
		c.runtime.deactivateMounts(c.container)
		return err
	}
	c.enableControllers(task)
	c.setTask(task)
	state, _ := task.State()
	c.announce(c.init, c.event(state.Pid))
	if c.opts.RestoreFromPath {
		return c.restore(ctx)
	}
	return nil
}

// readSpec takes config.json and refuses what the OCI runtime would ignore silently.
func (c *creation) readSpec(ctx context.Context) error {
	if c.opts.Spec == nil || c.opts.Spec.GetValue() == nil {
		return fmt.Errorf("container %s has no OCI specification: %w", c.id, errdefs.ErrInvalidArgument)
	}
	c.spec = c.opts.Spec.GetValue()
	if err := json.Unmarshal(c.spec, &c.oci); err != nil {
		return fmt.Errorf("OCI specification of %s: %w: %w", c.id, err, errdefs.ErrInvalidArgument)
	}
	if c.oci.Process != nil && c.oci.Process.Terminal != c.opts.IO.Terminal {
		return fmt.Errorf("terminal is %t in the request and %t in the OCI specification: %w",
			c.opts.IO.Terminal, c.oci.Process.Terminal, errdefs.ErrInvalidArgument)
	}
	return c.runtime.features.checkIDMappedMounts(ctx, c.resolved.BinaryName, &c.oci)
}

// remappedGroup is the host's group for the group 0 of a user namespace; 0: not remapped.
func (c *creation) remappedGroup() uint32 {
	if c.oci.Linux == nil {
		return 0
	}
	for _, mapping := range c.oci.Linux.GIDMappings {
		if mapping.ContainerID == 0 {
			return mapping.HostID
		}
	}
	return 0
}

// createTask makes bundle, mounts and container; nothing is left of them on failure.
func (c *creation) createTask() (_ *embedshim.Task, err error) {
	m := c.runtime.manager
	c.bundle, err = m.Bundles().Create(c.namespace, c.id, c.spec, c.remappedGroup())
	if err != nil {
		return nil, unclassed(err)
	}
	defer c.bundle.Close()
	defer func() {
		if err != nil {
			// The library has done it when it came to use the bundle; then this finds nothing.
			if rerr := c.bundle.Remove(); rerr != nil {
				log.L.WithError(rerr).WithField("container", c.id).Error("cannot remove its bundle")
			}
		}
	}()
	if err := c.writeOptions(); err != nil {
		return nil, err
	}
	if err := mount.All(c.opts.Rootfs, c.bundle.Rootfs()); err != nil {
		return nil, fmt.Errorf("failed to mount rootfs component: %w", err)
	}
	o := c.resolved
	task, err := m.Create(c.namespace, c.id, embedshim.TaskOptions{
		Runtime:         o.BinaryName,
		RuntimeRoot:     o.Root,
		Stdin:           c.opts.IO.Stdin,
		Stdout:          c.opts.IO.Stdout,
		Stderr:          c.opts.IO.Stderr,
		NoPivot:         o.NoPivotRoot,
		NoNewKeyring:    o.NoNewKeyring,
		SystemdCgroup:   o.SystemdCgroup,
		IoUid:           o.IoUid,
		IoGid:           o.IoGid,
		RestorePath:     c.opts.Checkpoint,
		RestoreWorkPath: o.CriuWorkPath,
	})
	return task, unclassed(err)
}

// writeOptions leaves in the bundle what containerd's shim leaves there for those who look at it.
func (c *creation) writeOptions() error {
	o := c.resolved
	text, err := json.Marshal(&runcoptions.Options{
		NoPivotRoot:   o.NoPivotRoot,
		NoNewKeyring:  o.NoNewKeyring,
		ShimCgroup:    o.ShimCgroup,
		IoUid:         o.IoUid,
		IoGid:         o.IoGid,
		BinaryName:    o.BinaryName,
		Root:          o.Root,
		SystemdCgroup: o.SystemdCgroup,
		CriuImagePath: o.CriuImagePath,
		CriuWorkPath:  o.CriuWorkPath,
	})
	if err == nil {
		err = os.WriteFile(filepath.Join(c.bundle.Dir(), optionsFile), text, 0o600)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(c.bundle.Dir(), "runtime"), []byte(o.BinaryName), 0o600)
	}
	return err
}

// readOptions takes what execs need of them after a restart.
func (c *container) readOptions() {
	var o runcoptions.Options

	text, err := os.ReadFile(filepath.Join(c.task.BundleDir(), optionsFile))
	if err == nil {
		err = json.Unmarshal(text, &o)
	}
	if err != nil {
		log.L.WithError(err).WithField("container", c.id).Warn("the pipes of its execs will belong to root")
	}
	c.ioUid, c.ioGid = o.IoUid, o.IoGid
}

// undo takes a container back that nobody waits for any more.
func (c *creation) undo(task *embedshim.Task, why error) error {
	defer task.Close()
	if _, err := task.Delete(); err != nil {
		log.L.WithError(err).WithField("container", c.id).Error("cannot delete what its client has given up")
	}
	return why
}

// enableControllers lets processes of the container divide what it was given: cgroup v2 only.
func (c *creation) enableControllers(task *embedshim.Task) {
	if cgroups.Mode() != cgroups.Unified || c.opts.Checkpoint != "" {
		return
	}
	path, err := unifiedPath(task.Cgroups())
	if err != nil {
		return
	}
	cg, err := cgroup2.Load(path)
	if err != nil {
		return
	}
	controllers, err := cg.RootControllers()
	if err == nil {
		err = cg.ToggleControllers(controllers, cgroup2.Enable)
	}
	if err != nil {
		log.L.WithError(err).WithField("container", c.id).Debug("cannot enable cgroup controllers")
	}
}

func (c *creation) event(pid int) *apievents.TaskCreate {
	io := c.opts.IO
	e := &apievents.TaskCreate{
		ContainerID: c.id,
		Bundle:      c.bundle.Dir(),
		IO: &apievents.TaskIO{
			Stdin:    io.Stdin,
			Stdout:   io.Stdout,
			Stderr:   io.Stderr,
			Terminal: io.Terminal,
		},
		Checkpoint: c.opts.Checkpoint,
		Pid:        uint32(pid),
	}
	for _, m := range c.opts.Rootfs {
		e.Rootfs = append(e.Rootfs, &types.Mount{
			Type: m.Type, Source: m.Source, Target: m.Target, Options: m.Options,
		})
	}
	return e
}

// restore is what CRI asks for: the changed files, then the processes, all within Create.
func (c *creation) restore(ctx context.Context) error {
	err := c.applyRootfsDiff(ctx)
	if err == nil {
		err = (&Task{c.container}).Start(ctx)
	}
	if err == nil {
		return nil
	}
	c.task.Kill(syscall.SIGKILL)
	if _, derr := c.delete(c.context()); derr != nil {
		log.L.WithError(derr).WithField("container", c.id).Error("cannot delete what could not be restored")
	}
	return err
}

func (c *creation) applyRootfsDiff(ctx context.Context) error {
	path := filepath.Join(c.opts.Checkpoint, "..", rootfsDiff)
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	stream, err := compression.DecompressStream(f)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	defer stream.Close()
	if _, err := archive.Apply(ctx, c.bundle.Rootfs(), stream); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// Mounts

// activateMounts has containerd's mount manager do what the system cannot mount by itself.
func (r *Runtime) activateMounts(ctx context.Context, id string, opts *runtime.CreateOpts) error {
	if r.mounts == nil {
		return nil
	}
	// So that what is left of a crash goes with the container.
	label := mount.WithLabels(map[string]string{"containerd.io/gc.bref.container": id})
	info, err := r.mounts.Activate(ctx, id, opts.Rootfs, label)
	if errdefs.IsAlreadyExists(err) {
		info, err = r.mounts.Info(ctx, id)
	}
	if errdefs.IsNotImplemented(err) {
		return nil // the system can
	}
	if err != nil {
		return fmt.Errorf("activate mounts of %s: %w", id, err)
	}
	opts.Rootfs = info.System
	return nil
}

func (r *Runtime) deactivateMounts(c *container) {
	if r.mounts == nil {
		return
	}
	ctx, cancel := context.WithTimeout(c.context(), deactivateWait)
	defer cancel()
	if err := r.mounts.Deactivate(ctx, c.id); err != nil && !errdefs.IsNotFound(err) {
		log.L.WithError(err).WithField("container", c.id).Error("cannot deactivate its mounts")
	}
}
