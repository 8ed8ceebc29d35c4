// SPDX-License-Identifier: Apache-2.0

package parity

import (
	"os"
	"os/exec"
	"path/filepath"

	"github.com/containerd/containerd/api/services/tasks/v1"
	runcoptions "github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/typeurl/v2"
)

// checkpoint writes the task to a directory.
func (c *container) checkpoint(options *runcoptions.CheckpointOptions) bool {
	ctx, cancel := c.s.call()
	defer cancel()
	response, err := c.s.tasks().Checkpoint(ctx, &tasks.CheckpointTaskRequest{
		ContainerID: c.id,
		Options:     typeurl.MarshalProto(c.s.anyOf(options)),
	})
	if err == nil {
		c.s.say("checkpoint %s: %d descriptors", c.id, len(response.Descriptors))
	}
	return c.s.outcome("checkpoint "+c.id, err)
}

var checkpointScenarios = []scenario{
	{"checkpoint-refused", func(s *side) {
		c := s.container(want{})
		c.create(streams{})
		c.checkpoint(&runcoptions.CheckpointOptions{ImagePath: s.path("image")})
		c.start()
		c.kill(9)
		c.wait()
		c.checkpoint(&runcoptions.CheckpointOptions{ImagePath: s.path("image")})
		c.delete()
	}},
	{"checkpoint", func(s *side) {
		if _, err := exec.LookPath("criu"); err != nil {
			s.say("SKIPPED: criu is not installed")
			return
		}
		c := s.container(want{})
		c.run(streams{})
		c.checkpoint(&runcoptions.CheckpointOptions{ImagePath: s.path("image"), WorkPath: s.path("work")})
		c.state()
		images, _ := filepath.Glob(s.path("image/pages-*.img"))
		s.say("%v that there are pages in the image", len(images) > 0)
		c.end()
	}},
	{"restore", func(s *side) {
		if _, err := exec.LookPath("criu"); err != nil {
			s.say("SKIPPED: criu is not installed")
			return
		}
		c := s.container(want{args: sh("i=0; while :; do i=$((i+1)); echo $i >/host/count; sleep 0.05; done")})
		c.run(streams{})
		s.waitFile("count")
		if !c.checkpoint(&runcoptions.CheckpointOptions{Exit: true, ImagePath: s.path("image")}) {
			c.end()
			return
		}
		c.wait()
		c.delete()
		_ = os.Remove(s.path("count"))
		o := s.runcOptions(c, "")
		o.CriuImagePath = s.path("image")
		c.create(streams{options: o})
		c.state()
		c.execute("early", []string{"true"}, streams{})
		c.pause()
		c.start()
		s.waitFile("count")
		c.state()
		e := c.execute("e", []string{"true"}, streams{})
		e.start()
		e.wait()
		c.end()
	}},
	{"restore-without-image", func(s *side) {
		c := s.container(want{})
		o := s.runcOptions(c, "")
		o.CriuImagePath = s.path("no-image")
		c.create(streams{options: o})
		c.state()
		c.start()
		c.state()
		c.delete()
	}},
}
