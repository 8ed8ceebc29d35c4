// SPDX-License-Identifier: Apache-2.0

package parity

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"
)

func int64p(v int64) *int64 { return &v }

var controlScenarios = []scenario{
	{"pause", func(s *side) {
		c := s.container(want{})
		c.create(streams{})
		c.pause()
		c.resume()
		c.start()
		e := c.execute("e", []string{"sleep", "1000000"}, streams{})
		e.start()
		added := c.execute("added", []string{"true"}, streams{})
		c.resume()
		c.pause()
		c.state()
		e.state()
		added.state()
		c.pause()
		c.start()
		c.delete()
		c.execute("f", []string{"true"}, streams{})
		added.start()
		added.state()
		c.pids()
		c.resume()
		c.state()
		e.state()
		c.ready()
		c.kill(syscall.SIGTERM)
		c.wait()
		c.pause()
		c.resume()
		c.state()
		c.delete()
	}},
	{"pause-killed", func(s *side) {
		c := s.container(want{})
		c.run(streams{})
		c.pause()
		c.kill(syscall.SIGKILL)
		c.wait()
		c.state()
		c.delete()
	}},
	{"pause-updated", func(s *side) {
		c := s.container(want{})
		c.run(streams{})
		c.pause()
		c.update(specs.LinuxResources{Pids: &specs.LinuxPids{Limit: int64p(50)}})
		c.showLimit("pids", "pids.max")
		c.state()
		c.resume()
		c.end()
	}},
	{"update", func(s *side) {
		c := s.container(want{})
		c.create(streams{})
		c.update(specs.LinuxResources{Pids: &specs.LinuxPids{Limit: int64p(70)}})
		c.showLimit("pids", "pids.max")
		c.start()
		c.update(specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: int64p(64 << 20)}})
		c.showLimit("memory", "memory.limit_in_bytes", "memory.max")
		c.update(specs.LinuxResources{CPU: &specs.LinuxCPU{Cpus: "no-cpus"}})
		c.update("not an object")
		c.state()
		c.kill(syscall.SIGKILL)
		c.wait()
		c.update(specs.LinuxResources{Pids: &specs.LinuxPids{Limit: int64p(60)}})
		c.delete()
	}},
	{"metrics", func(s *side) {
		c := s.container(want{
			args: sh("echo up >/host/up; exec sleep 1000000"),
			spec: []oci.SpecOpts{oci.WithMemoryLimit(64 << 20), oci.WithPidsLimit(30)},
		})
		c.metrics()
		c.create(streams{})
		c.start()
		s.waitFile("up")
		s.until("sleep", func() bool { return c.running() == "sleep" })
		c.metrics()
		c.kill(syscall.SIGKILL)
		c.wait()
		c.metrics()
		c.delete()
		c.metrics()
	}},
	{"list", func(s *side) {
		c := s.container(want{})
		d := s.container(want{suffix: "-2"})
		s.list()
		c.run(streams{})
		d.create(streams{})
		c.execute("e", []string{"true"}, streams{})
		s.list()
		c.end()
		s.list()
		d.delete()
		s.list()
	}},
	{"pids", func(s *side) {
		c := s.container(want{args: sh("for i in 1 2 3 4 5; do sleep 1000000 & done; echo up >/host/up; wait")})
		c.create(streams{})
		c.pids()
		c.start()
		s.waitFile("up")
		e := c.execute("e", []string{"sleep", "1000000"}, streams{})
		e.start()
		c.pids()
		c.kill(syscall.SIGKILL)
		c.wait()
		c.pids()
		c.delete()
	}},
	{"no-streams", func(s *side) {
		c := s.container(want{})
		c.create(streams{})
		c.resize(80, 25)
		c.closeStdin()
		c.start()
		c.resize(80, 25)
		c.closeStdin()
		c.kill(syscall.SIGKILL)
		c.wait()
		c.resize(80, 25)
		c.closeStdin()
		c.delete()
	}},
	{"signals", func(s *side) {
		c := s.container(want{args: sh("trap 'echo 1 >/host/usr1' USR1; echo up >/host/up; while :; do sleep 0.05; done")})
		c.run(streams{})
		s.waitFile("up")
		c.kill(syscall.SIGUSR1)
		s.waitFile("usr1")
		c.killAs(0, false)
		c.killAs(65, false)
		c.killAs(1000, false)
		c.kill(syscall.SIGTERM) // PID 1 has no handler for it
		c.state()
		c.end()
	}},
	{"kill-all", func(s *side) {
		c := s.container(want{args: sh("sleep 1000000 & sleep 1000000")})
		c.run(streams{})
		e := c.execute("e", []string{"sleep", "1000000"}, streams{})
		e.start()
		c.killAll(syscall.SIGKILL)
		e.wait()
		c.wait()
		c.delete()
	}},
	{"kill-all-host-pid", func(s *side) {
		c := s.container(want{args: sh("sleep 1000000 & echo up >/host/up; sleep 1000000"), spec: hostPid})
		c.run(streams{})
		s.waitFile("up")
		c.killAll(syscall.SIGTERM)
		c.wait()
		c.delete()
	}},
	{"deleted-behind-our-back", func(s *side) {
		c := s.container(want{})
		c.run(streams{})
		command := exec.Command(world.runc, "--root", filepath.Join(s.runcRoot(), s.namespace), "delete",
			"--force", c.id)
		if err := startCommand(command); err != nil {
			s.Fatal(err)
		}
		s.say("runc delete: %v", command.Wait())
		c.wait()
		c.kill(syscall.SIGKILL)
		c.killAll(syscall.SIGKILL)
		c.state()
		c.delete()
	}},
	{"runtime-info", func(s *side) {
		c := s.container(want{})
		s.runtimeInfo("no options", nil)
		s.runtimeInfo("runc options", s.runcOptions(c, ""))
	}},
	{"sandbox-annotations", func(s *side) {
		spec := []oci.SpecOpts{oci.WithAnnotations(map[string]string{
			"io.containerd.runc.v2.group":    s.namespace,
			"io.kubernetes.cri.sandbox-id":   "sandbox-annotations",
			"io.kubernetes.cri.container-id": "x",
		})}
		c := s.container(want{spec: spec})
		d := s.container(want{suffix: "-2", spec: spec})
		c.run(streams{})
		d.run(streams{})
		c.end()
		d.state()
		d.end()
	}},
}

var hostPid = []oci.SpecOpts{oci.WithHostNamespace(specs.PIDNamespace)}

// showLimit records the first of the files that there is in the container's cgroup.
func (c *container) showLimit(controller string, files ...string) {
	name := c.cgroup()
	for _, dir := range cgroupDirs(name) {
		for _, file := range files {
			text, err := os.ReadFile(filepath.Join(dir, file))
			if err == nil {
				c.s.say("limit of %s: %s", controller, strings.TrimSpace(string(text)))
				return
			}
		}
	}
	c.s.say("limit of %s: none", controller)
}
