// SPDX-License-Identifier: Apache-2.0

package embedshim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/errdefs"
)

type env struct {
	t      *testing.T
	dir    string
	rootfs string
}

// newEnv makes directories and a root file system, or skips the test.
func newEnv(t *testing.T) *env {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: needs root")
	}
	for _, program := range []string{"runc", "busybox"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("SKIPPED: %v", err)
		}
	}
	dir, err := os.MkdirTemp("", "es-go-")
	if err != nil {
		t.Fatal(err)
	}
	e := &env{t: t, dir: dir, rootfs: filepath.Join(dir, "rootfs")}
	t.Cleanup(func() {
		// A failed test may have left the pins of a live container.
		_ = syscall.Unmount(filepath.Join(dir, "root", "bpf"), syscall.MNT_DETACH)
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	for _, d := range []string{"bin", "proc", "dev"} {
		if err := os.MkdirAll(filepath.Join(e.rootfs, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	busybox, _ := exec.LookPath("busybox")
	program, err := os.ReadFile(busybox)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(e.rootfs, "bin", "busybox"), program, 0o755); err != nil {
		t.Fatal(err)
	}
	return e
}

func (e *env) open(onEvent func(Event)) *Manager {
	e.t.Helper()
	m, err := Open(ManagerOptions{
		RootDir:  filepath.Join(e.dir, "root"),
		StateDir: filepath.Join(e.dir, "state"),
		// Where the tests' copy of the library is installed; empty: where it was meant to be.
		IOHelper: os.Getenv("ES_IO_HELPER"),
	}, onEvent)
	if err != nil {
		e.t.Fatal(err)
	}
	return m
}

func (e *env) spec(id, script string) []byte {
	return e.specOf(id, script, false)
}

func (e *env) specOf(id, script string, terminal bool) []byte {
	type object map[string]interface{}
	text, err := json.Marshal(object{
		"ociVersion": "1.0.2",
		"process": object{
			"cwd": "/", "user": object{"uid": 0, "gid": 0}, "env": []string{"PATH=/bin"},
			"args":     []string{"/bin/busybox", "sh", "-c", script},
			"terminal": terminal,
		},
		"root": object{"path": e.rootfs},
		"mounts": []object{
			{"destination": "/proc", "type": "proc", "source": "proc"},
			{"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},
			{"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": []string{"newinstance", "ptmxmode=0666"}},
		},
		"linux": object{
			"cgroupsPath": fmt.Sprintf("/es-go-%d-%s", os.Getpid(), id),
			"namespaces":  []object{{"type": "pid"}, {"type": "mount"}, {"type": "ipc"}},
		},
	})
	if err != nil {
		e.t.Fatal(err)
	}
	return text
}

func (e *env) run(m *Manager, id, script string) *Task {
	e.t.Helper()
	task, err := m.Create("test", id, TaskOptions{Spec: e.spec(id, script)})
	if err != nil {
		e.t.Fatal(err)
	}
	if err := task.Start(); err != nil {
		e.t.Fatal(err)
	}
	return task
}

func TestLife(t *testing.T) {
	e := newEnv(t)
	exits := make(chan *Exit, 1)
	m := e.open(func(event Event) {
		event.Task.Close()
		if event.Kind == EventExit {
			exits <- event.Exit
		}
	})
	task := e.run(m, "life", "exit 42")
	exit, err := task.Wait(context.Background())
	if err != nil || exit.Code != 42 || exit.Source != ExitBPF || exit.ExitedAt.IsZero() {
		t.Fatalf("%+v, %v", exit, err)
	}
	if told := <-exits; *told != *exit {
		t.Errorf("told %+v, waited %+v", told, exit)
	}
	state, err := task.State()
	if err != nil || state.Status != TaskStopped {
		t.Errorf("%+v, %v", state, err)
	}
	if err := task.Kill(syscall.SIGKILL); !errors.Is(err, errdefs.ErrNotFound) {
		t.Errorf("kill of a stopped task: %v", err)
	}
	if deleted, err := task.Delete(); err != nil || *deleted != *exit {
		t.Errorf("%+v, %v", deleted, err)
	}
	if _, err := task.Delete(); !errors.Is(err, errdefs.ErrNotFound) {
		t.Errorf("delete twice: %v", err)
	}
	task.Close()
	if _, err := task.State(); !errors.Is(err, ErrClosed) {
		t.Errorf("state after close: %v", err)
	}
	m.Close()
	m.Close()
	if _, err := m.List(""); !errors.Is(err, ErrClosed) {
		t.Errorf("list after close: %v", err)
	}
}

func TestFailuresHaveTheRuntimesText(t *testing.T) {
	e := newEnv(t)
	m := e.open(nil)
	defer m.Close()
	spec := strings.Replace(string(e.spec("bad", "")), "/bin/busybox", "/no/such/program", 1)
	_, err := m.Create("test", "bad", TaskOptions{Spec: []byte(spec)})
	var failure *Error
	if !errors.As(err, &failure) || failure.RuntimeExit != 1 ||
		!strings.Contains(err.Error(), "/no/such/program") {
		t.Errorf("%v", err)
	}
	_, err = m.Create("test", "../x", TaskOptions{Spec: []byte("{}")})
	if !errors.Is(err, errdefs.ErrInvalidArgument) {
		t.Errorf("%v", err)
	}
	_, err = Open(ManagerOptions{RootDir: filepath.Join(e.dir, "root"), StateDir: e.dir}, nil)
	if !errors.Is(err, errdefs.ErrFailedPrecondition) ||
		!strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
		t.Errorf("second open: %v", err)
	}
}

func TestReopen(t *testing.T) {
	e := newEnv(t)
	m := e.open(nil)
	task := e.run(m, "kept", "sleep 100")
	before, err := task.State()
	if err != nil {
		t.Fatal(err)
	}
	waited := make(chan error, 1)
	go func() {
		_, err := task.Wait(context.Background())
		waited <- err
	}()
	time.Sleep(50 * time.Millisecond)
	m.Close()
	if err := <-waited; !errors.Is(err, ErrClosed) {
		t.Errorf("wait over a close: %v", err)
	}
	task.Close()
	if err := syscall.Kill(before.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	m = e.open(nil)
	defer m.Close()
	tasks, err := m.List("test")
	if err != nil || len(tasks) != 1 || tasks[0].ID() != "kept" {
		t.Fatalf("%v, %v", tasks, err)
	}
	defer tasks[0].Close()
	exit, err := tasks[0].Wait(context.Background())
	if err != nil || exit.Code != 137 || exit.Signal != 9 || exit.TraceID != before.TraceID {
		t.Fatalf("%+v, %v", exit, err)
	}
	if _, err := tasks[0].Delete(); err != nil {
		t.Error(err)
	}
}

// Waits block no thread: their number does not show in that of the threads.
func TestManyWaits(t *testing.T) {
	e := newEnv(t)
	m := e.open(nil)
	defer m.Close()
	const tasks, waits = 5, 40
	var wg sync.WaitGroup
	all := make([]*Task, tasks)
	for i := range all {
		all[i] = e.run(m, fmt.Sprintf("w%d", i), "sleep 100")
	}
	threads := func() int {
		entries, err := os.ReadDir("/proc/self/task")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	before := threads()
	for _, task := range all {
		for i := 0; i < waits; i++ {
			wg.Add(1)
			go func(task *Task) {
				defer wg.Done()
				exit, err := task.Wait(context.Background())
				if err != nil || exit.Code != 137 {
					t.Errorf("%+v, %v", exit, err)
				}
			}(task)
		}
	}
	time.Sleep(200 * time.Millisecond)
	if now := threads(); now > before+runtime.GOMAXPROCS(0)+2 {
		t.Errorf("%d threads before, %d with %d waits", before, now, tasks*waits)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if _, err := all[0].Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("wait with a deadline: %v", err)
	}
	for _, task := range all {
		if err := task.Kill(syscall.SIGKILL); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
	if len(m.waiters) != 0 {
		t.Errorf("%d waiters are left", len(m.waiters))
	}
	for _, task := range all {
		if _, err := task.Delete(); err != nil {
			t.Error(err)
		}
		task.Close()
	}
}

func TestPreparedBundle(t *testing.T) {
	e := newEnv(t)
	m := e.open(nil)
	defer m.Close()
	bundle, err := m.Bundles().Create("test", "made", e.spec("made", "exit 7"), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer bundle.Close()
	if valid, err := bundle.Valid(); !valid || err != nil {
		t.Errorf("%v, %v", valid, err)
	}
	task, err := m.Create("test", "made", TaskOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer task.Close()
	if task.BundleDir() != bundle.Dir() {
		t.Errorf("%s, %s", task.BundleDir(), bundle.Dir())
	}
	if err := task.Start(); err != nil {
		t.Fatal(err)
	}
	if exit, err := task.Wait(context.Background()); err != nil || exit.Code != 7 {
		t.Errorf("%+v, %v", exit, err)
	}
	if _, err := task.Delete(); err != nil {
		t.Error(err)
	}
	if _, err := m.Bundles().Open("test", "made"); !errors.Is(err, errdefs.ErrNotFound) {
		t.Errorf("%v", err)
	}
}

func TestLog(t *testing.T) {
	e := newEnv(t)
	var mu sync.Mutex
	var lines []string
	SetLog(func(level LogLevel, message string) {
		mu.Lock()
		defer mu.Unlock()
		lines = append(lines, message)
	})
	defer SetLog(nil)
	m := e.open(nil)
	bundle, err := m.Bundles().Create("test", "unused", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	bundle.Close()
	m.Close()
	m = e.open(nil)
	defer m.Close()
	if err := m.Settle(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if !strings.Contains(strings.Join(lines, "\n"), "half-made task test/unused") {
		t.Errorf("%q", lines)
	}
}

func TestIDAllocator(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ids.db")
	var last uint64
	for round := 0; round < 3; round++ {
		a, err := OpenIDAllocator(path, 10, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < 5; i++ {
			id, err := a.Next()
			if err != nil || id <= last {
				t.Fatalf("%d after %d, %v", id, last, err)
			}
			last = id
		}
		a.Close()
		if _, err := a.Next(); !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	}
	if _, err := OpenIDAllocator("/no/such/dir/db", 0, 0); !errors.Is(err, syscall.ENOENT) {
		t.Error(err)
	}
}
