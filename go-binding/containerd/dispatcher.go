// SPDX-License-Identifier: Apache-2.0

package embed

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	apitypes "github.com/containerd/containerd/api/types"
	"github.com/containerd/containerd/v2/core/runtime"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/errdefs"
	"github.com/containerd/plugin"
	"github.com/containerd/plugin/registry"
)

// Upstream is what containerd uses of its own task manager.
type Upstream interface {
	runtime.PlatformRuntime
	PluginInfo(ctx context.Context, request any) (any, error)
}

// Dispatcher stands where containerd's task manager stood: tasks of our runtime name go to us, all others to
// the manager.
type Dispatcher struct {
	Upstream
	embed Upstream
}

// Install puts the dispatcher around the task manager. It must be called before containerd's command runs, and
// fails when this containerd has no such plugin.
func Install() error {
	var all []*plugin.Registration

	registry.Graph(func(r *plugin.Registration) bool {
		all = append(all, r)
		return false
	})
	i := slices.IndexFunc(all, func(r *plugin.Registration) bool {
		return r.Type == plugins.RuntimePluginV2 && r.ID == "task"
	})
	if i < 0 {
		return fmt.Errorf("this containerd has no plugin %s.task to put the runtime %s beside",
			plugins.RuntimePluginV2, Name)
	}
	wrapped := *all[i]
	// So that the tasks of before a restart are known when the manager is asked for all of them.
	wrapped.Requires = append(slices.Clone(wrapped.Requires), plugins.RuntimePlugin)
	stock := wrapped.InitFn
	wrapped.InitFn = func(ic *plugin.InitContext) (any, error) {
		instance, err := stock(ic)
		if err != nil {
			return nil, err
		}
		return newDispatcher(ic, instance)
	}
	all[i] = &wrapped
	registry.Reset()
	for _, r := range all {
		registry.Register(r)
	}
	return nil
}

func newDispatcher(ic *plugin.InitContext, stock any) (*Dispatcher, error) {
	upstream, ok := stock.(Upstream)
	if !ok {
		return nil, fmt.Errorf("the task manager is a %T, which is not what this was made for", stock)
	}
	d := &Dispatcher{Upstream: upstream}
	instance, err := ic.GetByID(plugins.RuntimePlugin, pluginID)
	if err == nil {
		d.embed = instance.(*Runtime)
		return d, nil
	}
	if errors.Is(err, plugin.ErrPluginNotFound) {
		err = errors.New("the plugin is disabled")
	}
	// The others keep working; ours are not taken for dead.
	state := filepath.Join(filepath.Dir(ic.Properties[plugins.PropertyStateDir]), Name)
	d.embed = &unavailable{reason: err, state: state}
	return d, nil
}

// Create sends the task where its runtime name says, which is the path of the runtime if one is given. CRI leaves
// the path away when it restores a container: then it goes where its pod is.
func (d *Dispatcher) Create(ctx context.Context, id string, opts runtime.CreateOpts) (runtime.Task, error) {
	if opts.Runtime == Name || opts.RestoreFromPath && d.owns(ctx, opts.SandboxID) {
		return d.embed.Create(ctx, id, opts)
	}
	return d.Upstream.Create(ctx, id, opts)
}

// owns: the pod of this ID is ours.
func (d *Dispatcher) owns(ctx context.Context, sandbox string) bool {
	if sandbox == "" {
		return false
	}
	_, err := d.embed.Get(ctx, sandbox)
	return err == nil
}

// Get finds a task of either.
func (d *Dispatcher) Get(ctx context.Context, id string) (runtime.Task, error) {
	task, err := d.embed.Get(ctx, id)
	if errdefs.IsNotFound(err) {
		return d.Upstream.Get(ctx, id)
	}
	return task, err
}

// Tasks lists those of both.
func (d *Dispatcher) Tasks(ctx context.Context, all bool) ([]runtime.Task, error) {
	tasks, err := d.Upstream.Tasks(ctx, all)
	if err != nil {
		return nil, err
	}
	ours, err := d.embed.Tasks(ctx, all)
	return append(tasks, ours...), err
}

// Delete deletes a task of either.
func (d *Dispatcher) Delete(ctx context.Context, id string) (*runtime.Exit, error) {
	exit, err := d.embed.Delete(ctx, id)
	if errdefs.IsNotFound(err) {
		if stock, serr := d.Upstream.Delete(ctx, id); !errdefs.IsNotFound(serr) {
			return stock, serr
		}
	}
	return exit, err
}

// PluginInfo tells of the runtime that a request names.
func (d *Dispatcher) PluginInfo(ctx context.Context, request any) (any, error) {
	if r, ok := request.(*apitypes.RuntimeRequest); ok && r.RuntimePath == Name {
		return d.embed.PluginInfo(ctx, request)
	}
	return d.Upstream.PluginInfo(ctx, request)
}

// PluginInfo tells what the OCI runtime can do.
func (r *Runtime) PluginInfo(ctx context.Context, request any) (any, error) {
	info, ok := request.(*apitypes.RuntimeRequest)
	if !ok {
		return nil, fmt.Errorf("request of type %T: %w", request, errdefs.ErrNotImplemented)
	}
	return r.pluginInfo(ctx, info)
}
