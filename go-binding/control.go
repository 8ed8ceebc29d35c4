// SPDX-License-Identifier: Apache-2.0

package embedshim

// #include <embedshim/embedshim.h>
// #include <stdlib.h>
import "C"

import (
	"syscall"
	"unsafe"
)

// with runs fn with the C task and room for an error text.
func (t *Task) with(verb string, fn func(*C.struct_es_task, *C.struct_es_error) C.int) error {
	if err := t.enter(); err != nil {
		return err
	}
	defer t.leave()
	text := newErrorText()
	defer text.free()
	return newError(t.op(verb), fn(t.c, text.c), text.c)
}

// Pause is es_task_pause.
func (t *Task) Pause() error {
	return t.with("pause", func(c *C.struct_es_task, text *C.struct_es_error) C.int {
		return C.es_task_pause(c, text)
	})
}

// Resume is es_task_resume.
func (t *Task) Resume() error {
	return t.with("resume", func(c *C.struct_es_task, text *C.struct_es_error) C.int {
		return C.es_task_resume(c, text)
	})
}

// Update is es_task_update: resources is the JSON text of an OCI linux.resources object.
func (t *Task) Update(resources []byte) error {
	return t.with("update", func(c *C.struct_es_task, text *C.struct_es_error) C.int {
		// With a NUL: an empty text is refused by C, not taken for a missing one.
		copied := C.CBytes(append(append([]byte{}, resources...), 0))
		defer C.free(copied)
		return C.es_task_update(c, (*C.char)(copied), C.size_t(len(resources)), text)
	})
}

// Pids is es_task_pids.
func (t *Task) Pids() ([]int, error) {
	var list *C.int32_t

	if err := t.enter(); err != nil {
		return nil, err
	}
	defer t.leave()
	n := C.es_task_pids(t.c, &list)
	if n < 0 {
		return nil, newError(t.op("processes of"), n, nil)
	}
	defer C.free(unsafe.Pointer(list))
	pids := make([]int, 0, int(n))
	for _, pid := range unsafe.Slice(list, int(n)) {
		pids = append(pids, int(pid))
	}
	return pids, nil
}

// KillAll is es_task_kill_all: the number of processes that the signal was sent to.
func (t *Task) KillAll(signal syscall.Signal) (int, error) {
	if err := t.enter(); err != nil {
		return 0, err
	}
	defer t.leave()
	n := C.es_task_kill_all(t.c, C.int(signal))
	if n < 0 {
		return 0, newError(t.op("kill all of"), n, nil)
	}
	return int(n), nil
}

// Cgroups is es_task_cgroups: text in the format of /proc/<pid>/cgroup; empty if it was never known.
func (t *Task) Cgroups() string {
	if t.enter() != nil {
		return ""
	}
	defer t.leave()
	return C.GoString(C.es_task_cgroups(t.c))
}

// Streams is es_task_stream.
func (t *Task) Streams() Streams {
	if t.enter() != nil {
		return Streams{}
	}
	defer t.leave()
	return Streams{
		Stdin:  C.GoString(C.es_task_stream(t.c, 0)),
		Stdout: C.GoString(C.es_task_stream(t.c, 1)),
		Stderr: C.GoString(C.es_task_stream(t.c, 2)),
	}
}

// CheckpointOptions are struct es_checkpoint_opts.
type CheckpointOptions struct {
	ImagePath, WorkPath string
	CgroupsMode         string
	EmptyNamespaces     []string
	Exit                bool // end the container
	TCP, UnixSockets    bool
	ShellJob, FileLocks bool
}

// Checkpoint is es_task_checkpoint.
func (t *Task) Checkpoint(o CheckpointOptions) error {
	return t.with("checkpoint", func(c *C.struct_es_task, text *C.struct_es_error) C.int {
		var opts C.struct_es_checkpoint_opts

		opts.size = C.size_t(unsafe.Sizeof(opts))
		opts.error = text
		opts.image_path = cString(o.ImagePath)
		opts.work_path = cString(o.WorkPath)
		opts.cgroups_mode = cString(o.CgroupsMode)
		defer cFree(opts.image_path)
		defer cFree(opts.work_path)
		defer cFree(opts.cgroups_mode)
		if n := len(o.EmptyNamespaces); n > 0 {
			// In C memory, with the NULL at its end.
			list := (**C.char)(C.calloc(C.size_t(n+1), C.size_t(unsafe.Sizeof((*C.char)(nil)))))
			defer C.free(unsafe.Pointer(list))
			for i, ns := range o.EmptyNamespaces {
				unsafe.Slice(list, n)[i] = C.CString(ns)
				defer cFree(unsafe.Slice(list, n)[i])
			}
			opts.empty_namespaces = list
		}
		opts.flags = bits(map[C.uint32_t]bool{
			C.ES_CHECKPOINT_EXIT:         o.Exit,
			C.ES_CHECKPOINT_TCP:          o.TCP,
			C.ES_CHECKPOINT_UNIX_SOCKETS: o.UnixSockets,
			C.ES_CHECKPOINT_SHELL_JOB:    o.ShellJob,
			C.ES_CHECKPOINT_FILE_LOCKS:   o.FileLocks,
		})
		return C.es_task_checkpoint(c, &opts)
	})
}
