// SPDX-License-Identifier: Apache-2.0

package parity

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/embedshim/embedshim/tests/parity/host"
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
	service := world.daemon.Client.TaskService()
	ctx, cancel := context.WithTimeout(ctx, host.Patient(5*time.Second))
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
	if d := world.daemon; d != nil {
		if d.Client != nil {
			deleteTasks()
		}
		left = d.Close()
	}
	left = append(left, host.EndContainers(world.cgroup)...)
	left = append(left, host.Unmount(world.dir)...)
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
		list, err := world.daemon.Client.TaskService().List(ctx, &tasks.ListTasksRequest{})
		if err != nil {
			continue
		}
		for _, t := range list.Tasks {
			forceDelete(ctx, t.ID)
		}
	}
}
