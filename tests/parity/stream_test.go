// SPDX-License-Identifier: Apache-2.0

package parity

import (
	"crypto/sha256"
	"os"
	"strings"
	"syscall"

	"github.com/containerd/containerd/v2/pkg/oci"
)

// logger makes a program for binary:// streams. It writes down what it is given.
func (s *side) logger(name, script string) string {
	path := s.path(name)
	text := "#!/bin/sh\nlog='" + path + ".log'\n" + script
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		s.Fatal(err)
	}
	return path
}

const copyingLogger = `
echo "arguments: $*" >>"$log"
echo "container: $CONTAINER_ID namespace: $CONTAINER_NAMESPACE path-given: ${HOME-no}" >>"$log"
exec 5>&-
/bin/cat <&4 >>"$log.err" &
/bin/cat <&3 >>"$log.out"
wait
echo ended >>"$log"
`

var streamScenarios = []scenario{
	{"fifo-output", func(s *side) {
		c := s.container(want{args: sh("echo one; echo two >&2; echo three; exit 1")})
		io, out, err := s.both("o")
		c.create(io)
		c.state()
		c.start()
		c.wait()
		out.ended()
		err.ended()
		c.state()
		c.delete()
	}},
	{"fifo-large", func(s *side) {
		c := s.container(want{args: []string{"probe", "spew", "100000"}})
		io, out, err := s.both("o")
		c.run(io)
		c.wait()
		s.say("%d bytes, %x", len(out.allOf()), sha256.Sum256([]byte(out.got.String())))
		err.ended()
		c.delete()
	}},
	{"fifo-reader-returns", func(s *side) {
		c := s.container(want{args: sh("echo one; while [ ! -e /host/go ]; do sleep 0.02; done; echo two; sleep 1000000")})
		first, err := s.output("o.out"), s.output("o.err")
		c.run(streams{stdout: first.path, stderr: err.path})
		first.await("one")
		first.stop()
		<-first.done
		if err := os.WriteFile(s.path("go"), nil, 0o644); err != nil {
			s.Fatal(err)
		}
		second := s.output("o.out")
		second.await("two")
		c.kill(syscall.SIGKILL)
		c.wait()
		second.ended()
		err.ended()
		c.delete()
	}},
	{"fifo-owner", func(s *side) {
		c := s.container(want{
			args: sh("echo out >/proc/self/fd/1; echo err >/proc/self/fd/2"),
			spec: []oci.SpecOpts{oci.WithUIDGID(1000, 1000)},
		})
		io, out, err := s.both("o")
		o := s.runcOptions(c, "")
		o.IoUid, o.IoGid = 1000, 1000
		io.options = o
		c.run(io)
		c.wait()
		out.ended()
		err.ended()
		c.delete()
	}},
	{"stdin", func(s *side) {
		c := s.container(want{args: sh("cat; exit 4")})
		io, out, err := s.both("i")
		path, in := s.input("i.in")
		io.stdin = path
		c.run(io)
		s.write(in, "one\ntwo\n")
		out.await("two")
		in.Close()
		c.closeStdin()
		c.wait()
		out.ended()
		err.ended()
		c.state()
		c.delete()
	}},
	{"stdin-of-client", func(s *side) { s.pipedStdin() }},
	{"stdin-closed-before-start", func(s *side) {
		c := s.container(want{args: sh("cat; exit 4")})
		io, out, err := s.both("i")
		path, in := s.input("i.in")
		io.stdin = path
		c.create(io)
		go func() {
			// Nobody has to read it before the start.
			_, _ = in.Write([]byte("one\n"))
			in.Close()
		}()
		c.closeStdin()
		c.start()
		c.wait()
		out.ended()
		err.ended()
		c.delete()
	}},
	{"stdin-of-exec", func(s *side) {
		c := s.container(want{})
		c.run(streams{})
		io, out, err := s.both("i")
		path, in := s.input("i.in")
		io.stdin = path
		e := c.execute("e", sh("cat; exit 4"), io)
		e.start()
		s.write(in, strings.Repeat("0123456789abcde\n", 1000))
		in.Close()
		e.closeStdin()
		e.wait()
		s.say("%d bytes came back", len(out.allOf()))
		err.ended()
		e.delete()
		c.end()
	}},
	{"stdin-kept-open", func(s *side) {
		// The client goes, another comes: the process's stdin has not ended meanwhile.
		c := s.container(want{args: []string{"cat"}})
		io, out, err := s.both("i")
		path, first := s.input("i.in")
		io.stdin = path
		c.run(io)
		s.write(first, "one\n")
		out.await("one")
		first.Close()
		_, second := s.input("i.in")
		s.write(second, "two\n")
		out.await("two")
		second.Close()
		c.closeStdin()
		c.wait()
		out.ended()
		err.ended()
		c.delete()
	}},
	{"file-log", func(s *side) {
		c := s.container(want{args: sh("echo one; echo two; echo three")})
		log := "file://" + s.path("new/dir/log")
		c.run(streams{stdout: log, stderr: log})
		c.wait()
		c.state()
		c.delete()
		s.file("new/dir/log")
		s.say("mode %s", modeOf(s.path("new/dir/log")))
		c.run(streams{stdout: log, stderr: log})
		c.wait()
		c.delete()
		s.file("new/dir/log")
	}},
	{"file-log-of-exec", func(s *side) {
		c := s.container(want{})
		c.run(streams{})
		log := "file://" + s.path("log")
		e := c.execute("e", sh("echo one; echo two"), streams{stdout: log, stderr: log})
		e.start()
		e.wait()
		e.delete()
		c.end()
		s.file("log")
	}},
	{"binary-log", func(s *side) {
		c := s.container(want{args: sh("echo one; echo two >&2; echo three; exit 9")})
		log := "binary://" + s.logger("logger", copyingLogger) + "?key=value"
		c.run(streams{stdout: log, stderr: log})
		c.wait()
		c.state()
		c.delete()
		s.file("logger.log")
		s.file("logger.log.out")
		s.file("logger.log.err")
	}},
	{"binary-log-of-exec", func(s *side) {
		c := s.container(want{})
		c.run(streams{})
		log := "binary://" + s.logger("logger", copyingLogger)
		e := c.execute("e", sh("echo one; echo two >&2"), streams{stdout: log, stderr: log})
		e.start()
		e.wait()
		e.delete()
		c.end()
		s.file("logger.log")
		s.file("logger.log.out")
		s.file("logger.log.err")
	}},
	{"binary-log-crash", func(s *side) {
		c := s.container(want{})
		log := "binary://" + s.logger("logger", "exit 3\n")
		if c.run(streams{stdout: log, stderr: log}) {
			c.end()
		}
		c.state()
	}},
	{"binary-log-later-crash", func(s *side) {
		c := s.container(want{args: sh("while [ ! -e /host/logger.log ]; do sleep 0.02; done; sleep 0.2; echo x; exit 3")})
		log := "binary://" + s.logger("logger", "exec 5>&-; echo up >$log; exit 3\n")
		c.run(streams{stdout: log, stderr: log})
		c.wait()
		c.delete()
	}},
	{"terminal", func(s *side) {
		c := s.container(want{
			args: sh("tty; read a; echo got $a; stty size; read b; stty size; exit 6"),
			spec: []oci.SpecOpts{oci.WithTTY},
		})
		out := s.output("t.out")
		path, in := s.input("t.in")
		c.create(streams{stdin: path, stdout: out.path, terminal: true})
		c.state()
		c.resize(80, 25)
		c.start()
		out.await("/dev/")
		s.write(in, "word\n")
		out.await("25 80")
		c.resize(100, 30)
		s.write(in, "\n")
		c.wait()
		out.ended()
		c.state()
		c.resize(10, 10)
		c.delete()
	}},
	{"terminal-of-exec", func(s *side) {
		c := s.container(want{})
		c.run(streams{})
		out := s.output("t.out")
		path, in := s.input("t.in")
		e := c.execute("e", sh("tty; read a; stty size; exit 6"), streams{stdin: path, stdout: out.path, terminal: true})
		e.state()
		e.start()
		out.await("/dev/")
		e.resize(77, 33)
		s.write(in, "\n")
		e.wait()
		out.ended()
		e.delete()
		c.end()
	}},
	{"terminal-without-stdin", func(s *side) {
		c := s.container(want{args: sh("tty; stty size; exit 6"), spec: []oci.SpecOpts{oci.WithTTY}})
		out := s.output("t.out")
		c.run(streams{stdout: out.path, terminal: true})
		c.wait()
		out.ended()
		c.delete()
	}},
	{"terminal-signal", func(s *side) {
		c := s.container(want{args: sh("trap 'echo caught; exit 9' INT; echo up; while :; do sleep 0.05; done"),
			spec: []oci.SpecOpts{oci.WithTTY}})
		out := s.output("t.out")
		path, in := s.input("t.in")
		c.run(streams{stdin: path, stdout: out.path, terminal: true})
		out.await("up")
		s.write(in, "\x03")
		c.wait()
		out.ended()
		c.delete()
	}},
	{"terminal-large", func(s *side) {
		c := s.container(want{args: []string{"probe", "spew", "20000"}, spec: []oci.SpecOpts{oci.WithTTY}})
		out := s.output("t.out")
		c.run(streams{stdout: out.path, terminal: true})
		c.wait()
		s.say("%d bytes, %x", len(out.allOf()), sha256.Sum256([]byte(out.got.String())))
		c.delete()
	}},
}
