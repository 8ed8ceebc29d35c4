// SPDX-License-Identifier: Apache-2.0

package restart

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	eventsapi "github.com/containerd/containerd/api/events"
	"github.com/containerd/containerd/api/types/runc/options"
	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/typeurl/v2"
	"github.com/embedshim/embedshim/tests/parity/host"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// loggerText is a program for binary:// that keeps what it is given.
const loggerText = `#!/bin/sh
exec 5>&-
cat <&4 >"$2.err" &
cat <&3 >"$2.out"
wait
`

// killed is the status of what SIGKILL has ended.
const killed = 128 + uint32(syscall.SIGKILL)

// table is a set of containers that somebody uses while containerd is killed: a shell in a terminal, cat that
// waits for input, one that writes to a logger without a pause, and one with execs.
type table struct {
	*host.Host
	ctx   context.Context
	round int

	shell, cat   *seat
	logged, busy string   // IDs
	nine         *process // the exec that ends while there is no daemon
	tasks        map[string]containerd.Task
	listener     *host.Listener

	mu    sync.Mutex
	exits map[string][]uint32 // by the ID of the container or the exec
}

var busyExecs = []string{"exec-0", "exec-1", "exec-2"}

const nine = "nine"

func (b *table) id(name string) string { return fmt.Sprintf("%s-%d", name, b.round) }

// flag is a file that lets something end, as the test and as a container see it.
func (b *table) flag(id string) (ours, theirs string) {
	return filepath.Join(b.Shared, id+".flag"), "/shared/" + id + ".flag"
}

func (b *table) listen() error {
	var err error
	b.listener, err = b.Listen(namespace, func(_ time.Time, event any) {
		if e, ok := event.(*eventsapi.TaskExit); ok {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.exits[e.ID] = append(b.exits[e.ID], e.ExitStatus)
		}
	})
	return err
}

// run makes a container and starts its task.
func (b *table) run(id string, creator cio.Creator, terminal bool, args ...string) error {
	spec := host.Container{Runtime: host.Embed, Namespace: namespace, ID: id, Args: args, Terminal: terminal}
	if err := b.Record(b.ctx, spec); err != nil {
		return err
	}
	c, err := b.Client.LoadContainer(b.ctx, id)
	if err != nil {
		return err
	}
	task, err := c.NewTask(b.ctx, creator)
	if err != nil {
		return err
	}
	b.tasks[id] = task
	return task.Start(b.ctx)
}

func (b *table) exec(id string, args ...string) (containerd.Process, error) {
	p, err := b.tasks[b.busy].Exec(b.ctx, id, &specs.Process{Args: args, Cwd: "/", Env: []string{"PATH=/"}}, cio.NullIO)
	if err != nil {
		return nil, err
	}
	return p, p.Start(b.ctx)
}

// lay starts everything, and sees it work.
func (b *table) lay() error {
	fifos := filepath.Join(b.Shared, "fifos")
	if err := b.run(b.shell.name, b.shell.create(fifos), true, "/busybox", "sh"); err != nil {
		return err
	}
	if err := b.run(b.cat.name, b.cat.create(fifos), false, "/busybox", "cat"); err != nil {
		return err
	}
	logger := filepath.Join(b.Shared, "logger")
	if err := os.WriteFile(logger, []byte(loggerText), 0o755); err != nil {
		return err
	}
	uri := &url.URL{Scheme: "binary", Path: logger, RawQuery: "log=" + b.log()}
	_, stop := b.flag(b.logged)
	script := "i=0; while [ ! -e " + stop + " ]; do i=$((i+1)); echo line $i; done; echo all $i; echo over >&2"
	if err := b.run(b.logged, cio.LogURI(uri), false, "/busybox", "sh", "-c", script); err != nil {
		return err
	}
	if err := b.run(b.busy, cio.NullIO, false, "/victim", "pause", "0"); err != nil {
		return err
	}
	for _, id := range busyExecs {
		if _, err := b.exec(id, "/victim", "pause", "0"); err != nil {
			return err
		}
	}
	_, end := b.flag(b.busy)
	p, err := b.exec(nine, "/victim", "-w", end, "exit", "9")
	if err != nil {
		return err
	}
	b.nine = &process{container: b.busy, exec: nine, causes: map[uint32]time.Time{}}
	b.nine.watch(p.Pid())
	if err := b.shell.asks("word=$((6*7)); echo before-$word", "before-42"); err != nil {
		return err
	}
	return b.cat.asks("before", "before\n")
}

// log is where the logger writes.
func (b *table) log() string { return filepath.Join(b.Shared, b.logged) }

// absent is what happens while no containerd runs.
func (b *table) absent() error {
	if err := b.shell.asks("echo down-$word", "down-42"); err != nil {
		return err
	}
	if err := b.cat.asks("down", "down\n"); err != nil {
		return err
	}
	b.nine.may(9)
	end, _ := b.flag(b.busy)
	if err := os.WriteFile(end, nil, 0o644); err != nil {
		return err
	}
	if !host.Poll(settleLimit, b.nine.hasEnded) {
		return errors.New("the exec does not end")
	}
	return nil
}

// restart kills containerd after a while, and starts it again.
func (b *table) restart(random *rand.Rand) error {
	time.Sleep(time.Duration(random.IntN(100)) * time.Millisecond)
	if err := b.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	b.listener.Ended()
	if err := b.Ended(); err != nil {
		return err
	}
	if err := b.absent(); err != nil {
		return err
	}
	b.shell.leave()
	b.cat.leave()
	if err := b.Start(); err != nil {
		return err
	}
	return b.listen()
}

// comeBack attaches to the containers again, as `ctr task attach` does.
func (b *table) comeBack() error {
	for id, attach := range map[string]cio.Attach{
		b.shell.name: b.shell.attach(), b.cat.name: b.cat.attach(), b.logged: nil, b.busy: nil,
	} {
		c, err := b.Client.LoadContainer(b.ctx, id)
		if err != nil {
			return err
		}
		if b.tasks[id], err = c.Task(b.ctx, attach); err != nil {
			return err
		}
		if status, err := b.tasks[id].Status(b.ctx); err != nil || status.Status != containerd.Running {
			return fmt.Errorf("%s is %v: %w", id, status.Status, err)
		}
	}
	if err := b.shell.asks("echo after-$word", "after-42"); err != nil {
		return err
	}
	if err := b.tasks[b.shell.name].Resize(b.ctx, 91, 37); err != nil {
		return err
	}
	if err := b.shell.asks("/busybox stty size", "37 91"); err != nil {
		return err
	}
	return b.cat.asks("after", "after\n")
}

// ends waits for a process, compares its status, and deletes it. It tells when the process has ended.
func (b *table) ends(p containerd.Process, status uint32) (time.Time, error) {
	ctx, cancel := context.WithTimeout(b.ctx, settleLimit)
	defer cancel()
	ended, err := p.Wait(ctx)
	if err != nil {
		return time.Time{}, err
	}
	exit := <-ended
	if code, _, err := exit.Result(); err != nil || code != status {
		return time.Time{}, fmt.Errorf("%s ended with %d instead of %d: %w", p.ID(), code, status, err)
	}
	deleted, err := p.Delete(ctx)
	if err == nil && deleted.ExitCode() != status {
		err = fmt.Errorf("Delete of %s says %d instead of %d", p.ID(), deleted.ExitCode(), status)
	}
	return exit.ExitTime(), err
}

// execs looks at the execs, and ends those that run.
func (b *table) execs() error {
	busy := b.tasks[b.busy]
	if listed, err := execsOf(b.ctx, busy); err != nil || !slices.Equal(listed, busyExecs) {
		return fmt.Errorf("execs that run: %q: %w", listed, err)
	}
	p, err := busy.LoadProcess(b.ctx, nine, nil)
	if err != nil {
		return err
	}
	status, err := p.Status(b.ctx)
	if err != nil || status.Status != containerd.Stopped || status.ExitStatus != 9 {
		return fmt.Errorf("%s: %+v: %w", nine, status, err)
	}
	at, err := b.ends(p, 9)
	if err != nil {
		return err
	}
	if err := b.nine.check(result{9, at}); err != nil {
		return err
	}
	for _, id := range busyExecs {
		p, err := busy.LoadProcess(b.ctx, id, nil)
		if err != nil {
			return err
		}
		if status, err := p.Status(b.ctx); err != nil || status.Status != containerd.Running {
			return fmt.Errorf("%s is %v: %w", id, status.Status, err)
		}
		if err := p.Kill(b.ctx, syscall.SIGKILL); err != nil {
			return err
		}
		if _, err := b.ends(p, killed); err != nil {
			return err
		}
	}
	return nil
}

// execsOf are the IDs of the execs among a task's processes, sorted.
func execsOf(ctx context.Context, task containerd.Task) ([]string, error) {
	var ids []string
	processes, err := task.Pids(ctx)
	if err != nil {
		return nil, err
	}
	for _, p := range processes {
		var details options.ProcessDetails
		if p.Info == nil {
			continue
		}
		if err := typeurl.UnmarshalTo(p.Info, &details); err != nil {
			return nil, err
		}
		ids = append(ids, details.ExecID)
	}
	slices.Sort(ids)
	return ids, nil
}

// clear ends everything, each in its way.
func (b *table) clear() error {
	_, err := b.shell.typed.Write([]byte("exit 5\n"))
	if err != nil {
		return err
	}
	if err := b.cat.typed.Close(); err != nil {
		return err
	}
	if err := b.tasks[b.cat.name].CloseIO(b.ctx, containerd.WithStdinCloser); err != nil {
		return err
	}
	stop, _ := b.flag(b.logged)
	if err := os.WriteFile(stop, nil, 0o644); err != nil {
		return err
	}
	if err := b.tasks[b.busy].Kill(b.ctx, syscall.SIGKILL); err != nil {
		return err
	}
	for id, status := range map[string]uint32{b.shell.name: 5, b.cat.name: 0, b.logged: 0, b.busy: killed} {
		if _, err := b.ends(b.tasks[id], status); err != nil {
			return err
		}
		if err := b.Client.ContainerService().Delete(b.ctx, id); err != nil {
			return err
		}
	}
	if err := b.logIsWhole(); err != nil {
		return err
	}
	return b.toldOnce()
}

// logIsWhole: the logger has got each line, once and in order. The task's deletion has waited for the rest.
func (b *table) logIsWhole() error {
	file, err := os.Open(b.log() + ".out")
	if err != nil {
		return err
	}
	defer file.Close()
	lines, n := bufio.NewScanner(file), 0
	for lines.Scan() {
		if lines.Text() == fmt.Sprintf("all %d", n) {
			break
		}
		if n++; lines.Text() != fmt.Sprintf("line %d", n) {
			return fmt.Errorf("the logger's line %d is %q", n, lines.Text())
		}
	}
	if lines.Text() != fmt.Sprintf("all %d", n) || lines.Scan() {
		return fmt.Errorf("after %d lines, the logger ends with %q: %w", n, lines.Text(), lines.Err())
	}
	counters.logged += n
	errs, err := os.ReadFile(b.log() + ".err")
	if err != nil || string(errs) != "over\n" {
		return fmt.Errorf("the logger's other stream: %q: %w", errs, err)
	}
	return errors.Join(os.Remove(b.log()+".out"), os.Remove(b.log()+".err"))
}

// toldOnce: each process has had one TaskExit, over all lives of the daemon.
func (b *table) toldOnce() error {
	want := map[string]uint32{b.shell.name: 5, b.cat.name: 0, b.logged: 0, b.busy: killed, nine: 9}
	for _, id := range busyExecs {
		want[id] = killed
	}
	return vanishes("TaskExits", func() (wrong []string) {
		b.mu.Lock()
		defer b.mu.Unlock()
		for id, status := range want {
			if !slices.Equal(b.exits[id], []uint32{status}) {
				wrong = append(wrong, fmt.Sprintf("of %s: %v instead of %d", id, b.exits[id], status))
			}
		}
		return wrong
	})
}

// nothingLeft: no directory, mount, cgroup, helper, logger or entry of a map.
func (b *table) nothingLeft() error {
	return vanishes("left", func() []string {
		left := leftOf(b.Host, func(string) bool { return false }, 0)
		for _, pid := range b.Helpers() {
			left = append(left, fmt.Sprintf("process %d", pid))
		}
		return left
	})
}

// TestAttach: whoever uses a container comes back to it after containerd was killed, and has lost nothing.
func TestAttach(t *testing.T) {
	rounds, seed := plan(t, "ES_ATTACH_ROUNDS", 3, 50)
	random := rand.New(rand.NewPCG(seed, 0))
	h := newHost(t)
	if err := h.AddBusybox(); err != nil {
		t.Fatal(err)
	}
	for round := 1; round <= rounds; round++ {
		b := &table{Host: h, ctx: inNamespace(), round: round, tasks: map[string]containerd.Task{},
			exits: map[string][]uint32{}}
		b.shell = &seat{name: b.id("shell"), terminal: true}
		b.cat = &seat{name: b.id("cat")}
		b.logged, b.busy = b.id("logged"), b.id("busy")
		for _, step := range []func() error{
			b.listen, b.lay, func() error { return b.restart(random) }, b.comeBack, b.execs, b.clear, b.nothingLeft,
		} {
			if err := step(); err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
		}
		b.listener.Stop()
	}
	t.Logf("%d rounds, %d lines logged", rounds, counters.logged)
}
