// SPDX-License-Identifier: Apache-2.0

package embed

import (
	"context"
	"errors"

	"github.com/containerd/errdefs"
	embedshim "github.com/embedshim/embedshim/go-binding"
)

// refusals are the words of containerd's shim for what a state does not allow, so that clients that look at
// them see what they know. None has a class, as there.
var refusals = map[string]map[embedshim.TaskStatus]string{
	"start": {
		embedshim.TaskRunning: "cannot start a running process",
		embedshim.TaskPaused:  "cannot start a paused process",
		embedshim.TaskStopped: "cannot start a stopped process",
	},
	"delete": {
		embedshim.TaskRunning: "cannot delete a running process",
		embedshim.TaskPaused:  "cannot delete a paused process",
	},
	"pause": {
		embedshim.TaskCreated: "cannot pause task in created state",
		embedshim.TaskPaused:  "cannot pause a paused container",
		embedshim.TaskStopped: "cannot pause a stopped container",
	},
	"resume": {
		embedshim.TaskCreated: "cannot resume task in created state",
		embedshim.TaskRunning: "cannot resume a running process",
		embedshim.TaskStopped: "cannot resume a stopped container",
	},
	"update": {
		embedshim.TaskStopped: "cannot update a stopped container",
	},
	"checkpoint": {
		embedshim.TaskCreated: "cannot checkpoint a task in created state",
		embedshim.TaskStopped: "cannot checkpoint a stopped container",
	},
	"exec": {
		embedshim.TaskPaused:  "cannot exec in a paused state",
		embedshim.TaskStopped: "cannot exec in a stopped state",
	},
}

// refused puts a refusal of the library in containerd's words, if it has some.
func refused(err error, verb string, status embedshim.TaskStatus) error {
	if errors.Is(err, errdefs.ErrFailedPrecondition) {
		if text := refusals[verb][status]; text != "" {
			return errors.New(text)
		}
	}
	return unclassed(err)
}

// unclassed keeps the text of a failure, and only those classes that speak of the task itself: that a FIFO is
// missing must not read as "no such task".
func unclassed(err error) error {
	if err == nil {
		return nil
	}
	for _, class := range []error{
		errdefs.ErrAlreadyExists, errdefs.ErrFailedPrecondition, errdefs.ErrUnavailable,
		errdefs.ErrInvalidArgument, errdefs.ErrResourceExhausted, errdefs.ErrNotImplemented,
		context.DeadlineExceeded, context.Canceled,
	} {
		if errors.Is(err, class) {
			return err
		}
	}
	return errors.New(err.Error())
}

// killError is what clients know for a process that is gone.
func killError(err error) error {
	if errors.Is(err, errdefs.ErrNotFound) {
		return errFinished
	}
	return err
}

type finishedError struct{}

func (finishedError) Error() string { return "process already finished: not found" }

func (finishedError) Is(target error) bool { return target == errdefs.ErrNotFound }

var errFinished error = finishedError{}

// errClosed ends waits when the daemon shuts down.
type closedError struct{}

func (closedError) Error() string { return "containerd is shutting down" }

func (closedError) Is(target error) bool { return target == errdefs.ErrUnavailable }

var errClosed error = closedError{}
