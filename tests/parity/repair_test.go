// SPDX-License-Identifier: Apache-2.0

package parity

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/containerd/containerd/api/services/tasks/v1"
)

// repairScenarios are where the stock shim is wrong.
var repairScenarios = []scenario{
	{"exec-without-process", func(s *side) {
		c := s.container(want{})
		c.run(streams{})
		c.executeRaw("e", nil, streams{})
		s.saw("exec .*: InvalidArgument: .*")
		c.alive()
		c.end()
	}},
	{"update-without-resources", func(s *side) {
		c := s.container(want{})
		c.run(streams{})
		c.update(nil)
		c.alive()
		c.end()
	}},
	{"exec-started-twice", func(s *side) {
		c := s.container(want{})
		c.run(streams{})
		e := c.execute("e", []string{"sleep", "1000000"}, streams{})
		e.start()
		e.start()
		s.saw("start .*/e: Unknown: cannot start a running process")
		c.alive()
		e.kill(syscall.SIGKILL)
		e.wait()
		e.delete()
		c.end()
		c.sawEvents("create .*", "start .*", "exec-added e", "exec-started e .*", "exit id=e .* status=137 .*",
			"exit id=exec-started-twice .* status=137 .*", "delete .*")
	}},
	{"deletes-at-once", func(s *side) {
		c := s.container(want{args: sh("exit 4")})
		c.run(streams{})
		c.wait()
		var succeeded atomic.Int32
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				text, ok := c.deleting()
				if ok {
					succeeded.Add(1)
				} else if !strings.Contains(text, "NotFound") {
					s.Errorf("one of several deletes: %s", text)
				}
			})
		}
		group.Wait()
		if n := succeeded.Load(); n != 1 {
			s.Errorf("%d of 8 deletes have succeeded", n)
		}
		c.sawEvents("create .*", "start .*", "exit .* status=4 .*", "delete .* status=4 .*")
	}},
	{"delete-event", func(s *side) {
		for i := range 10 {
			c := s.container(want{suffix: fmt.Sprint("-", i), args: sh("exit 4")})
			c.run(streams{})
			c.wait()
			c.delete()
			c.sawEvents("create .*", "start .*", "exit .* status=4 .*", "delete .* status=4 .*")
		}
	}},
	{"only-stdout", func(s *side) {
		c := s.container(want{args: sh("echo out; echo err >&2; exit 2")})
		out := s.output("o")
		c.run(streams{stdout: out.path})
		c.wait()
		out.ended()
		s.saw(`output .*: "out\\n"`)
		c.delete()
	}},
	{"only-stderr", func(s *side) {
		c := s.container(want{args: sh("echo out; echo err >&2; exit 2")})
		out := s.output("o")
		c.run(streams{stderr: out.path})
		c.wait()
		out.ended()
		s.saw(`output .*: "err\\n"`)
		c.delete()
	}},
	{"only-stdin", func(s *side) {
		c := s.container(want{args: sh("read a; echo $a >/host/got; exit 2")})
		path, in := s.input("i")
		c.run(streams{stdin: path})
		s.write(in, "word\n")
		c.wait()
		s.saw("wait .*: 2 at .*")
		s.file("got")
		s.saw(`file got: "word\\n"`)
		c.delete()
	}},
	{"file-log-of-both", func(s *side) {
		c := s.container(want{args: sh("echo one; echo two >&2; echo three")})
		log := "file://" + s.path("log")
		c.run(streams{stdout: log, stderr: log})
		c.wait()
		s.file("log")
		s.saw(`file log: "one\\ntwo\\nthree\\n"`)
		c.delete()
	}},
	{"file-log-of-exec-complete", func(s *side) {
		c := s.container(want{})
		c.run(streams{})
		log := "file://" + s.path("log")
		e := c.execute("e", []string{"probe", "spew", "2000"}, streams{stdout: log, stderr: log})
		e.start()
		e.wait()
		e.delete()
		if info, err := os.Stat(s.path("log")); err != nil || info.Size() != 2000*64 {
			s.Errorf("the file after the exec: %v %v", info, err)
		}
		c.end()
	}},
	{"spec-that-is-not-json", func(s *side) {
		c := s.container(want{raw: []byte("{not json")})
		c.create(streams{})
		s.saw("create .*: (Unknown|InvalidArgument): .+")
		c.sawEvents()
	}},
	{"create-cancelled", func(s *side) {
		script := `case " $* " in *" create "*) if [ ! -e '` + s.path("release") + `' ]; then
	echo held >'` + s.path("held") + `'; while [ ! -e '` + s.path("release") + `' ]; do sleep 0.02; done
fi;; esac`
		c := s.container(want{script: script})
		ctx, cancel := context.WithCancel(s.ctx)
		done := make(chan error)
		go func() {
			_, err := s.tasks().Create(ctx, &tasks.CreateTaskRequest{ContainerID: c.id})
			done <- err
		}()
		s.waitFile("held")
		cancel()
		if err := <-done; err == nil {
			s.Error("the cancelled create has succeeded")
		}
		if err := os.WriteFile(s.path("release"), nil, 0o644); err != nil {
			s.Fatal(err)
		}
		c.showLeft()
		s.saw("left of .*: 0 things")
		c.run(streams{})
		c.end()
	}},
	{"oom-before-exit", func(s *side) {
		c := s.container(want{args: []string{"probe", "use-memory", "100"}, spec: little})
		c.run(streams{})
		c.wait()
		s.saw("wait .*: 137 at .*")
		c.delete()
		c.sawEvents("create .*", "start .*", "oom", "exit .* status=137 .*", "delete .*")
	}},
	{"exec-ids", func(s *side) {
		c := s.container(want{})
		c.run(streams{})
		for _, id := range []string{"../x", "a/b", ".", "..", "a b", longName("e", 77)} {
			c.execute(id, []string{"true"}, streams{})
			s.saw("exec .*: InvalidArgument: .*")
		}
		c.end()
	}},
	{"many-children", func(s *side) {
		c := s.container(want{
			args: sh("i=0; while [ $i -lt 50 ]; do sleep 1000000 & i=$((i+1)); done; exit 8"),
			spec: hostPid,
		})
		c.run(streams{})
		c.wait()
		s.saw("wait .*: 8 at <t1>")
		if n := len(processesIn(c.cgroup())); n != 0 {
			s.Errorf("%d processes after the exit", n)
		}
		c.delete()
		c.sawEvents("create .*", "start .*", "exit .* status=8 at=<t1>", "delete .* status=8 at=<t1>")
	}},
	{"exec-held", func(s *side) {
		// A runtime that hangs in an exec keeps from nothing else.
		script := `case " $* " in *" exec "*) echo held >'` + s.path("held") + `'
	while [ ! -e '` + s.path("release") + `' ]; do sleep 0.02; done;; esac`
		c := s.container(want{script: script})
		c.run(streams{})
		e := c.execute("e", []string{"true"}, streams{})
		var group sync.WaitGroup
		group.Go(func() { e.start() })
		s.waitFile("held")
		if got := e.status(); got != "CREATED" {
			s.Errorf("the exec is %s", got)
		}
		if got := c.status(); got != "RUNNING" {
			s.Errorf("the container is %s", got)
		}
		c.kill(syscall.SIGKILL)
		s.saw("kill .*: ok")
		if err := os.WriteFile(s.path("release"), nil, 0o644); err != nil {
			s.Fatal(err)
		}
		group.Wait()
		c.wait()
		c.delete()
	}},
}
