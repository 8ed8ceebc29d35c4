// SPDX-License-Identifier: Apache-2.0

package embed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	apitypes "github.com/containerd/containerd/api/types"
	"github.com/containerd/containerd/v2/core/runtime"
	_ "github.com/containerd/containerd/v2/core/runtime/v2"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/errdefs"
	"github.com/containerd/plugin"
	"github.com/containerd/plugin/registry"
)

// stock is a task manager that knows one task.
type stock struct{ created []string }

func (s *stock) ID() string { return "stock" }

func (s *stock) Create(_ context.Context, id string, _ runtime.CreateOpts) (runtime.Task, error) {
	s.created = append(s.created, id)
	return nil, nil
}

func (s *stock) Get(_ context.Context, id string) (runtime.Task, error) {
	if id != "stock" {
		return nil, fmt.Errorf("task %s: %w", id, errdefs.ErrNotFound)
	}
	return &unavailableTask{id: id}, nil
}

func (s *stock) Tasks(context.Context, bool) ([]runtime.Task, error) {
	return []runtime.Task{&unavailableTask{id: "stock"}}, nil
}

func (s *stock) Delete(ctx context.Context, id string) (*runtime.Exit, error) {
	if _, err := s.Get(ctx, id); err != nil {
		return nil, err
	}
	return &runtime.Exit{Status: 9}, nil
}

func (s *stock) PluginInfo(context.Context, any) (any, error) { return "stock", nil }

func initContext(t *testing.T) *plugin.InitContext {
	t.Helper()
	dir := t.TempDir()
	return plugin.NewContext(context.Background(), plugin.NewPluginSet(), map[string]string{
		plugins.PropertyStateDir: filepath.Join(dir, "io.containerd.runtime.v2.task"),
	})
}

// A runtime that could not be loaded says so for its own tasks, and is in nobody's way.
func TestUnavailableRuntime(t *testing.T) {
	ctx := namespaces.WithNamespace(context.Background(), "ns")
	ic := initContext(t)
	bundle := filepath.Join(filepath.Dir(ic.Properties[plugins.PropertyStateDir]), Name, "ns", "ours")
	if err := os.MkdirAll(bundle, 0o700); err != nil {
		t.Fatal(err)
	}
	upstream := &stock{}
	d, err := newDispatcher(ic, upstream)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Create(ctx, "new", runtime.CreateOpts{Runtime: Name}); !errdefs.IsUnavailable(err) {
		t.Error(err)
	}
	if _, err := d.Create(ctx, "other", runtime.CreateOpts{Runtime: "io.containerd.runc.v2"}); err != nil {
		t.Error(err)
	}
	if len(upstream.created) != 1 || upstream.created[0] != "other" {
		t.Error(upstream.created)
	}
	inside := runtime.CreateOpts{Runtime: "io.containerd.runc.v2", SandboxID: "ours", RestoreFromPath: true}
	if _, err := d.Create(ctx, "inside", inside); !errdefs.IsUnavailable(err) {
		t.Errorf("a container of a sandbox of ours: %v", err)
	}
	task, err := d.Get(ctx, "ours")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := task.State(ctx); !errdefs.IsUnavailable(err) {
		t.Error(err)
	}
	if _, err := d.Delete(ctx, "ours"); !errdefs.IsUnavailable(err) {
		t.Error(err)
	}
	if exit, err := d.Delete(ctx, "stock"); err != nil || exit.Status != 9 {
		t.Error(exit, err)
	}
	if _, err := d.Get(ctx, "nobody's"); !errdefs.IsNotFound(err) {
		t.Error(err)
	}
	if _, err := d.PluginInfo(ctx, &apitypes.RuntimeRequest{RuntimePath: Name}); !errdefs.IsUnavailable(err) {
		t.Error(err)
	}
	if info, _ := d.PluginInfo(ctx, &apitypes.RuntimeRequest{RuntimePath: "other"}); info != "stock" {
		t.Error(info)
	}
	if tasks, err := d.Tasks(ctx, true); err != nil || len(tasks) != 1 {
		t.Error(tasks, err)
	}
}

func TestDispatcherRefusesAnUnknownTaskManager(t *testing.T) {
	if _, err := newDispatcher(initContext(t), "nothing"); err == nil {
		t.Error("accepted")
	}
}

// The task manager of the containerd that this is built with can be wrapped, and nothing else changes.
func TestInstall(t *testing.T) {
	list := func() (all []string, task *plugin.Registration) {
		registry.Graph(func(r *plugin.Registration) bool {
			all = append(all, r.URI())
			if r.Type == plugins.RuntimePluginV2 && r.ID == "task" {
				task = r
			}
			return false
		})
		return
	}
	before, _ := list()
	if err := Install(); err != nil {
		t.Fatal(err)
	}
	after, task := list()
	if fmt.Sprint(before) != fmt.Sprint(after) {
		t.Errorf("%v became %v", before, after)
	}
	if task.Requires[len(task.Requires)-1] != plugins.RuntimePlugin {
		t.Error("the runtime is not loaded before the task manager")
	}
	registry.Reset()
	if err := Install(); err == nil {
		t.Error("nothing was wrapped, and nothing said")
	}
}

func TestQueueKeepsOrderAcrossContainers(t *testing.T) {
	var (
		s    = queues{all: map[string]*queue{}}
		mu   sync.Mutex
		got  []int
		done = make(chan struct{})
	)
	for i := 0; i < 100; i++ {
		q := s.take("ns/id")
		q.push(func() {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, i)
		})
		s.drop("ns/id", q)
	}
	last := s.take("ns/id")
	last.push(func() { close(done) })
	s.drop("ns/id", last)
	<-done
	for i, n := range got {
		if i != n {
			t.Fatal(got)
		}
	}
	last.push(func() {
		mu.Lock()
		defer mu.Unlock()
		got = nil
	})
	for {
		mu.Lock()
		over := got == nil
		mu.Unlock()
		if over {
			break
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.all) != 0 {
		t.Errorf("%d queues are left", len(s.all))
	}
}

func TestErrorsKeepTheirClass(t *testing.T) {
	if !errdefs.IsUnavailable(errClosed) || !errdefs.IsNotFound(errFinished) {
		t.Error("classes are lost")
	}
	if err := unclassed(fmt.Errorf("FIFO: %w", errdefs.ErrNotFound)); errdefs.IsNotFound(err) {
		t.Error("a missing file reads as a missing task")
	}
	if err := unclassed(fmt.Errorf("x: %w", errdefs.ErrAlreadyExists)); !errors.Is(err, errdefs.ErrAlreadyExists) {
		t.Error(err)
	}
}
