// SPDX-License-Identifier: Apache-2.0

package embed

import (
	"context"
	"fmt"
	"sync"
	"syscall"
	"time"

	apievents "github.com/containerd/containerd/api/events"
	"github.com/containerd/containerd/v2/core/runtime"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/protobuf"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	embedshim "github.com/embedshim/embedshim/go-binding"
)

// orphanWait is how long a container that is killed because nobody knows it is given to end.
const orphanWait = 30 * time.Second

// process is what is kept here of init or of an exec: whether its start and its exit were told.
type process struct {
	id   string          // the container's ID for init
	exec *embedshim.Exec // nil for init

	done    chan struct{} // closed when its exit was published
	release func()        // closes it, once

	// Protected by the container's lock.
	announced bool // the event of its start is queued, or there is none
	queued    bool // the publication of its exit is queued
	exit      *embedshim.Exit
}

func newProcess(id string, exec *embedshim.Exec) *process {
	p := &process{id: id, exec: exec, done: make(chan struct{})}
	p.release = sync.OnceFunc(func() { close(p.done) })
	return p
}

func (p *process) traceID(c *container) uint64 {
	if p.exec != nil {
		return p.exec.TraceID()
	}
	return c.task.TraceID()
}

// container is one task of the library with the events that are on their way.
type container struct {
	runtime       *Runtime
	namespace, id string
	init          *process
	queue         *queue
	ioUid, ioGid  uint32        // own the pipes of its execs
	made          chan struct{} // closed when its creation is over, well or not
	heard         chan struct{} // closed when its events need not wait for listeners
	hear          func()        // closes it, once

	mu       sync.Mutex
	task     *embedshim.Task // nil while it is being created: until then nobody finds the container
	execs    map[string]*process
	ooms     int // TaskOOMs that are held back until init is announced
	deletion *deletion
	deleted  bool
}

// deletion is a Delete under way.
type deletion struct {
	done chan struct{}
	exit *embedshim.Exit
	err  error
}

func newContainer(r *Runtime, namespace, id string) *container {
	c := &container{
		runtime:   r,
		namespace: namespace,
		id:        id,
		init:      newProcess(id, nil),
		queue:     r.queues.take(key(namespace, id)),
		heard:     make(chan struct{}),
		execs:     make(map[string]*process),
		made:      make(chan struct{}),
	}
	c.hear = sync.OnceFunc(func() { close(c.heard) })
	return c
}

// context is one in the container's namespace that nobody cancels.
func (c *container) context() context.Context {
	return namespaces.WithNamespace(context.Background(), c.namespace)
}

// created tells whether there is a task.
func (c *container) created() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.task != nil
}

// setTask makes the container one that can be found. An exit that is here already is that of the task, or of
// the one that had the ID before.
func (c *container) setTask(task *embedshim.Task) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.task = task
	if c.init.exit != nil && c.init.exit.TraceID != task.TraceID() {
		c.init.exit = nil
	}
}

func (c *container) findExec(id string) *process {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.execs[id]
}

// exitOf is the exit of a process if it is known, also when it is not published yet.
func (c *container) exitOf(p *process) *embedshim.Exit {
	c.mu.Lock()
	exit := p.exit
	c.mu.Unlock()
	if exit != nil {
		return exit
	}
	// The library may know it before its event is here.
	now, cancel := context.WithCancel(context.Background())
	cancel()
	if p.exec != nil {
		exit, _ = p.exec.Wait(now)
	} else {
		exit, _ = c.task.Wait(now)
	}
	return exit
}

// wait waits until the exit of a process was published.
func (c *container) wait(ctx context.Context, p *process) (*runtime.Exit, error) {
	select {
	case <-p.done:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-c.runtime.closed:
		return nil, errClosed
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if p.exit == nil {
		// It never ran, or was deleted before: that is no success.
		return &runtime.Exit{Status: unknownStatus, Timestamp: time.Now()}, nil
	}
	return newExit(p.exit), nil
}

func (c *container) notFound() error {
	return fmt.Errorf("task %s: %w", c.id, errdefs.ErrNotFound)
}

// delete deletes the task. It goes on when the caller gives up; of several callers one gets the exit.
func (c *container) delete(ctx context.Context) (*runtime.Exit, error) {
	c.mu.Lock()
	if c.deleted {
		c.mu.Unlock()
		return nil, c.notFound()
	}
	d, first := c.deletion, c.deletion == nil
	if first {
		d = &deletion{done: make(chan struct{})}
		c.deletion = d
		go c.runDeletion(d)
	}
	c.mu.Unlock()
	select {
	case <-d.done:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	switch {
	case d.err != nil:
		return nil, d.err
	case !first:
		return nil, c.notFound()
	}
	return newExit(d.exit), nil
}

func (c *container) runDeletion(d *deletion) {
	d.exit, d.err = c.deleteTask()
	c.mu.Lock()
	c.deletion = nil
	c.deleted = d.err == nil
	c.mu.Unlock()
	if d.err == nil {
		c.forget(d.exit)
	}
	close(d.done)
}

func (c *container) deleteTask() (*embedshim.Exit, error) {
	c.mu.Lock()
	state, err := c.task.State()
	ended := state.Status == embedshim.TaskStopped
	if state.Status == embedshim.TaskCreated && c.init.announced && state.Pid != 0 {
		// Never started: it is ended here, so that its exit is known before its bundle goes. A start that
		// is under way, or comes now, is not.
		ended = c.task.Kill(syscall.SIGKILL) == nil
	}
	c.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if ended {
		if err := c.flush(context.Background(), c.init); err != nil {
			return nil, err
		}
	}
	exit, err := c.task.Delete()
	if err != nil {
		return nil, refused(err, "delete", state.Status)
	}
	if state.Status == embedshim.TaskCreated && state.Pid == 0 {
		return nil, nil // an image that was not restored: nothing ran
	}
	return exit, nil
}

// flush waits until the exit of a process was published, and noted. After a delete nobody would know of it
// if containerd was killed.
func (c *container) flush(ctx context.Context, p *process) error {
	c.hear()
	if _, err := c.wait(ctx, p); err != nil {
		return err
	}
	empty := make(chan struct{})
	c.queue.push(func() { close(empty) })
	select {
	case <-empty:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-c.runtime.closed:
		return errClosed
	}
}

// forget takes a deleted container out of everything here. exit is nil if there was no process.
func (c *container) forget(exit *embedshim.Exit) {
	if exit != nil {
		c.exited(c.init, exit)
	} else {
		c.init.release()
	}
	c.runtime.deactivateMounts(c)
	told := newExit(exit)
	c.publish(&apievents.TaskDelete{
		ContainerID: c.id,
		Pid:         told.Pid,
		ExitStatus:  told.Status,
		ExitedAt:    protobuf.ToTimestamp(told.Timestamp),
	})
	c.mu.Lock()
	execs := c.execs
	c.execs = make(map[string]*process)
	c.mu.Unlock()
	c.runtime.remove(c)
	for _, p := range execs {
		p.release()
		p.exec.Close()
	}
	c.task.Close()
}

// forceDelete ends and deletes a container that containerd does not know any more. Nothing is published.
func (c *container) forceDelete() {
	ctx, cancel := context.WithTimeout(c.context(), orphanWait)
	defer cancel()
	c.task.Kill(syscall.SIGKILL)
	_, err := c.task.Wait(ctx)
	if err == nil {
		_, err = c.task.Delete()
	}
	if err != nil {
		log.L.WithError(err).WithField("container", c.id).Error("cannot delete what containerd has no record of")
		return
	}
	c.mu.Lock()
	c.deleted = true
	c.mu.Unlock()
	c.runtime.deactivateMounts(c)
	c.runtime.remove(c)
	c.init.release()
	c.task.Close()
}
