// SPDX-License-Identifier: Apache-2.0

package parity

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	runcoptions "github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/typeurl/v2"
	"github.com/opencontainers/runtime-spec/specs-go"
	"google.golang.org/protobuf/types/known/anypb"
)

// want says what a container is to be.
type want struct {
	suffix  string // for the ID of a scenario's second, third, ... container
	id      string // in place of the scenario's name
	args    []string
	spec    []oci.SpecOpts
	options any // runtime options; by default a recorded runc with a root of its own
	raw     []byte
	script  string // what the recorded runtime does first
	systemd bool
	labels  map[string]string
}

// sh is a shell's script as a command.
func sh(script string) []string { return []string{"/bin/sh", "-c", script} }

// forever runs until it is killed, and lets the signals end it that end processes. As PID 1 of a namespace
// it would ignore those that it has no handler for.
func forever() []string { return sh("trap 'exit 143' TERM; sleep 1000000 & wait") }

// ready waits until the program of forever() ends by SIGTERM.
func (c *container) ready() {
	c.s.Helper()
	pid := c.s.pidOf(c.s.ctx, c.id)
	c.s.until("the handler of SIGTERM", func() bool {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		_, mask, _ := strings.Cut(string(text), "SigCgt:\t")
		caught, _ := strconv.ParseUint(strings.TrimSpace(strings.SplitN(mask, "\n", 2)[0]), 16, 64)
		// runc, which it was before, has handlers too.
		return strings.HasPrefix(string(text), "Name:\tsh\n") && caught&(1<<(syscall.SIGTERM-1)) != 0
	})
}

// container is a container of containerd's metadata, and its task.
type container struct {
	process
	runtimeLog string
}

// process is a task's init, or an exec.
type process struct {
	s    *side
	id   string
	exec string
}

// container makes a container's record.
func (s *side) container(w want) *container {
	s.Helper()
	id := w.id
	if id == "" {
		id = s.scenario + w.suffix
	}
	c := &container{process: process{s: s, id: id}, runtimeLog: s.path(id + "-runtime.log")}
	spec := s.specOf(w, id)
	options := w.options
	if options == nil {
		o := s.runcOptions(c, w.script)
		o.SystemdCgroup = w.systemd
		options = o
	}
	record := containers.Container{
		ID:      id,
		Labels:  w.labels,
		Runtime: containers.RuntimeInfo{Name: s.runtime, Options: s.anyOf(options)},
		Spec:    &anypb.Any{TypeUrl: "types.containerd.io/opencontainers/runtime-spec/1/Spec", Value: spec},
	}
	ctx, cancel := s.call()
	defer cancel()
	if _, err := s.client().ContainerService().Create(ctx, record); err != nil {
		s.Fatal(err)
	}
	s.containers = append(s.containers, c)
	return c
}

// anyOf is nil for nil.
func (s *side) anyOf(v any) typeurl.Any {
	if v == nil {
		return nil
	}
	if a, ok := v.(*anypb.Any); ok {
		return a
	}
	a, err := typeurl.MarshalAny(v)
	if err != nil {
		s.Fatal(err)
	}
	return a
}

// specOf is the JSON text of the container's specification.
func (s *side) specOf(w want, id string) []byte {
	s.Helper()
	if w.raw != nil {
		return w.raw
	}
	args := w.args
	if args == nil {
		args = forever()
	}
	opts := append([]oci.SpecOpts{
		oci.WithRootFSPath(world.rootfs),
		oci.WithProcessArgs(args...),
		oci.WithEnv([]string{"PATH=/bin"}),
		oci.WithCgroup(filepath.Join(world.cgroup, s.namespace, id)),
		oci.WithMounts([]specs.Mount{{
			Destination: "/host",
			Type:        "bind",
			Source:      s.dir,
			Options:     []string{"bind", "rw"},
		}}),
	}, w.spec...)
	spec, err := oci.GenerateSpec(s.ctx, nil, &containers.Container{ID: id}, opts...)
	if err != nil {
		s.Fatal(err)
	}
	text, err := json.Marshal(spec)
	if err != nil {
		s.Fatal(err)
	}
	return text
}

// runcRoot is below the scratch directory, so that nothing of another daemon is seen.
func (s *side) runcRoot() string { return filepath.Join(world.dir, "runc") }

func (s *side) runcOptions(c *container, script string) *runcoptions.Options {
	return &runcoptions.Options{BinaryName: s.recordedRuntime(c, script), Root: s.runcRoot()}
}

// recordedRuntime is a program that writes down how it is called and becomes runc. Before that it runs
// commands of the shell.
func (s *side) recordedRuntime(c *container, before string) string {
	path := strings.TrimSuffix(c.runtimeLog, ".log")
	script := fmt.Sprintf(`#!/bin/sh
echo "cwd=$PWD notify=${NOTIFY_SOCKET-unset} $*" >>'%s'
%s
exec %s "$@"
`, c.runtimeLog, before, world.runc)
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		s.Fatal(err)
	}
	return path
}

// execSpec is the OCI process of an exec.
func execSpec(args []string) *specs.Process {
	return &specs.Process{Args: args, Cwd: "/", Env: []string{"PATH=/bin"}}
}
