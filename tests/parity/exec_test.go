// SPDX-License-Identifier: Apache-2.0

package parity

import (
	"fmt"
	"syscall"
)

var execScenarios = []scenario{
	{"exec", func(s *side) {
		c := s.container(want{})
		c.run(streams{})
		io, out, err := s.both("e")
		e := c.execute("e", sh("echo out; echo err >&2; id -u; exit 7"), io)
		e.state()
		wait := e.waiting()
		e.start()
		wait()
		out.ended()
		err.ended()
		e.state()
		e.wait()
		e.delete()
		e.state()
		e.wait()
		// Its ID can be used again.
		e = c.execute("e", []string{"true"}, streams{})
		e.start()
		e.wait()
		e.delete()
		c.end()
	}},
	{"exec-refused", func(s *side) {
		c := s.container(want{})
		c.run(streams{})
		e := c.execute("e", []string{"sleep", "1000000"}, streams{})
		c.execute("e", []string{"true"}, streams{})
		e.kill(syscall.SIGTERM)
		e.resize(80, 25)
		e.closeStdin()
		e.start()
		c.execute("e", []string{"true"}, streams{})
		e.state()
		e.delete()
		e.resize(80, 25)
		e.kill(syscall.SIGKILL)
		e.wait()
		e.kill(syscall.SIGKILL)
		e.resize(80, 25)
		e.closeStdin()
		e.start()
		e.state()
		e.delete()
		e.delete()
		e.start()
		e.kill(syscall.SIGKILL)
		e.resize(80, 25)
		c.execute("", []string{"true"}, streams{})
		c.end()
	}},
	{"exec-missing-program", func(s *side) {
		c := s.container(want{})
		c.run(streams{})
		e := c.execute("e", []string{"/no/such/program"}, streams{})
		wait := e.waiting()
		e.start()
		wait()
		e.state()
		e.kill(syscall.SIGKILL)
		e.delete()
		e = c.execute("after", []string{"true"}, streams{})
		e.start()
		e.wait()
		e.delete()
		c.execute("d", []string{"/etc"}, streams{}).start()
		c.executeRaw("cwd", []byte(`{"args":["true"],"cwd":"/no/such/directory","env":["PATH=/bin"]}`),
			streams{}).start()
		c.executeRaw("relative", []byte(`{"args":["true"],"cwd":"tmp"}`), streams{}).start()
		c.executeRaw("nothing", []byte(`{"cwd":"/"}`), streams{}).start()
		c.executeRaw("broken", []byte(`{"cwd":`), streams{})
		c.state()
		c.end()
	}},
	{"exec-in-created", func(s *side) {
		c := s.container(want{})
		c.create(streams{})
		e := c.execute("e", sh("exit 9"), streams{})
		e.start()
		e.wait()
		e.delete()
		c.state()
		c.start()
		c.end()
	}},
	{"exec-deleted-created", func(s *side) {
		c := s.container(want{})
		c.run(streams{})
		e := c.execute("e", []string{"true"}, streams{})
		e.delete()
		e.state()
		e = c.execute("e", []string{"true"}, streams{})
		c.kill(syscall.SIGKILL)
		c.wait()
		e.state()
		e.start()
		e.kill(syscall.SIGKILL)
		c.execute("late", []string{"true"}, streams{})
		e.delete()
		c.delete()
	}},
	{"exec-ends-before-init", func(s *side) {
		c := s.container(want{})
		c.run(streams{})
		var execs []*process
		for i := range 5 {
			e := c.execute(fmt.Sprintf("e%d", i), []string{"sleep", "1000000"}, streams{})
			e.start()
			execs = append(execs, e)
		}
		c.pids()
		c.kill(syscall.SIGKILL)
		c.wait()
		for _, e := range execs {
			e.wait()
			e.state()
		}
		for _, e := range execs {
			e.delete()
		}
		c.delete()
	}},
	{"exec-not-deleted", func(s *side) {
		c := s.container(want{})
		c.run(streams{})
		e := c.execute("e", sh("exit 5"), streams{})
		e.start()
		e.wait()
		c.ready()
		c.kill(syscall.SIGTERM)
		c.wait()
		c.delete()
		e.state()
	}},
	{"exec-short", func(s *side) {
		c := s.container(want{})
		c.run(streams{})
		for i := range 10 {
			e := c.execute(fmt.Sprintf("e%d", i), sh(fmt.Sprintf("exit %d", i)), streams{})
			e.start()
			e.wait()
			e.delete()
		}
		c.end()
	}},
	{"exec-background-child", func(s *side) {
		c := s.container(want{})
		c.run(streams{})
		io, out, err := s.both("e")
		// The child has the streams until it is killed with the container.
		e := c.execute("e", sh("echo begun; sleep 1000000 & exit 6"), io)
		e.start()
		e.wait()
		out.await("begun")
		e.delete()
		c.kill(syscall.SIGKILL)
		c.wait()
		out.ended()
		err.ended()
		c.delete()
	}},
}

// end kills the container by SIGKILL and deletes it.
func (c *container) end() {
	c.kill(syscall.SIGKILL)
	c.wait()
	c.delete()
}
