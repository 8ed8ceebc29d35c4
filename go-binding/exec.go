// SPDX-License-Identifier: Apache-2.0

package embedshim

// #include <embedshim/embedshim.h>
// #include <stdlib.h>
import "C"

import (
	"context"
	"syscall"
	"unsafe"
)

// ExecOptions are struct es_exec_opts.
type ExecOptions struct {
	Process []byte // JSON text of an OCI process object
	Streams
	// As those of TaskOptions.
	IoUid, IoGid uint32
}

// ExecState is struct es_exec_state.
type ExecState struct {
	TraceID uint64
	Pid     int // 0 before it was started
	Status  TaskStatus
}

// Exec is a reference to an additional process of a container.
type Exec struct {
	handle
	c       *C.struct_es_exec
	manager *Manager
	traceID uint64
	id      string
	op      string // its name in errors
}

// newExec wraps a reference, which it takes.
func (t *Task) newExec(c *C.struct_es_exec) *Exec {
	var state C.struct_es_exec_state

	C.es_exec_state(c, &state)
	id := C.GoString(C.es_exec_id(c))
	return &Exec{
		c:       c,
		manager: t.manager,
		traceID: uint64(state.trace_id),
		id:      id,
		op:      "exec " + id + " of " + t.namespace + "/" + t.id,
	}
}

// Exec is es_exec_create. The caller closes the exec.
func (t *Task) Exec(id string, o ExecOptions) (*Exec, error) {
	var exec *C.struct_es_exec

	err := t.with("add exec to", func(c *C.struct_es_task, text *C.struct_es_error) C.int {
		var opts C.struct_es_exec_opts

		opts.size = C.size_t(unsafe.Sizeof(opts))
		opts.error = text
		opts.process = cString(string(o.Process))
		opts.stdin_path = cString(o.Stdin)
		opts.stdout_path = cString(o.Stdout)
		opts.stderr_path = cString(o.Stderr)
		cid := C.CString(id)
		for _, s := range []*C.char{opts.process, opts.stdin_path, opts.stdout_path, opts.stderr_path, cid} {
			defer cFree(s)
		}
		opts.process_size = C.size_t(len(o.Process))
		opts.io_uid = C.uint32_t(o.IoUid)
		opts.io_gid = C.uint32_t(o.IoGid)
		return C.es_exec_create(c, cid, &opts, &exec)
	})
	if err != nil {
		return nil, err
	}
	return t.newExec(exec), nil
}

// GetExec is es_task_get_exec. The caller closes the exec.
func (t *Task) GetExec(id string) (*Exec, error) {
	var exec *C.struct_es_exec

	err := t.with("find exec "+id+" of", func(c *C.struct_es_task, _ *C.struct_es_error) C.int {
		cid := C.CString(id)
		defer cFree(cid)
		return C.es_task_get_exec(c, cid, &exec)
	})
	if err != nil {
		return nil, err
	}
	return t.newExec(exec), nil
}

// Execs is es_task_list_execs. The caller closes the execs.
func (t *Task) Execs() ([]*Exec, error) {
	var list **C.struct_es_exec

	if err := t.enter(); err != nil {
		return nil, err
	}
	defer t.leave()
	n := C.es_task_list_execs(t.c, &list)
	if n < 0 {
		return nil, newError(t.op("execs of"), n, nil)
	}
	execs := make([]*Exec, 0, int(n))
	entries := unsafe.Slice(list, int(n)+1)
	for _, c := range entries[:n] {
		execs = append(execs, t.newExec(c))
	}
	// The references are ours now: what is left of the array is its end.
	entries[0] = nil
	C.es_exec_list_free(list)
	return execs, nil
}

// ID is es_exec_id.
func (e *Exec) ID() string { return e.id }

// TraceID is the ID of its process in exit records.
func (e *Exec) TraceID() uint64 { return e.traceID }

// with runs fn with the C exec and room for an error text.
func (e *Exec) with(verb string, fn func(*C.struct_es_exec, *C.struct_es_error) C.int) error {
	if err := e.enter(); err != nil {
		return err
	}
	defer e.leave()
	text := newErrorText()
	defer text.free()
	return newError(verb+" "+e.op, fn(e.c, text.c), text.c)
}

// Start is es_exec_start.
func (e *Exec) Start() error {
	return e.with("start", func(c *C.struct_es_exec, text *C.struct_es_error) C.int {
		return C.es_exec_start(c, text)
	})
}

// State is es_exec_state.
func (e *Exec) State() (ExecState, error) {
	var state C.struct_es_exec_state

	err := e.with("state of", func(c *C.struct_es_exec, _ *C.struct_es_error) C.int {
		return C.es_exec_state(c, &state)
	})
	return ExecState{
		TraceID: uint64(state.trace_id),
		Pid:     int(state.pid),
		Status:  TaskStatus(state.status),
	}, err
}

// Streams is es_exec_stream.
func (e *Exec) Streams() Streams {
	if e.enter() != nil {
		return Streams{}
	}
	defer e.leave()
	return Streams{
		Stdin:  C.GoString(C.es_exec_stream(e.c, 0)),
		Stdout: C.GoString(C.es_exec_stream(e.c, 1)),
		Stderr: C.GoString(C.es_exec_stream(e.c, 2)),
	}
}

// Kill is es_exec_kill.
func (e *Exec) Kill(signal syscall.Signal) error {
	return e.with("kill", func(c *C.struct_es_exec, _ *C.struct_es_error) C.int {
		return C.es_exec_kill(c, C.int(signal))
	})
}

// Terminal is es_exec_has_terminal.
func (e *Exec) Terminal() bool {
	if e.enter() != nil {
		return false
	}
	defer e.leave()
	return C.es_exec_has_terminal(e.c) == 1
}

// Resize is es_exec_resize.
func (e *Exec) Resize(columns, rows uint32) error {
	return e.with("resize", func(c *C.struct_es_exec, _ *C.struct_es_error) C.int {
		return C.es_exec_resize(c, C.uint32_t(columns), C.uint32_t(rows))
	})
}

// CloseStdin is es_exec_close_stdin.
func (e *Exec) CloseStdin() error {
	return e.with("close stdin of", func(c *C.struct_es_exec, _ *C.struct_es_error) C.int {
		return C.es_exec_close_stdin(c)
	})
}

// look is es_exec_wait without waiting. nil: not known yet.
func (e *Exec) look() (*Exit, error) {
	var exit C.struct_es_exit

	if err := e.enter(); err != nil {
		return nil, err
	}
	defer e.leave()
	r := C.es_exec_wait(e.c, 0, &exit)
	if r == 0 {
		return newExit(&exit), nil
	}
	if syscall.Errno(-r) == syscall.ETIMEDOUT {
		return nil, nil
	}
	return nil, newError("wait for "+e.op, r, nil)
}

// Wait waits until the process has exited or ctx is done. It blocks no thread. An exec that was not started
// is an error.
func (e *Exec) Wait(ctx context.Context) (*Exit, error) {
	return e.manager.wait(ctx, e.traceID, e.look)
}

// Delete is es_exec_delete: nil for an exec that was never started. The handle stays and must be closed.
func (e *Exec) Delete() (*Exit, error) {
	var exit C.struct_es_exit

	err := e.with("delete", func(c *C.struct_es_exec, text *C.struct_es_error) C.int {
		return C.es_exec_delete(c, &exit, text)
	})
	if err != nil || exit.source == 0 {
		return nil, err
	}
	e.manager.wake(e.traceID)
	return newExit(&exit), nil
}

// Close is es_exec_free: it gives back the reference. The process goes on.
func (e *Exec) Close() error {
	e.close(func() {
		C.es_exec_free(e.c)
		e.c = nil
	})
	return nil
}
