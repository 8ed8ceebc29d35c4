// SPDX-License-Identifier: Apache-2.0

package embed

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/core/runtime"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/protobuf/types"
	"github.com/containerd/errdefs"
)

// unavailable stands in for a runtime that could not be loaded. Containers that have a bundle are answered with
// the reason: "not found" would have them declared dead, and they may be running.
type unavailable struct {
	reason error
	state  string // where the bundles are
}

func (u *unavailable) err() error {
	return fmt.Errorf("runtime %s is not available: %w: %w", Name, u.reason, errdefs.ErrUnavailable)
}

func (u *unavailable) ID() string { return Name }

func (u *unavailable) Create(context.Context, string, runtime.CreateOpts) (runtime.Task, error) {
	return nil, u.err()
}

func (u *unavailable) Get(ctx context.Context, id string) (runtime.Task, error) {
	namespace, err := namespaces.NamespaceRequired(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := os.Lstat(filepath.Join(u.state, namespace, id)); err != nil {
		return nil, fmt.Errorf("task %s: %w", id, errdefs.ErrNotFound)
	}
	return &unavailableTask{u, namespace, id}, nil
}

// Tasks lists none: nothing can be told of them.
func (u *unavailable) Tasks(context.Context, bool) ([]runtime.Task, error) { return nil, nil }

func (u *unavailable) Delete(ctx context.Context, id string) (*runtime.Exit, error) {
	if _, err := u.Get(ctx, id); err != nil {
		return nil, err
	}
	return nil, u.err()
}

func (u *unavailable) PluginInfo(context.Context, any) (any, error) { return nil, u.err() }

// unavailableTask is a task of which only that it exists is known.
type unavailableTask struct {
	*unavailable
	namespace, id string
}

var _ runtime.Task = (*unavailableTask)(nil)

func (t *unavailableTask) ID() string        { return t.id }
func (t *unavailableTask) Namespace() string { return t.namespace }

func (t *unavailableTask) PID(context.Context) (uint32, error) { return 0, t.err() }
func (t *unavailableTask) State(context.Context) (runtime.State, error) {
	return runtime.State{}, t.err()
}
func (t *unavailableTask) Kill(context.Context, uint32, bool) error             { return t.err() }
func (t *unavailableTask) ResizePty(context.Context, runtime.ConsoleSize) error { return t.err() }
func (t *unavailableTask) CloseIO(context.Context) error                        { return t.err() }
func (t *unavailableTask) Start(context.Context) error                          { return t.err() }
func (t *unavailableTask) Pause(context.Context) error                          { return t.err() }
func (t *unavailableTask) Resume(context.Context) error                         { return t.err() }
func (t *unavailableTask) Wait(context.Context) (*runtime.Exit, error)          { return nil, t.err() }
func (t *unavailableTask) Stats(context.Context) (*types.Any, error)            { return nil, t.err() }

func (t *unavailableTask) Pids(context.Context) ([]runtime.ProcessInfo, error) {
	return nil, t.err()
}

func (t *unavailableTask) Exec(context.Context, string, runtime.ExecOpts) (runtime.ExecProcess, error) {
	return nil, t.err()
}

func (t *unavailableTask) Process(context.Context, string) (runtime.ExecProcess, error) {
	return nil, t.err()
}

func (t *unavailableTask) Checkpoint(context.Context, string, *types.Any) error { return t.err() }

func (t *unavailableTask) Update(context.Context, *types.Any, map[string]string) error {
	return t.err()
}
