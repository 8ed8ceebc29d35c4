// SPDX-License-Identifier: Apache-2.0

package parity

import "syscall"

var lifecycleScenarios = []scenario{
	{"run", func(s *side) {
		c := s.container(want{args: sh("echo up >/host/up; exit 3")})
		c.create(streams{})
		c.state()
		c.showBundle()
		c.showMounts()
		c.showCgroups()
		s.file("up") // nothing of the user's runs before the start
		wait := c.waiting()
		c.start()
		wait()
		c.state()
		c.wait()
		c.delete()
		c.state()
	}},
	{"states", func(s *side) {
		c := s.container(want{})
		c.state()
		c.create(streams{})
		c.state()
		c.start()
		c.state()
		c.start() // a second time
		c.delete()
		c.state()
		c.kill(syscall.SIGKILL)
		c.wait()
		c.state()
		c.start()
		c.kill(syscall.SIGKILL)
		c.killAll(syscall.SIGKILL)
		c.delete()
		c.delete()
		c.kill(syscall.SIGKILL)
		c.wait()
	}},
	{"unknown", func(s *side) {
		c := &container{process: process{s: s, id: "unknown"}}
		c.create(streams{})
		c.state()
		c.start()
		c.wait()
		c.kill(syscall.SIGTERM)
		c.delete()
		c.pause()
		c.resume()
		c.pids()
		c.resize(10, 10)
		c.closeStdin()
		c.update(nil)
		c.execute("e", []string{"true"}, streams{})
	}},
	{"created-deleted", func(s *side) {
		c := s.container(want{})
		c.create(streams{})
		c.delete()
		c.state()
		c.create(streams{})
		c.delete()
	}},
	{"created-killed", func(s *side) {
		c := s.container(want{})
		c.create(streams{})
		c.kill(syscall.SIGKILL)
		c.wait()
		c.state()
		c.start()
		c.delete()
	}},
	{"create-twice", func(s *side) {
		c := s.container(want{})
		c.run(streams{})
		c.create(streams{})
		c.state()
		c.kill(syscall.SIGKILL)
		c.wait()
		c.create(streams{})
		c.delete()
		c.run(streams{})
		c.ready()
		c.kill(syscall.SIGTERM)
		c.wait()
		c.delete()
	}},
	{"waiters", func(s *side) {
		c := s.container(want{})
		c.create(streams{})
		var waits []func()
		for range 20 {
			waits = append(waits, c.waiting())
		}
		c.start()
		c.ready()
		c.kill(syscall.SIGTERM)
		for _, wait := range waits {
			wait()
		}
		c.delete()
	}},
	{"long-names", func(s *side) {
		c := s.container(want{id: longName("id", 64)})
		c.run(streams{})
		e := c.execute(longName("exec", 64), []string{"true"}, streams{})
		e.start()
		e.wait()
		c.state()
		c.ready()
		c.kill(syscall.SIGTERM)
		c.wait()
		c.delete()
	}},
}

// longName is a valid identifier of so many characters.
func longName(prefix string, size int) string {
	for len(prefix) < size {
		prefix += "x"
	}
	return prefix
}
