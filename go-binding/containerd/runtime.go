// SPDX-License-Identifier: Apache-2.0

package embed

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/containerd/containerd/v2/core/events"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/runtime"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	embedshim "github.com/embedshim/embedshim/go-binding"
)

// Name is the runtime name that containers carry.
const Name = "io.containerd.runtime.v1.embed"

const (
	// servingGrace is what clients are given to come back and listen before exits of the time without a
	// daemon are published, and servingWait how long the daemon may take to serve.
	servingGrace = 3 * time.Second
	servingWait  = 15 * time.Second
	// closeWait is how long a shutdown waits for calls that are under way in a runtime command.
	closeWait = 500 * time.Millisecond
	// deactivateWait bounds what the mount manager may take after a container.
	deactivateWait = 10 * time.Second
)

// Runtime runs tasks in this process.
type Runtime struct {
	manager   *embedshim.Manager
	publisher events.Publisher
	mounts    mount.Manager // nil: there is none
	defaults  options

	loaded  chan struct{} // closed when the tasks of before the restart are known
	serving chan struct{} // closed when the daemon answers its clients
	closed  chan struct{}
	close   func()

	mu         sync.RWMutex
	containers map[string]*container

	queues   queues
	features features
	slowInit atomic.Bool // the host's init does not reap at once
}

var _ runtime.PlatformRuntime = (*Runtime)(nil)

func newRuntime(publisher events.Publisher, mounts mount.Manager, defaults options) *Runtime {
	r := &Runtime{
		publisher:  publisher,
		mounts:     mounts,
		defaults:   defaults,
		loaded:     make(chan struct{}),
		serving:    make(chan struct{}),
		closed:     make(chan struct{}),
		containers: make(map[string]*container),
		queues:     queues{all: make(map[string]*queue)},
	}
	r.close = sync.OnceFunc(func() { close(r.closed) })
	return r
}

// open opens the manager and takes over its tasks.
func (r *Runtime) open(o embedshim.ManagerOptions) error {
	m, err := embedshim.Open(o, r.onEvent)
	if err != nil {
		return err
	}
	r.manager = m
	tasks, err := m.List("")
	if err != nil {
		r.Close()
		return err
	}
	for _, task := range tasks {
		r.load(task)
	}
	close(r.loaded)
	return nil
}

// load takes over a task of before the restart.
func (r *Runtime) load(task *embedshim.Task) {
	c := newContainer(r, task.Namespace(), task.ID())
	c.task = task
	c.init.announced = true
	c.readOptions()
	close(c.made)
	execs, err := task.Execs()
	if err != nil {
		log.L.WithError(err).WithField("container", c.id).Error("cannot list its execs")
	}
	for _, exec := range execs {
		p := newProcess(exec.ID(), exec)
		p.announced = true
		c.execs[exec.ID()] = p
	}
	r.add(c)
}

// waitForServing opens the gate of the events when the daemon answers at its address.
func (r *Runtime) waitForServing(address string) {
	defer close(r.serving)
	deadline := time.After(servingWait)
	for {
		conn, err := net.Dial("unix", strings.TrimPrefix(address, "unix://"))
		if err == nil {
			conn.Close()
			break
		}
		select {
		case <-r.closed:
			return
		case <-deadline:
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
	select {
	case <-r.closed:
	case <-time.After(servingGrace):
	}
}

// Close ends waits and gives the manager back. Containers go on.
func (r *Runtime) Close() error {
	r.close()
	if r.manager == nil {
		return nil
	}
	done := make(chan error, 1)
	go func() { done <- r.manager.Close() }()
	select {
	case err := <-done:
		return err
	case <-time.After(closeWait):
		log.L.Warn("a runtime command is under way; what it leaves is taken up at the next start")
		return nil
	}
}

func key(namespace, id string) string { return namespace + "/" + id }

// add makes a container known. false: the ID is taken.
func (r *Runtime) add(c *container) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, taken := r.containers[key(c.namespace, c.id)]; taken {
		return false
	}
	r.containers[key(c.namespace, c.id)] = c
	return true
}

func (r *Runtime) remove(c *container) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.containers[key(c.namespace, c.id)] == c {
		delete(r.containers, key(c.namespace, c.id))
		r.queues.drop(key(c.namespace, c.id), c.queue)
	}
}

func (r *Runtime) find(namespace, id string) *container {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.containers[key(namespace, id)]
}

// ID is the runtime's name.
func (r *Runtime) ID() string { return Name }

func (r *Runtime) get(ctx context.Context, id string) (*container, error) {
	namespace, err := namespaces.NamespaceRequired(ctx)
	if err != nil {
		return nil, err
	}
	c := r.find(namespace, id)
	if c == nil {
		return nil, fmt.Errorf("task %s: %w", id, errdefs.ErrNotFound)
	}
	// The client can know of a container before its Create returns, by its FIFOs: what it asks of it then, to
	// close its standard input for example, must not be lost.
	select {
	case <-c.made:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if !c.created() {
		return nil, c.notFound()
	}
	return c, nil
}

// Get finds a task.
func (r *Runtime) Get(ctx context.Context, id string) (runtime.Task, error) {
	c, err := r.get(ctx, id)
	if err != nil {
		return nil, err
	}
	return &Task{c}, nil
}

// Tasks lists the tasks of the namespace, or of all.
func (r *Runtime) Tasks(ctx context.Context, all bool) ([]runtime.Task, error) {
	var namespace string
	if !all {
		var err error
		if namespace, err = namespaces.NamespaceRequired(ctx); err != nil {
			return nil, err
		}
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	var tasks []runtime.Task
	for _, c := range r.containers {
		if c.created() && (all || c.namespace == namespace) {
			tasks = append(tasks, &Task{c})
		}
	}
	return tasks, nil
}

// Delete deletes a task that has stopped or was never started. It goes on when the caller has given up.
func (r *Runtime) Delete(ctx context.Context, id string) (*runtime.Exit, error) {
	c, err := r.get(ctx, id)
	if err != nil {
		return nil, err
	}
	return c.delete(ctx)
}

// forgetOrphans deletes tasks whose container is gone from containerd's metadata for certain.
func (r *Runtime) forgetOrphans(exists func(ctx context.Context, id string) error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, c := range r.containers {
		ctx := namespaces.WithNamespace(context.Background(), c.namespace)
		if err := exists(ctx, c.id); !errors.Is(err, errdefs.ErrNotFound) {
			continue
		}
		log.L.WithField("container", c.id).Warn("containerd has no record of it: it is killed and deleted")
		go c.forceDelete()
	}
}
