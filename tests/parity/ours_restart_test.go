// SPDX-License-Identifier: Apache-2.0

package parity

import (
	"os"
	"slices"
	"syscall"
)

// ownRestartScenarios are exits around a restart, whose status the stock shim loses.
var ownRestartScenarios = slices.Concat(restarts("exit-while-down", func(s *side, signal syscall.Signal) {
	before := s.container(want{suffix: "-before", args: sh("exit 41")})
	before.run(streams{})
	before.wait()
	s.saw("wait .*: 41 at <t1>")
	during := s.container(want{suffix: "-during", args: sh("while [ ! -e /host/go ]; do sleep 0.02; done; exit 42")})
	during.run(streams{})
	killed := s.container(want{suffix: "-killed"})
	killed.run(streams{})
	e := killed.execute("e", []string{"sleep", "1000000"}, streams{})
	e.start()
	pid := s.pidOf(s.ctx, killed.id)
	oom := s.container(want{suffix: "-oom", spec: little, args: sh(
		"while [ ! -e /host/go ]; do sleep 0.02; done; exec probe use-memory 100")})
	oom.run(streams{})
	never := s.container(want{suffix: "-created"})
	never.create(streams{})
	s.restart(signal, func() {
		if err := os.WriteFile(s.path("go"), nil, 0o644); err != nil {
			s.Fatal(err)
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			s.Fatal(err)
		}
		for _, c := range []*container{during, killed, oom} {
			s.until("the end of "+c.id, func() bool { return len(processesIn(c.cgroup())) == 0 })
		}
	})
	before.state()
	s.saw("state .* STOPPED .* exit=41 at=<t1>")
	before.wait()
	s.saw("wait .*: 41 at <t1>")
	during.wait()
	s.saw("wait .*: 42 at <t1>")
	during.state()
	s.saw("state .* STOPPED .* exit=42 at=<t1>")
	e.wait()
	s.saw("wait .*: 137 at <t1>")
	killed.wait()
	s.saw("wait .*: 137 at <t1>")
	oom.wait()
	s.saw("wait .*: 137 at <t1>")
	never.state()
	s.saw("state .* CREATED .*")
	never.start()
	never.end()
	for _, c := range []*container{before, during, killed, oom} {
		c.metrics()
		c.delete()
		s.saw("delete .*: .* status=[1-9].*")
	}
	before.sawEvents("create .*", "start .*", "exit .* status=41 at=<t1>", "delete .* status=41 at=<t1>")
	during.sawEvents("create .*", "start .*", "exit .* status=42 at=<t1>", "delete .* status=42 at=<t1>")
	killed.sawEvents("create .*", "start .*", "exec-added e", "exec-started .*", "exit id=e .* status=137 at=<t1>",
		"exit .* status=137 at=<t1>", "delete .* at=<t1>")
	oom.sawEvents("create .*", "start .*", "oom", "exit .* status=137 at=<t1>", "delete .*")
}))

// cgroup is the path of the container's in the hierarchies.
func (c *container) cgroup() string { return world.cgroup + "/" + c.s.namespace + "/" + c.id }
