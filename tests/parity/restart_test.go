// SPDX-License-Identifier: Apache-2.0

package parity

import (
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/embedshim/embedshim/tests/parity/host"
)

// restarts does the same with a daemon that is ended and with one that is killed.
func restarts(name string, run func(s *side, signal syscall.Signal)) []scenario {
	return []scenario{
		{name + "-term", func(s *side) { run(s, syscall.SIGTERM) }},
		{name + "-kill", func(s *side) { run(s, syscall.SIGKILL) }},
	}
}

var restartScenarios = append(restarts("restart", func(s *side, signal syscall.Signal) {
	running := s.container(want{suffix: "-running", args: sh(
		"trap 'echo bye; exit 21' TERM; echo up; sleep 1000000 & wait")})
	io, out, errs := s.both("o")
	running.run(io)
	out.await("up")
	e := running.execute("e", []string{"sleep", "1000000"}, streams{})
	e.start()
	ended := running.execute("ended", sh("exit 31"), streams{})
	ended.start()
	ended.wait()
	meanwhile := running.execute("meanwhile", sh("while [ ! -e /host/end ]; do sleep 0.02; done; echo x >/host/ended; exit 32"), streams{})
	meanwhile.start()
	added := running.execute("added", sh("exit 33"), streams{})
	paused := s.container(want{suffix: "-paused"})
	paused.run(streams{})
	paused.pause()
	created := s.container(want{suffix: "-created", args: sh("exit 22")})
	created.create(streams{})
	interrupted := running.waiting()

	s.restart(signal, func() {
		if err := os.WriteFile(s.path("end"), nil, 0o644); err != nil {
			s.Fatal(err)
		}
		s.waitFile("ended")
		s.until("the end of the exec", func() bool { return !running.runs("/host/end") })
	})
	interrupted()
	// The stock shim tells it when it has found the daemon again, after a while or never.
	host.Poll(8*time.Second, func() bool {
		return slices.ContainsFunc(s.eventsOf(running.id), func(line string) bool {
			return strings.HasPrefix(line, "exit id=meanwhile ")
		})
	})
	for _, c := range []*container{running, paused, created} {
		c.state()
	}
	running.metrics()
	running.pids()
	for _, p := range []*process{e, ended, added} {
		p.state()
	}
	meanwhile.wait()
	meanwhile.state()
	wait := running.waiting()
	added.start()
	added.wait()
	for _, p := range []*process{ended, meanwhile, added} {
		p.delete()
	}
	e.kill(syscall.SIGKILL)
	e.wait()
	e.delete()
	running.kill(syscall.SIGTERM)
	wait()
	out.ended()
	errs.ended()
	running.state()
	running.delete()
	paused.resume()
	paused.end()
	created.start()
	created.wait()
	created.delete()
}), restarts("restart-streams", func(s *side, signal syscall.Signal) {
	tty := s.container(want{suffix: "-terminal", args: sh("read a; echo got $a; stty size; read b; exit 23"),
		spec: []oci.SpecOpts{oci.WithTTY}})
	ttyOut := s.output("t.out")
	ttyPath, ttyIn := s.input("t.in")
	tty.run(streams{stdin: ttyPath, stdout: ttyOut.path, terminal: true})
	cat := s.container(want{suffix: "-cat", args: sh("cat; exit 24")})
	io, catOut, catErr := s.both("c")
	catPath, catIn := s.input("c.in")
	io.stdin = catPath
	cat.run(io)
	logged := s.container(want{suffix: "-logged", args: sh(
		"echo one; while [ ! -e /host/go ]; do sleep 0.02; done; echo two; exit 25")})
	log := "binary://" + s.logger("logger", copyingLogger)
	logged.run(streams{stdout: log, stderr: log})
	filed := s.container(want{suffix: "-filed", args: sh(
		"echo one; while [ ! -e /host/go ]; do sleep 0.02; done; echo two; exit 26")})
	file := "file://" + s.path("log")
	filed.run(streams{stdout: file, stderr: file})

	s.restart(signal, nil)
	tty.resize(91, 37)
	s.write(ttyIn, "word\n")
	ttyOut.await("37 91")
	s.write(ttyIn, "\n")
	tty.wait()
	ttyOut.ended()
	s.write(catIn, "line\n")
	catOut.await("line")
	catIn.Close()
	cat.closeStdin()
	cat.wait()
	catOut.ended()
	catErr.ended()
	if err := os.WriteFile(s.path("go"), nil, 0o644); err != nil {
		s.Fatal(err)
	}
	for _, c := range []*container{logged, filed} {
		c.wait()
	}
	for _, c := range []*container{tty, cat, logged, filed} {
		c.state()
		c.delete()
	}
	s.file("logger.log")
	s.file("logger.log.out")
	s.file("log")
})...)
