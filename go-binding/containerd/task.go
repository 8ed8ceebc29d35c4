// SPDX-License-Identifier: Apache-2.0

package embed

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	apievents "github.com/containerd/containerd/api/events"
	runcoptions "github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/containerd/v2/core/runtime"
	"github.com/containerd/containerd/v2/pkg/protobuf/types"
	"github.com/containerd/errdefs"
	"github.com/containerd/typeurl/v2"
	embedshim "github.com/embedshim/embedshim/go-binding"
)

// Task is a container in containerd's terms.
type Task struct {
	c *container
}

var _ runtime.Task = (*Task)(nil)

// ID is the container's.
func (t *Task) ID() string { return t.c.id }

// Namespace is the container's.
func (t *Task) Namespace() string { return t.c.namespace }

// PID is init's, also after its exit. 0 before a restore.
func (t *Task) PID(context.Context) (uint32, error) {
	state, err := t.c.task.State()
	return uint32(state.Pid), err
}

var statuses = map[embedshim.TaskStatus]runtime.Status{
	embedshim.TaskCreated: runtime.CreatedStatus,
	embedshim.TaskRunning: runtime.RunningStatus,
	embedshim.TaskStopped: runtime.StoppedStatus,
	embedshim.TaskDeleted: runtime.DeletedStatus,
	embedshim.TaskPaused:  runtime.PausedStatus,
	embedshim.TaskPausing: runtime.PausingStatus,
}

// State waits for nothing.
func (t *Task) State(context.Context) (runtime.State, error) {
	state, err := t.c.task.State()
	if errors.Is(err, embedshim.ErrClosed) || state.Status == embedshim.TaskDeleted {
		return runtime.State{}, t.c.notFound()
	}
	if err != nil {
		return runtime.State{}, err
	}
	return t.c.stateOf(t.c.init, t.c.task, state.Status, state.Pid), nil
}

// stateOf is what containerd is told of a process, which is a task or an exec of the library.
func (c *container) stateOf(p *process, of interface {
	Streams() embedshim.Streams
	Terminal() bool
}, status embedshim.TaskStatus, pid int) runtime.State {
	streams := of.Streams()
	s := runtime.State{
		Status:   statuses[status],
		Pid:      uint32(pid),
		Stdin:    streams.Stdin,
		Stdout:   streams.Stdout,
		Stderr:   streams.Stderr,
		Terminal: of.Terminal(),
	}
	if status != embedshim.TaskStopped {
		return s
	}
	if e := c.exitOf(p); e != nil {
		exit := newExit(e)
		s.ExitStatus, s.ExitedAt = exit.Status, exit.Timestamp
	}
	return s
}

func (t *Task) status() embedshim.TaskStatus {
	state, _ := t.c.task.State()
	return state.Status
}

// Start runs the user's process. Its TaskStart is queued before its TaskExit.
func (t *Task) Start(context.Context) error {
	c := t.c
	before := t.status()
	c.hold(c.init)
	if err := c.task.Start(); err != nil {
		c.announce(c.init, nil)
		return refused(err, "start", before)
	}
	state, _ := c.task.State()
	c.announce(c.init, &apievents.TaskStart{ContainerID: c.id, Pid: uint32(state.Pid)})
	return nil
}

// Kill signals init, or every process.
func (t *Task) Kill(_ context.Context, signal uint32, all bool) error {
	if all {
		n, err := t.c.task.KillAll(syscall.Signal(signal))
		if err == nil && n == 0 {
			err = errFinished
		}
		return killError(err)
	}
	return killError(t.c.task.Kill(syscall.Signal(signal)))
}

// Wait returns when init's exit was published.
func (t *Task) Wait(ctx context.Context) (*runtime.Exit, error) {
	return t.c.wait(ctx, t.c.init)
}

// change runs fn and queues event when it has worked.
func (t *Task) change(verb string, fn func() error, event any) error {
	before := t.status()
	if err := fn(); err != nil {
		return refused(err, verb, before)
	}
	if event != nil {
		t.c.publish(event)
	}
	return nil
}

// Pause freezes the container.
func (t *Task) Pause(context.Context) error {
	return t.change("pause", t.c.task.Pause, &apievents.TaskPaused{ContainerID: t.c.id})
}

// Resume lets it go on.
func (t *Task) Resume(context.Context) error {
	return t.change("resume", t.c.task.Resume, &apievents.TaskResumed{ContainerID: t.c.id})
}

// Update changes resource limits: resources holds the JSON text of specs.LinuxResources.
func (t *Task) Update(_ context.Context, resources *types.Any, _ map[string]string) error {
	return t.change("update", func() error { return t.c.task.Update(resources.GetValue()) }, nil)
}

// Checkpoint writes the container to path.
func (t *Task) Checkpoint(_ context.Context, path string, any *types.Any) error {
	o := embedshim.CheckpointOptions{ImagePath: path}
	if any.GetValue() != nil {
		v, err := typeurl.UnmarshalAny(any)
		if err != nil {
			return err
		}
		opts, ok := v.(*runcoptions.CheckpointOptions)
		if !ok {
			return fmt.Errorf("checkpoint options %s: %w", any.GetTypeUrl(), errdefs.ErrInvalidArgument)
		}
		o = embedshim.CheckpointOptions{
			ImagePath:       path,
			WorkPath:        opts.WorkPath,
			CgroupsMode:     opts.CgroupsMode,
			EmptyNamespaces: opts.EmptyNamespaces,
			Exit:            opts.Exit,
			TCP:             opts.OpenTcp,
			UnixSockets:     opts.ExternalUnixSockets,
			ShellJob:        opts.Terminal,
			FileLocks:       opts.FileLocks,
		}
	}
	return t.change("checkpoint", func() error { return t.c.task.Checkpoint(o) },
		&apievents.TaskCheckpointed{ContainerID: t.c.id, Checkpoint: path})
}

// Pids lists the container's processes, those of execs with their ID.
func (t *Task) Pids(context.Context) ([]runtime.ProcessInfo, error) {
	pids, err := t.c.task.Pids()
	if err != nil {
		return nil, unclassed(err)
	}
	execs := t.c.execPids()
	infos := make([]runtime.ProcessInfo, 0, len(pids))
	for _, pid := range pids {
		info := runtime.ProcessInfo{Pid: uint32(pid)}
		if id, ok := execs[pid]; ok {
			info.Info = &runcoptions.ProcessDetails{ExecID: id}
		}
		infos = append(infos, info)
	}
	return infos, nil
}

// ResizePty sets the size of init's terminal. Without one there is nothing to do.
func (t *Task) ResizePty(_ context.Context, size runtime.ConsoleSize) error {
	if !t.c.task.Terminal() {
		return nil
	}
	return resizeError(t.c.task.Resize(size.Width, size.Height))
}

// CloseIO ends init's standard input.
func (t *Task) CloseIO(context.Context) error {
	return t.c.task.CloseStdin()
}
