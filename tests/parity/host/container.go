// SPDX-License-Identifier: Apache-2.0

package host

import (
	"context"
	"encoding/json"
	"path/filepath"

	"github.com/containerd/containerd/api/types"
	runcoptions "github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/typeurl/v2"
	"github.com/opencontainers/runtime-spec/specs-go"
	"google.golang.org/protobuf/types/known/anypb"
)

const specType = "types.containerd.io/opencontainers/runtime-spec/1/"

// Container says what a container is to be.
type Container struct {
	Runtime, Namespace, ID string

	Args     []string
	HostPid  bool // no PID namespace of its own
	Terminal bool
	Mounted  bool              // its root file system is mounted by the runtime, not a directory that exists
	Labels   map[string]string // annotations, too
}

// Spec is the text of its config.json.
func (h *Host) Spec(c Container) ([]byte, error) {
	root := h.Rootfs
	if c.Mounted {
		root = "rootfs"
	}
	opts := []oci.SpecOpts{
		oci.WithRootFSPath(root),
		oci.WithProcessArgs(c.Args...),
		oci.WithEnv([]string{"PATH=/"}),
		oci.WithCgroup(filepath.Join(h.Cgroup, c.Namespace, c.ID)),
		oci.WithMounts([]specs.Mount{{
			Destination: "/shared",
			Type:        "bind",
			Source:      h.Shared,
			Options:     []string{"bind", "ro"},
		}}),
		oci.WithAnnotations(c.Labels),
	}
	if c.Terminal {
		opts = append(opts, oci.WithTTY)
	}
	if c.HostPid {
		opts = append(opts, oci.WithHostNamespace(specs.PIDNamespace))
	}
	ctx := namespaces.WithNamespace(context.Background(), c.Namespace)
	spec, err := oci.GenerateSpec(ctx, nil, &containers.Container{ID: c.ID}, opts...)
	if err != nil {
		return nil, err
	}
	return json.Marshal(spec)
}

// Record makes the container known to containerd.
func (h *Host) Record(ctx context.Context, c Container) error {
	spec, err := h.Spec(c)
	if err != nil {
		return err
	}
	options, err := typeurl.MarshalAny(&runcoptions.Options{BinaryName: "runc", Root: h.RuncRoot()})
	if err != nil {
		return err
	}
	_, err = h.Client.ContainerService().Create(ctx, containers.Container{
		ID:      c.ID,
		Runtime: containers.RuntimeInfo{Name: c.Runtime, Options: options},
		Spec:    &anypb.Any{TypeUrl: specType + "Spec", Value: spec},
	})
	return err
}

// Mounts are what a Create of the container's task mounts.
func (h *Host) Mounts(c Container) []*types.Mount {
	if !c.Mounted {
		return nil
	}
	return []*types.Mount{{Type: "bind", Source: h.Rootfs, Options: []string{"rbind", "ro"}}}
}

// ExecSpec is the OCI process of an exec.
func ExecSpec(args ...string) *anypb.Any {
	text, err := json.Marshal(&specs.Process{Args: args, Cwd: "/", Env: []string{"PATH=/"}})
	if err != nil {
		panic(err) // of text
	}
	return &anypb.Any{TypeUrl: specType + "Process", Value: text}
}
