// SPDX-License-Identifier: Apache-2.0

package embedshim

import (
	"context"
	"errors"
	"syscall"
	"testing"

	"github.com/containerd/errdefs"
)

func TestErrorIsErrnoAndClass(t *testing.T) {
	all := []error{
		errdefs.ErrUnknown, errdefs.ErrInvalidArgument, errdefs.ErrNotFound, errdefs.ErrAlreadyExists,
		errdefs.ErrPermissionDenied, errdefs.ErrResourceExhausted, errdefs.ErrFailedPrecondition,
		errdefs.ErrUnavailable, errdefs.ErrNotImplemented, errdefs.ErrDataLoss, errdefs.ErrInternal,
		context.DeadlineExceeded, context.Canceled,
	}
	check := func(errno syscall.Errno, class error) {
		t.Helper()
		err := error(&Error{Op: "test", Errno: errno})
		if !errors.Is(err, errno) {
			t.Errorf("%v is not its errno", errno)
		}
		if got := errdefs.Resolve(err); got != class {
			t.Errorf("%v is %v to containerd, not %v", errno, got, class)
		}
		for _, other := range all {
			if errors.Is(err, other) != (other == class) {
				t.Errorf("%v and class %v: %v", errno, other, other != class)
			}
		}
	}
	for errno, class := range classes {
		check(errno, class)
	}
	check(syscall.EIO, errdefs.ErrUnknown)
	check(syscall.EXDEV, errdefs.ErrUnknown)
	if !errdefs.IsNotFound(&Error{Errno: syscall.ENOENT}) {
		t.Error("errdefs does not see NotFound")
	}
}

func TestErrorText(t *testing.T) {
	err := &Error{Op: "start a/b", Errno: syscall.ENOENT}
	if got := err.Error(); got != "start a/b: no such file or directory" {
		t.Error(got)
	}
	err.Message = "it says why"
	if got := err.Error(); got != "it says why" {
		t.Error(got)
	}
}

func TestCheckIdentifier(t *testing.T) {
	if err := CheckIdentifier("k8s.io"); err != nil {
		t.Error(err)
	}
	if err := CheckIdentifier("../x"); !errors.Is(err, errdefs.ErrInvalidArgument) {
		t.Error(err)
	}
	if Version() == "" {
		t.Error("no version")
	}
}
