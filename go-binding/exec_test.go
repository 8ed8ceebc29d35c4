// SPDX-License-Identifier: Apache-2.0

package embedshim

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/errdefs"
)

func process(t *testing.T, script string) []byte {
	t.Helper()
	text, err := json.Marshal(map[string]interface{}{
		"cwd": "/", "user": map[string]int{"uid": 0, "gid": 0}, "env": []string{"PATH=/bin"},
		"args": []string{"/bin/busybox", "sh", "-c", script},
	})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestExec(t *testing.T) {
	e := newEnv(t)
	events := make(chan Event, 16)
	m := e.open(func(event Event) {
		event.Task.Close()
		events <- event
	})
	defer m.Close()
	task := e.run(m, "box", "sleep 1000")
	defer task.Close()

	exec, err := task.Exec("one", ExecOptions{Process: process(t, "exit 9")})
	if err != nil {
		t.Fatal(err)
	}
	defer exec.Close()
	if _, err := exec.Wait(context.Background()); !errors.Is(err, errdefs.ErrFailedPrecondition) {
		t.Errorf("wait before the start: %v", err)
	}
	if err := exec.Start(); err != nil {
		t.Fatal(err)
	}
	if exit, err := exec.Wait(context.Background()); err != nil || exit.Code != 9 {
		t.Fatalf("%+v, %v", exit, err)
	}
	if event := <-events; event.Kind != EventExecExit || event.ExecID != "one" || event.Exit.Code != 9 {
		t.Errorf("%+v", event)
	}
	if state, err := exec.State(); err != nil || state.Status != TaskStopped || state.Pid == 0 {
		t.Errorf("%+v, %v", state, err)
	}
	if _, err := task.Exec("one", ExecOptions{Process: process(t, "")}); !errors.Is(err, errdefs.ErrAlreadyExists) {
		t.Errorf("the same ID: %v", err)
	}
	if execs, err := task.Execs(); err != nil || len(execs) != 1 || execs[0].ID() != "one" {
		t.Errorf("%v, %v", execs, err)
	} else {
		execs[0].Close()
	}
	if exit, err := exec.Delete(); err != nil || exit.Code != 9 {
		t.Errorf("%+v, %v", exit, err)
	}
	if _, err := task.GetExec("one"); !errors.Is(err, errdefs.ErrNotFound) {
		t.Errorf("after the delete: %v", err)
	}
	if _, err := task.Exec("none", ExecOptions{}); !errors.Is(err, errdefs.ErrInvalidArgument) {
		t.Errorf("without a process: %v", err)
	}

	long, err := task.Exec("long", ExecOptions{Process: process(t, "sleep 1000")})
	if err != nil {
		t.Fatal(err)
	}
	defer long.Close()
	if err := long.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := long.Delete(); !errors.Is(err, errdefs.ErrFailedPrecondition) {
		t.Errorf("delete of a running exec: %v", err)
	}
	if err := task.Kill(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if _, err := task.Wait(context.Background()); err != nil {
		t.Fatal(err)
	}
	if event := <-events; event.ExecID != "long" || event.Exit.Code != 137 {
		t.Errorf("first %+v", event)
	}
	if event := <-events; event.Kind != EventExit || event.Exit.Code != 137 {
		t.Errorf("then %+v", event)
	}
	if _, err := task.Delete(); err != nil {
		t.Fatal(err)
	}
}

func TestControl(t *testing.T) {
	e := newEnv(t)
	m := e.open(nil)
	defer m.Close()
	task := e.run(m, "box", "sleep 1000 & sleep 1000")
	defer task.Close()
	if err := task.Pause(); err != nil {
		t.Fatal(err)
	}
	if state, _ := task.State(); state.Status != TaskPaused {
		t.Errorf("%+v", state)
	}
	if err := task.Resume(); err != nil {
		t.Fatal(err)
	}
	if err := task.Resume(); !errors.Is(err, errdefs.ErrFailedPrecondition) {
		t.Errorf("resumed twice: %v", err)
	}
	if err := task.Update([]byte(`{"memory":{"limit":67108864}}`)); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"", "7"} {
		if err := task.Update([]byte(bad)); !errors.Is(err, errdefs.ErrInvalidArgument) {
			t.Errorf("update with %q: %v", bad, err)
		}
	}
	if pids, err := task.Pids(); err != nil || len(pids) == 0 {
		t.Errorf("%v, %v", pids, err)
	}
	if !strings.Contains(task.Cgroups(), "/es-go-") {
		t.Errorf("cgroups: %q", task.Cgroups())
	}
	if task.Streams() != (Streams{}) {
		t.Errorf("streams: %+v", task.Streams())
	}
	if err := task.Checkpoint(CheckpointOptions{ImagePath: "relative"}); !errors.Is(err, errdefs.ErrInvalidArgument) {
		t.Errorf("checkpoint to a relative path: %v", err)
	}
	if n, err := task.KillAll(syscall.SIGKILL); err != nil || n == 0 {
		t.Errorf("%d, %v", n, err)
	}
	if _, err := task.Wait(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, err := task.Delete(); err != nil {
		t.Fatal(err)
	}
}
