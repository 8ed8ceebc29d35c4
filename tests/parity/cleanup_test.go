// SPDX-License-Identifier: Apache-2.0

package parity

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"golang.org/x/sys/unix"
)

// goneLimit is how long what ends in the background may take before it counts as left.
const goneLimit = 3 * time.Second

// tearDown ends whatever the scenario has not ended itself. Nothing of it is recorded.
func (s *side) tearDown() {
	for _, c := range s.containers {
		forceDelete(s.ctx, c.id)
		_ = s.client().ContainerService().Delete(s.ctx, c.id)
	}
}

// forceDelete kills and deletes a task, paused or not.
func forceDelete(ctx context.Context, id string) {
	service := world.daemon.client.TaskService()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if _, err := service.Get(ctx, &tasks.GetRequest{ContainerID: id}); err != nil {
		return
	}
	_, _ = service.Kill(ctx, &tasks.KillRequest{ContainerID: id, Signal: uint32(syscall.SIGKILL), All: true})
	_, _ = service.Resume(ctx, &tasks.ResumeTaskRequest{ContainerID: id})
	_, _ = service.Wait(ctx, &tasks.WaitRequest{ContainerID: id})
	_, _ = service.Delete(ctx, &tasks.DeleteTaskRequest{ContainerID: id})
}

// cleanUp ends the daemon and removes everything; it names what should not have been there any more.
var cleanUp = sync.OnceValue(func() (left []string) {
	if world.dir == "" {
		return nil
	}
	if d := world.daemon; d != nil && d.client != nil {
		deleteTasks()
		if err := d.stop(syscall.SIGTERM); err != nil {
			left = append(left, err.Error())
		}
		d.client.Close()
	}
	left = append(left, endShims()...)
	left = append(left, endContainers()...)
	left = append(left, unmountAll()...)
	for _, kind := range world.sides {
		_ = os.RemoveAll(filepath.Join("/run/containerd/runc", kind.namespace))
	}
	if err := os.RemoveAll(world.dir); err != nil {
		left = append(left, err.Error())
	}
	return left
})

func deleteTasks() {
	for _, kind := range world.sides {
		ctx := namespaces.WithNamespace(context.Background(), kind.namespace)
		list, err := world.daemon.client.TaskService().List(ctx, &tasks.ListTasksRequest{})
		if err != nil {
			continue
		}
		for _, t := range list.Tasks {
			forceDelete(ctx, t.ID)
		}
	}
}

// endShims waits for the shims of this daemon, and kills those that stay.
func endShims() (left []string) {
	var shims []int
	poll(15*time.Second, func() bool {
		shims = processesNaming(world.daemon.address)
		return len(shims) == 0
	})
	for _, pid := range shims {
		left = append(left, "process "+commandLine(pid))
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	return left
}

// endContainers kills what runs in a cgroup of ours, and removes the cgroups.
func endContainers() (left []string) {
	for _, pid := range processesIn(world.cgroup) {
		left = append(left, "process in a container "+commandLine(pid))
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	for _, dir := range cgroupDirs(world.cgroup) {
		var dirs []string
		_ = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && entry.IsDir() {
				dirs = append(dirs, path)
			}
			return nil
		})
		slices.Reverse(dirs)
		for _, d := range dirs {
			// Those of the containers must be gone; these are their parents.
			if strings.Count(strings.TrimPrefix(d, dir), "/") > 1 {
				left = append(left, "cgroup "+d)
			}
			poll(goneLimit, func() bool {
				err := unix.Rmdir(d)
				return err == nil || err == unix.ENOENT
			})
		}
	}
	return left
}

func unmountAll() (left []string) {
	mounts := mountsBelow(world.dir)
	slices.Reverse(mounts)
	for _, m := range mounts {
		left = append(left, fmt.Sprintf("mount %s on %s", m.kind, m.point))
		_ = unix.Unmount(m.point, unix.MNT_DETACH)
	}
	return left
}
