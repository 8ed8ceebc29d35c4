// SPDX-License-Identifier: Apache-2.0

package parity

import (
	"os"
	"syscall"

	"github.com/containerd/containerd/api/types"
	runcoptions "github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// refusedToStart creates a container that cannot be, and looks for what that leaves.
func refusedToStart(w want, io streams) func(*side) {
	return func(s *side) {
		c := s.container(w)
		if c.create(io) {
			c.start()
			c.wait()
			c.state()
			c.delete()
		}
		c.state()
	}
}

var failureScenarios = []scenario{
	{"fail-program", refusedToStart(want{args: []string{"/no/such/program"}}, streams{})},
	{"fail-directory", refusedToStart(want{args: []string{"/etc"}}, streams{})},
	{"fail-not-executable", refusedToStart(want{args: []string{"/etc/passwd"}}, streams{})},
	{"fail-cwd", refusedToStart(want{
		args: sh("pwd >/host/cwd; exit 1"),
		spec: []oci.SpecOpts{oci.WithProcessCwd("/no/such/directory")},
	}, streams{})},
	{"fail-rootfs", refusedToStart(want{spec: []oci.SpecOpts{oci.WithRootFSPath("/no/such/rootfs")}}, streams{})},
	{"fail-mount", refusedToStart(want{spec: []oci.SpecOpts{oci.WithMounts([]specs.Mount{{
		Destination: "/mnt", Type: "bind", Source: "/no/such/source", Options: []string{"bind"},
	}})}}, streams{})},
	{"fail-rootfs-mount", refusedToStart(want{spec: []oci.SpecOpts{oci.WithRootFSPath("rootfs")}},
		streams{rootfs: []*types.Mount{{Type: "bind", Source: "/no/such/source", Options: []string{"rbind"}}}})},
	{"fail-second-mount", func(s *side) {
		refusedToStart(want{spec: []oci.SpecOpts{oci.WithRootFSPath("rootfs")}}, streams{rootfs: []*types.Mount{
			{Type: "bind", Source: world.rootfs, Options: []string{"rbind", "ro"}},
			{Type: "no-such-fs", Source: "none"},
		}})(s)
	}},
	{"fail-scheme", refusedToStart(want{}, streams{stdout: "nosuch:///x", stderr: "nosuch:///x"})},
	{"fail-no-fifo", refusedToStart(want{}, streams{stdout: "/no/such/dir/out", stderr: "/no/such/dir/err"})},
	{"fail-logger", refusedToStart(want{}, streams{stdout: "binary:///no/such/logger", stderr: "binary:///no/such/logger"})},
	{"fail-options", func(s *side) {
		c := s.container(want{options: &runcoptions.Options{BinaryName: "/no/such/runtime", Root: s.runcRoot()}})
		c.create(streams{})
		c.state()
	}},
	{"fail-runtime", func(s *side) {
		c := s.container(want{script: `case " $* " in *" create "*) exit 3;; esac`})
		c.create(streams{})
		c.state()
	}},
	{"fail-runtime-says", func(s *side) {
		c := s.container(want{script: `case " $* " in *" create "*) echo no luck today >&2; exit 3;; esac`})
		c.create(streams{})
		c.state()
	}},
	{"fail-start", func(s *side) {
		c := s.container(want{script: `case " $* " in *" start "*) echo no luck >&2; exit 3;; esac`})
		c.create(streams{})
		c.start()
		c.state()
		c.end()
	}},
	{"fail-late", func(s *side) {
		// The runtime has made the container when it fails; the second time all is well.
		script := `case " $* " in *" create "*) if [ ! -e '` + s.path("seen") + `' ]; then
	: >'` + s.path("seen") + `'; ` + world.runc + ` "$@" </dev/null; exit 4
fi;; esac`
		c := s.container(want{script: script})
		c.create(streams{})
		c.state()
		c.showLeft()
		c.create(streams{})
		c.start()
		c.end()
	}},
	{"exec-held-by-runtime", func(s *side) {
		script := `case " $* " in *" exec "*) echo held >'` + s.path("held") + `'
	while [ ! -e '` + s.path("release") + `' ]; do sleep 0.02; done;; esac`
		c := s.container(want{script: script})
		c.run(streams{})
		e := c.execute("e", []string{"true"}, streams{})
		done := make(chan struct{})
		go func() {
			defer close(done)
			e.start()
		}()
		s.waitFile("held")
		pid := s.pidOf(s.ctx, c.id)
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			s.Fatal(err)
		}
		s.until("the end of init", func() bool { return syscall.Kill(pid, 0) == syscall.ESRCH })
		if err := os.WriteFile(s.path("release"), nil, 0o644); err != nil {
			s.Fatal(err)
		}
		<-done
		c.wait()
		c.state()
		e.state()
		e.delete()
		c.delete()
	}},
}
