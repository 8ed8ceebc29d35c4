// SPDX-License-Identifier: Apache-2.0

package embedshim

// #include <embedshim/embedshim.h>
// #include <stdlib.h>
import "C"

import (
	"context"
	"syscall"
	"time"
	"unsafe"
)

// TaskStatus is enum es_task_status.
type TaskStatus uint32

// States of a task.
const (
	TaskCreated TaskStatus = C.ES_TASK_CREATED
	TaskRunning TaskStatus = C.ES_TASK_RUNNING
	TaskStopped TaskStatus = C.ES_TASK_STOPPED
	TaskDeleted TaskStatus = C.ES_TASK_DELETED
	TaskPaused  TaskStatus = C.ES_TASK_PAUSED
	TaskPausing TaskStatus = C.ES_TASK_PAUSING
)

// TaskState is struct es_task_state.
type TaskState struct {
	TraceID uint64
	Pid     int
	Status  TaskStatus
	Damaged bool
}

// TaskOptions are struct es_task_opts.
type TaskOptions struct {
	BundleDir      string // an OCI bundle of the caller's,
	Spec           []byte // or the text of config.json, or neither: see es_task_create
	Runtime        string
	RuntimeRoot    string
	Stdin          string
	Stdout         string
	Stderr         string
	NoPivot        bool
	NoNewKeyring   bool
	SystemdCgroup  bool
	RuntimeTimeout time.Duration
	// An image of Task.Checkpoint to restore when the task is started.
	RestorePath, RestoreWorkPath string
	// Owner of the FIFOs and pipes that the container is given; both 0: as they are.
	IoUid, IoGid uint32
}

// Streams are the standard streams as they were given; empty is null.
type Streams struct {
	Stdin, Stdout, Stderr string
}

// Task is a reference to one container.
type Task struct {
	handle
	c       *C.struct_es_task
	manager *Manager
	traceID uint64
	// Kept here, so that they can be read after Close.
	namespace, id, bundleDir string
}

// newTask wraps a reference, which it takes.
func (m *Manager) newTask(c *C.struct_es_task) *Task {
	var state C.struct_es_task_state

	C.es_task_state(c, &state)
	return &Task{
		c:         c,
		manager:   m,
		traceID:   uint64(state.trace_id),
		namespace: C.GoString(C.es_task_namespace(c)),
		id:        C.GoString(C.es_task_id(c)),
		bundleDir: C.GoString(C.es_task_bundle_dir(c)),
	}
}

// Create is es_task_create. The caller closes the task.
func (m *Manager) Create(namespace, id string, o TaskOptions) (*Task, error) {
	var (
		opts C.struct_es_task_opts
		c    *C.struct_es_task
	)
	if err := m.enter(); err != nil {
		return nil, err
	}
	defer m.leave()
	for _, s := range []struct {
		to   **C.char
		from string
	}{
		{&opts.bundle_dir, o.BundleDir},
		{&opts.runtime, o.Runtime},
		{&opts.runtime_root, o.RuntimeRoot},
		{&opts.stdin_path, o.Stdin},
		{&opts.stdout_path, o.Stdout},
		{&opts.stderr_path, o.Stderr},
		{&opts.restore_path, o.RestorePath},
		{&opts.restore_work_path, o.RestoreWorkPath},
	} {
		*s.to = cString(s.from)
		defer cFree(*s.to)
	}
	if len(o.Spec) > 0 {
		spec := C.CBytes(o.Spec)
		defer C.free(spec)
		opts.spec = (*C.char)(spec)
		opts.spec_size = C.size_t(len(o.Spec))
	}
	opts.flags = bits(map[C.uint32_t]bool{
		C.ES_TASK_NO_PIVOT:       o.NoPivot,
		C.ES_TASK_NO_NEW_KEYRING: o.NoNewKeyring,
		C.ES_TASK_SYSTEMD_CGROUP: o.SystemdCgroup,
	})
	text := newErrorText()
	defer text.free()
	opts.size = C.size_t(unsafe.Sizeof(opts))
	opts.runtime_timeout_ms = milliseconds(o.RuntimeTimeout)
	opts.io_uid = C.uint32_t(o.IoUid)
	opts.io_gid = C.uint32_t(o.IoGid)
	opts.error = text.c
	ns, cid := C.CString(namespace), C.CString(id)
	defer cFree(ns)
	defer cFree(cid)
	if r := C.es_task_create(m.c, ns, cid, &opts, &c); r < 0 {
		return nil, newError("create "+namespace+"/"+id, r, text.c)
	}
	return m.newTask(c), nil
}

// ID is es_task_id.
func (t *Task) ID() string { return t.id }

// Namespace is es_task_namespace.
func (t *Task) Namespace() string { return t.namespace }

// BundleDir is es_task_bundle_dir.
func (t *Task) BundleDir() string { return t.bundleDir }

// TraceID is the ID of its init process in exit records.
func (t *Task) TraceID() uint64 { return t.traceID }

func (t *Task) op(verb string) string {
	return verb + " " + t.namespace + "/" + t.id
}

// Start is es_task_start.
func (t *Task) Start() error {
	if err := t.enter(); err != nil {
		return err
	}
	defer t.leave()
	text := newErrorText()
	defer text.free()
	return newError(t.op("start"), C.es_task_start(t.c, text.c), text.c)
}

// State is es_task_state.
func (t *Task) State() (TaskState, error) {
	var state C.struct_es_task_state

	if err := t.enter(); err != nil {
		return TaskState{}, err
	}
	defer t.leave()
	if r := C.es_task_state(t.c, &state); r < 0 {
		return TaskState{}, newError(t.op("state of"), r, nil)
	}
	return TaskState{
		TraceID: uint64(state.trace_id),
		Pid:     int(state.pid),
		Status:  TaskStatus(state.status),
		Damaged: state.flags&C.ES_TASK_DAMAGED != 0,
	}, nil
}

// Kill is es_task_kill.
func (t *Task) Kill(signal syscall.Signal) error {
	if err := t.enter(); err != nil {
		return err
	}
	defer t.leave()
	return newError(t.op("kill"), C.es_task_kill(t.c, C.int(signal)), nil)
}

// Terminal is es_task_has_terminal.
func (t *Task) Terminal() bool {
	if t.enter() != nil {
		return false
	}
	defer t.leave()
	return C.es_task_has_terminal(t.c) == 1
}

// Resize is es_task_resize.
func (t *Task) Resize(columns, rows uint32) error {
	if err := t.enter(); err != nil {
		return err
	}
	defer t.leave()
	return newError(t.op("resize"), C.es_task_resize(t.c, C.uint32_t(columns), C.uint32_t(rows)), nil)
}

// CloseStdin is es_task_close_stdin.
func (t *Task) CloseStdin() error {
	if err := t.enter(); err != nil {
		return err
	}
	defer t.leave()
	return newError(t.op("close stdin of"), C.es_task_close_stdin(t.c), nil)
}

// look is es_task_wait without waiting. nil: not known yet.
func (t *Task) look() (*Exit, error) {
	var exit C.struct_es_exit

	if err := t.enter(); err != nil {
		return nil, err
	}
	defer t.leave()
	r := C.es_task_wait(t.c, 0, &exit)
	if r == 0 {
		return newExit(&exit), nil
	}
	if syscall.Errno(-r) == syscall.ETIMEDOUT {
		return nil, nil
	}
	return nil, newError(t.op("wait for"), r, nil)
}

// Wait waits until the init process has exited or ctx is done. It blocks no thread, and every caller gets the
// same answer until the task is deleted.
func (t *Task) Wait(ctx context.Context) (*Exit, error) {
	return t.manager.wait(ctx, t.traceID, t.look)
}

// Delete is es_task_delete. The handle stays and must be closed.
func (t *Task) Delete() (*Exit, error) {
	var exit C.struct_es_exit

	if err := t.enter(); err != nil {
		return nil, err
	}
	defer t.leave()
	text := newErrorText()
	defer text.free()
	if r := C.es_task_delete(t.c, &exit, text.c); r < 0 {
		return nil, newError(t.op("delete"), r, text.c)
	}
	t.manager.wake(t.traceID)
	return newExit(&exit), nil
}

// Close is es_task_free: it gives back the reference. The container goes on.
func (t *Task) Close() error {
	t.close(func() {
		C.es_task_free(t.c)
		t.c = nil
	})
	return nil
}
