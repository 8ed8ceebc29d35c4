// SPDX-License-Identifier: Apache-2.0

package parity

import (
	"os"
	"path/filepath"

	"github.com/containerd/containerd/api/services/tasks/v1"
	runcoptions "github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/embedshim/embedshim/tests/parity/host"
)

// withOptions runs a container whose runtime options were changed.
func withOptions(change func(s *side, o *runcoptions.Options)) func(*side) {
	return func(s *side) {
		c := &container{process: process{s: s}, runtimeLog: s.path(s.scenario + "-runtime.log")}
		o := s.runcOptions(c, "")
		change(s, o)
		c = s.container(want{options: o})
		if c.run(streams{}) {
			c.state()
			e := c.execute("e", []string{"true"}, streams{})
			e.start()
			e.wait()
			c.end()
		}
	}
}

var optionScenarios = []scenario{
	{"option-no-pivot", withOptions(func(_ *side, o *runcoptions.Options) { o.NoPivotRoot = true })},
	{"option-no-keyring", withOptions(func(_ *side, o *runcoptions.Options) { o.NoNewKeyring = true })},
	{"option-systemd-cgroup", func(s *side) {
		c := s.container(want{
			spec:    []oci.SpecOpts{oci.WithCgroup("system.slice:" + s.namespace + ":" + s.scenario)},
			systemd: true,
		})
		if c.run(streams{}) {
			c.end()
		}
	}},
	{"option-default-root", withOptions(func(_ *side, o *runcoptions.Options) { o.Root = "" })},
	{"option-other-root", withOptions(func(_ *side, o *runcoptions.Options) {
		o.Root = filepath.Join(world.dir, "other-root")
	})},
	{"option-shim-cgroup", withOptions(func(s *side, o *runcoptions.Options) {
		o.ShimCgroup = filepath.Join(world.cgroup, s.namespace+"-shim")
		for _, hierarchy := range host.Hierarchies() {
			dir := filepath.Join(hierarchy, o.ShimCgroup)
			if err := os.MkdirAll(dir, 0o755); err != nil {
				s.Fatal(err)
			}
			// With cgroup v1 nothing can be put where there is no processor.
			for _, at := range []string{filepath.Dir(dir), dir} {
				for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
					if text, err := os.ReadFile(filepath.Join(hierarchy, file)); err == nil {
						_ = os.WriteFile(filepath.Join(at, file), text, 0o644)
					}
				}
			}
		}
	})},
	{"option-binary-name", func(s *side) {
		c := s.container(want{options: &runcoptions.Options{BinaryName: "runc", Root: s.runcRoot()}})
		c.run(streams{})
		c.end()
	}},
	{"option-none", func(s *side) {
		c := s.container(want{options: &runcoptions.Options{}})
		c.run(streams{})
		c.end()
	}},
	{"option-of-task", func(s *side) {
		c := s.container(want{})
		o := s.runcOptions(c, "")
		o.Root = filepath.Join(world.dir, "task-root")
		o.NoNewKeyring = true
		c.run(streams{options: o})
		c.end()
	}},
	{"runtime-path", func(s *side) {
		// The container's record says runc, the task is given to the runtime by its path.
		kind := s.sideKind
		s.runtime = host.Stock
		c := s.container(want{})
		s.sideKind = kind
		ctx, cancel := s.call()
		defer cancel()
		response, err := s.tasks().Create(ctx, &tasks.CreateTaskRequest{ContainerID: c.id, RuntimePath: s.runtime})
		if s.outcome("create by path", err) {
			s.normal.know(response.Pid, c.name())
		}
		c.start()
		c.state()
		c.end()
	}},
}
