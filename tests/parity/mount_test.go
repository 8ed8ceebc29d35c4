// SPDX-License-Identifier: Apache-2.0

package parity

import (
	"archive/tar"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/containerd/api/types"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// withRootfs runs a container in a rootfs that is mounted for it.
func withRootfs(mounts func(s *side) []*types.Mount, spec ...oci.SpecOpts) func(*side) {
	return func(s *side) {
		c := s.container(want{
			args: sh("echo seen >/written; ls / >/host/list; cat /written >>/host/list; exit 2"),
			spec: append([]oci.SpecOpts{oci.WithRootFSPath("rootfs")}, spec...),
		})
		c.create(streams{rootfs: mounts(s)})
		c.showMounts()
		c.start()
		c.wait()
		s.file("list")
		c.delete()
		c.showMounts()
	}
}

// directory makes one below the scenario's.
func (s *side) directory(name string) string {
	path := filepath.Join(s.dir, name)
	if err := os.MkdirAll(path, 0o755); err != nil {
		s.Fatal(err)
	}
	return path
}

func (s *side) overlay(lower string) *types.Mount {
	return &types.Mount{Type: "overlay", Source: "overlay", Options: []string{
		"lowerdir=" + lower,
		"upperdir=" + s.directory("upper"),
		"workdir=" + s.directory("work"),
	}}
}

const layers = 70

// manyLayers need more than a page of options, which containerd has a way around.
func (s *side) manyLayers() []*types.Mount {
	lower := []string{}
	for i := range layers {
		dir := s.directory(fmt.Sprintf("layers-with-a-name-that-is-long/%03d/fs", i))
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("layer-%03d", i)), nil, 0o644); err != nil {
			s.Fatal(err)
		}
		lower = append(lower, dir)
	}
	// What is written shorter then is the part that all have in common.
	if err := os.CopyFS(lower[layers-1], os.DirFS(world.rootfs)); err != nil {
		s.Fatal(err)
	}
	return []*types.Mount{s.overlay(strings.Join(lower, ":"))}
}

var mapping = []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 65536}}

var mountScenarios = []scenario{
	{"rootfs-bind", withRootfs(func(*side) []*types.Mount {
		return []*types.Mount{{Type: "bind", Source: world.rootfs, Options: []string{"rbind", "rw"}}}
	}, oci.WithRootFSReadonly())},
	{"rootfs-bind-ro", withRootfs(func(*side) []*types.Mount {
		return []*types.Mount{{Type: "bind", Source: world.rootfs, Options: []string{"rbind", "ro"}}}
	})},
	{"rootfs-overlay", withRootfs(func(s *side) []*types.Mount {
		return []*types.Mount{s.overlay(world.rootfs)}
	})},
	{"rootfs-many-layers", withRootfs((*side).manyLayers)},
	{"rootfs-two-mounts", withRootfs(func(s *side) []*types.Mount {
		return []*types.Mount{
			s.overlay(world.rootfs),
			{Type: "tmpfs", Source: "tmpfs", Target: "/tmp", Options: []string{"size=65536"}},
		}
	})},
	{"user-namespace", func(s *side) {
		c := s.container(want{
			args: sh("id -u >/host/id; cat /proc/self/uid_map >>/host/id; exit 5"),
			spec: []oci.SpecOpts{oci.WithUserNamespace(mapping, mapping), oci.WithRootFSPath("rootfs")},
		})
		io, out, err := s.both("o")
		io.rootfs = []*types.Mount{s.overlay(world.rootfs)}
		c.create(io)
		c.showBundle()
		c.start()
		c.wait()
		out.ended()
		err.ended()
		s.file("id")
		c.delete()
	}},
	{"image", func(s *side) {
		s.imageScenario()
	}},
}

// ociImage is an image of one layer that holds the rootfs.
func ociImage() ([]byte, error) {
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	if err := w.AddFS(os.DirFS(world.rootfs)); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return layoutOf(layer.Bytes())
}
