// SPDX-License-Identifier: Apache-2.0

package embed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"syscall"

	apievents "github.com/containerd/containerd/api/events"
	"github.com/containerd/containerd/v2/core/runtime"
	"github.com/containerd/errdefs"
	embedshim "github.com/embedshim/embedshim/go-binding"
)

// Exec is an additional process in containerd's terms.
type Exec struct {
	c *container
	p *process
}

var _ runtime.ExecProcess = (*Exec)(nil)

// processOf is the OCI process that a client gave, with the terminal as the request says.
func processOf(opts runtime.ExecOpts) ([]byte, error) {
	var process map[string]json.RawMessage

	if opts.Spec == nil || len(opts.Spec.GetValue()) == 0 {
		return nil, fmt.Errorf("no process specification: %w", errdefs.ErrInvalidArgument)
	}
	if err := json.Unmarshal(opts.Spec.GetValue(), &process); err != nil {
		return nil, fmt.Errorf("process specification: %w: %w", err, errdefs.ErrInvalidArgument)
	}
	process["terminal"] = json.RawMessage("false")
	if opts.IO.Terminal {
		process["terminal"] = json.RawMessage("true")
	}
	return json.Marshal(process)
}

// Exec adds a process; nothing runs yet.
func (t *Task) Exec(_ context.Context, id string, opts runtime.ExecOpts) (runtime.ExecProcess, error) {
	c := t.c
	text, err := processOf(opts)
	if err != nil {
		return nil, err
	}
	state, err := c.task.State()
	if err != nil {
		return nil, err
	}
	before := state.Status
	if before == embedshim.TaskCreated && state.Pid == 0 {
		// An image that is not restored yet: there is no container to be in.
		return nil, errors.New("cannot exec in a created state")
	}
	exec, err := c.task.Exec(id, embedshim.ExecOptions{
		Process: text,
		Streams: embedshim.Streams{Stdin: opts.IO.Stdin, Stdout: opts.IO.Stdout, Stderr: opts.IO.Stderr},
		IoUid:   c.ioUid,
		IoGid:   c.ioGid,
	})
	if errors.Is(err, errdefs.ErrAlreadyExists) {
		return nil, fmt.Errorf("id %s: %w", id, errdefs.ErrAlreadyExists)
	}
	if err != nil {
		return nil, refused(err, "exec", before)
	}
	p := newProcess(id, exec)
	p.announced = true
	c.mu.Lock()
	c.execs[id] = p
	c.mu.Unlock()
	c.publish(&apievents.TaskExecAdded{ContainerID: c.id, ExecID: id})
	return &Exec{c, p}, nil
}

// Process finds an exec, or init for the empty ID.
func (t *Task) Process(_ context.Context, id string) (runtime.ExecProcess, error) {
	p := t.c.findExec(id)
	if p == nil {
		return nil, errNoProcess(id)
	}
	return &Exec{t.c, p}, nil
}

// execPids are the execs that run, by their PID.
func (c *container) execPids() map[int]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	pids := make(map[int]string, len(c.execs))
	for id, p := range c.execs {
		if state, err := p.exec.State(); err == nil && state.Pid != 0 {
			pids[state.Pid] = id
		}
	}
	return pids
}

// ID is the exec's.
func (e *Exec) ID() string { return e.p.id }

// State waits for nothing. A paused container's execs are paused.
func (e *Exec) State(context.Context) (runtime.State, error) {
	state, err := e.p.exec.State()
	if errors.Is(err, embedshim.ErrClosed) || state.Status == embedshim.TaskDeleted {
		return runtime.State{}, errNoProcess(e.p.id)
	}
	if err != nil {
		return runtime.State{}, err
	}
	s := e.c.stateOf(e.p, e.p.exec, state.Status, state.Pid)
	if state.Status == embedshim.TaskRunning {
		task, _ := e.c.task.State()
		if task.Status == embedshim.TaskPaused || task.Status == embedshim.TaskPausing {
			s.Status = statuses[task.Status]
		}
	}
	return s, nil
}

// Start runs it.
func (e *Exec) Start(context.Context) error {
	c := e.c
	before, err := e.p.exec.State()
	if err != nil {
		return err
	}
	c.hold(e.p)
	if err := e.p.exec.Start(); err != nil {
		c.announce(e.p, nil)
		if errors.Is(err, errdefs.ErrFailedPrecondition) && before.Status == embedshim.TaskCreated {
			return fmt.Errorf("container %s init process is not running: %w", c.id,
				errdefs.ErrFailedPrecondition)
		}
		if before.Status == embedshim.TaskCreated {
			// It will not run any more, as far as those who wait are concerned.
			e.p.release()
		}
		return refused(err, "start", before.Status)
	}
	state, _ := e.p.exec.State()
	c.announce(e.p, &apievents.TaskExecStarted{ContainerID: c.id, ExecID: e.p.id, Pid: uint32(state.Pid)})
	return nil
}

// Kill signals it.
func (e *Exec) Kill(_ context.Context, signal uint32, _ bool) error {
	err := e.p.exec.Kill(syscall.Signal(signal))
	if errors.Is(err, errdefs.ErrFailedPrecondition) {
		return fmt.Errorf("process not created: %w", errdefs.ErrFailedPrecondition)
	}
	return killError(err)
}

// Wait returns when its exit was published, or its start has failed.
func (e *Exec) Wait(ctx context.Context) (*runtime.Exit, error) {
	return e.c.wait(ctx, e.p)
}

// ResizePty sets the size of its terminal.
func (e *Exec) ResizePty(_ context.Context, size runtime.ConsoleSize) error {
	state, err := e.p.exec.State()
	if err != nil {
		return err
	}
	if state.Status == embedshim.TaskStopped {
		return errors.New("cannot resize a stopped container")
	}
	if !e.p.exec.Terminal() {
		return nil
	}
	return resizeError(e.p.exec.Resize(size.Width, size.Height))
}

// CloseIO ends its standard input.
func (e *Exec) CloseIO(context.Context) error {
	return e.p.exec.CloseStdin()
}

// Delete forgets it. Its ID can be used again.
func (e *Exec) Delete(ctx context.Context) (*runtime.Exit, error) {
	c := e.c
	state, err := e.p.exec.State()
	if err != nil {
		return nil, err
	}
	if state.Status == embedshim.TaskStopped {
		if err := c.flush(ctx, e.p); err != nil {
			return nil, err
		}
	}
	exit, err := e.p.exec.Delete()
	if err != nil {
		return nil, refused(err, "delete", state.Status)
	}
	c.mu.Lock()
	if c.execs[e.p.id] == e.p {
		delete(c.execs, e.p.id)
	}
	c.mu.Unlock()
	e.p.release()
	os.Remove(c.told(e.p))
	e.p.exec.Close()
	if exit == nil {
		return &runtime.Exit{}, nil
	}
	return newExit(exit), nil
}

func errNoProcess(id string) error {
	return fmt.Errorf("process does not exist %s: %w", id, errdefs.ErrNotFound)
}

// resizeError: a terminal that has gone with its process needs no size.
func resizeError(err error) error {
	if errors.Is(err, errdefs.ErrNotFound) {
		return nil
	}
	return err
}
