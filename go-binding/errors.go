// SPDX-License-Identifier: Apache-2.0

package embedshim

// #include <embedshim/embedshim.h>
import "C"

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"github.com/containerd/errdefs"
)

// ErrClosed is returned by methods of a handle after its Close.
var ErrClosed = errors.New("embedshim: handle is closed")

// Error is a failure of the C library. errors.Is finds its errno (syscall.ENOENT) and the class that
// containerd gives it (errdefs.ErrNotFound).
type Error struct {
	Op          string        // what was tried
	Errno       syscall.Errno // the reason
	Message     string        // one line that names the thing and the reason; may be empty
	RuntimeExit int           // exit code of the OCI runtime, -1 if none was run
}

func (e *Error) Error() string {
	if e.Message != "" {
		return e.Message
	}
	return fmt.Sprintf("%s: %s", e.Op, e.Errno.Error())
}

// Unwrap returns the class and the errno. errdefs looks for the class among what is wrapped, and asks no Is
// method of what wraps something.
func (e *Error) Unwrap() []error {
	return []error{classOf(e.Errno), e.Errno}
}

// Is does the same for Go before 1.20, which follows no more than one error.
func (e *Error) Is(target error) bool {
	return target == classOf(e.Errno) || target == error(e.Errno)
}

// classes is the one table from errno to class. What is not in it is unknown.
var classes = map[syscall.Errno]error{
	syscall.ENOENT:       errdefs.ErrNotFound,
	syscall.ESRCH:        errdefs.ErrNotFound,
	syscall.EEXIST:       errdefs.ErrAlreadyExists,
	syscall.EINVAL:       errdefs.ErrInvalidArgument,
	syscall.ENAMETOOLONG: errdefs.ErrInvalidArgument,
	syscall.ENOTDIR:      errdefs.ErrInvalidArgument,
	syscall.EBUSY:        errdefs.ErrFailedPrecondition,
	syscall.EAGAIN:       errdefs.ErrUnavailable,
	syscall.ESHUTDOWN:    errdefs.ErrUnavailable,
	syscall.EOPNOTSUPP:   errdefs.ErrNotImplemented,
	syscall.ENOSYS:       errdefs.ErrNotImplemented,
	syscall.E2BIG:        errdefs.ErrNotImplemented,
	syscall.EPERM:        errdefs.ErrPermissionDenied,
	syscall.EACCES:       errdefs.ErrPermissionDenied,
	syscall.EROFS:        errdefs.ErrPermissionDenied,
	syscall.ENOMEM:       errdefs.ErrResourceExhausted,
	syscall.EMFILE:       errdefs.ErrResourceExhausted,
	syscall.ENFILE:       errdefs.ErrResourceExhausted,
	syscall.ENOSPC:       errdefs.ErrResourceExhausted,
	syscall.EDQUOT:       errdefs.ErrResourceExhausted,
	syscall.EBADMSG:      errdefs.ErrDataLoss,
	syscall.ENODATA:      errdefs.ErrDataLoss,
	syscall.ETIMEDOUT:    context.DeadlineExceeded,
	syscall.ECANCELED:    context.Canceled,
	syscall.ECHILD:       errdefs.ErrInternal,
	syscall.EBADF:        errdefs.ErrInternal,
}

func classOf(errno syscall.Errno) error {
	if class, ok := classes[errno]; ok {
		return class
	}
	return errdefs.ErrUnknown
}

// newError makes an error of a negative errno, and nil of anything else.
func newError(op string, r C.int, text *C.struct_es_error) error {
	if r >= 0 {
		return nil
	}
	e := &Error{Op: op, Errno: syscall.Errno(-r), RuntimeExit: -1}
	if text != nil && text.code == C.int32_t(r) {
		e.Message = C.GoString(&text.message[0])
		e.RuntimeExit = int(text.runtime_exit)
	}
	return e
}
