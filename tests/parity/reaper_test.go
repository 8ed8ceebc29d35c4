// SPDX-License-Identifier: Apache-2.0

package parity

import (
	"os/exec"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// commands are the children that os/exec waits for.
var commands = struct {
	sync.Mutex
	pids map[int]bool
}{pids: make(map[int]bool)}

// startCommand starts a child that the reaper leaves alone.
func startCommand(command *exec.Cmd) error {
	commands.Lock()
	defer commands.Unlock()
	err := command.Start()
	if err == nil {
		commands.pids[command.Process.Pid] = true
	}
	return err
}

// reapOrphans makes this process the parent of what loses its own, and reaps it: an init that reaps at once is
// what a runtime expects of its host, and not every container that tests run in has one.
func reapOrphans() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return err
	}
	go func() {
		for {
			var info unix.Siginfo
			err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOWAIT, nil)
			// si_pid follows the three integers of the header and its padding.
			pid := int(*(*int32)(unsafe.Add(unsafe.Pointer(&info), 16)))
			if err != nil || !reap(pid) {
				time.Sleep(time.Millisecond)
			}
		}
	}()
	return nil
}

func reap(pid int) bool {
	commands.Lock()
	defer commands.Unlock()
	if commands.pids[pid] {
		return false
	}
	_, err := unix.Wait4(pid, nil, unix.WNOHANG, nil)
	return err == nil
}
