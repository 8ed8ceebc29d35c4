// SPDX-License-Identifier: Apache-2.0

package parity

import (
	"fmt"
	"os"
	"syscall"

	"github.com/containerd/containerd/v2/pkg/oci"
)

// little is a memory limit that the probe exceeds.
var little = []oci.SpecOpts{oci.WithMemoryLimit(24 << 20), oci.WithMemorySwap(24 << 20)}

var exitScenarios = []scenario{
	{"exit-codes", func(s *side) {
		for _, code := range []int{0, 1, 127, 255} {
			c := s.container(want{suffix: fmt.Sprint("-", code), args: sh(fmt.Sprintf("exit %d", code))})
			c.run(streams{})
			c.wait()
			c.state()
			c.delete()
		}
	}},
	{"exit-signals", func(s *side) {
		c := s.container(want{})
		c.run(streams{})
		// Not PID 1 of its namespace, which these signals would not end.
		for _, signal := range []syscall.Signal{1, 2, 6, 9, 11, 15, 34, 64} {
			e := c.execute(fmt.Sprint("e", int(signal)), []string{"sleep", "1000000"}, streams{})
			e.start()
			e.kill(signal)
			e.wait()
			e.delete()
		}
		e := c.execute("core", sh("ulimit -c unlimited; cd /host; kill -QUIT $$"), streams{})
		e.start()
		e.wait()
		c.end()
	}},
	{"exit-of-host-pid-init", func(s *side) {
		for _, signal := range []syscall.Signal{2, 6, 15} {
			up := fmt.Sprint("up-", int(signal))
			c := s.container(want{suffix: fmt.Sprint("-", int(signal)), spec: hostPid,
				args: sh("echo up >/host/" + up + "; exec sleep 1000000")})
			c.run(streams{})
			s.waitFile(up) // until then the process may still be the runtime's, which handles signals
			c.kill(signal)
			c.wait()
			c.delete()
		}
	}},
	{"exit-at-once", func(s *side) {
		for i := range 8 {
			c := s.container(want{suffix: fmt.Sprint("-", i), args: sh(fmt.Sprint("exit ", i+10))})
			c.run(streams{})
			c.wait()
			c.delete()
		}
	}},
	{"leader-exits-first", func(s *side) {
		c := s.container(want{args: []string{"probe", "leader-exits-first"}})
		d := s.container(want{suffix: "-2"})
		c.run(streams{})
		d.run(streams{})
		e := d.execute("e", []string{"probe", "leader-exits-first"}, streams{})
		e.start()
		c.wait()
		e.wait()
		c.delete()
		d.end()
	}},
	{"children-with-host-pid", func(s *side) {
		c := s.container(want{
			args: sh("for i in 1 2 3; do sleep 1000000 & done; echo up >/host/up; exit 8"),
			spec: hostPid,
		})
		c.run(streams{})
		s.waitFile("up")
		c.wait() // the stock shim may return before all children have gone
		c.delete()
	}},
	{"children-with-own-pid", func(s *side) {
		c := s.container(want{args: sh("for i in 1 2 3; do sleep 1000000 & done; exit 8")})
		c.run(streams{})
		c.wait()
		s.say("%d processes after the exit", len(processesIn(c.cgroup())))
		c.delete()
	}},
	{"pid-after-wait", func(s *side) {
		c := s.container(want{args: sh("exit 0")})
		ctx, cancel := s.call()
		defer cancel()
		c.create(streams{})
		pid := s.pidOf(ctx, c.id)
		c.start()
		c.wait()
		s.say("the process after Wait: %v", syscall.Kill(pid, 0))
		c.delete()
	}},
	{"oom-init", func(s *side) {
		c := s.container(want{args: []string{"probe", "use-memory", "100"}, spec: little})
		c.run(streams{})
		c.wait()
		c.delete()
	}},
	{"oom-child", func(s *side) {
		c := s.container(want{
			args: sh("while [ ! -e /host/go ]; do sleep 0.05; done; probe use-memory 100; echo $? >/host/status; sleep 1000000"),
			spec: little,
		})
		c.run(streams{})
		if err := os.WriteFile(s.path("go"), nil, 0o644); err != nil {
			s.Fatal(err)
		}
		s.say("child: %s", s.waitFile("status"))
		s.until("the OOM event", func() bool { return contains(s.eventsOf(c.id), "oom") })
		c.state()
		c.end()
	}},
	{"oom-exec", func(s *side) {
		c := s.container(want{spec: little})
		c.run(streams{})
		e := c.execute("e", []string{"probe", "use-memory", "100"}, streams{})
		e.start()
		e.wait()
		s.until("the OOM event", func() bool { return contains(s.eventsOf(c.id), "oom") })
		e.delete()
		c.end()
	}},
}
