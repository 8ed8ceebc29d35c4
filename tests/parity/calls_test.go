// SPDX-License-Identifier: Apache-2.0

package parity

import (
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/api/types"
	runcoptions "github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/typeurl/v2"
	"github.com/embedshim/embedshim/tests/parity/host"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// streams are what a task's or an exec's are connected with, and what else its creation is given.
type streams struct {
	stdin, stdout, stderr string
	terminal              bool

	rootfs     []*types.Mount
	options    any
	checkpoint *types.Descriptor
}

func (s *side) tasks() tasks.TasksClient { return s.client().TaskService() }

// name is how the record calls it.
func (p *process) name() string {
	if p.exec != "" {
		return p.id + "/" + p.exec
	}
	return p.id
}

// create makes the task.
func (c *container) create(io streams) bool {
	s := c.s
	ctx, cancel := s.call()
	defer cancel()
	request := &tasks.CreateTaskRequest{
		ContainerID: c.id,
		Stdin:       io.stdin,
		Stdout:      io.stdout,
		Stderr:      io.stderr,
		Terminal:    io.terminal,
		Rootfs:      io.rootfs,
		Checkpoint:  io.checkpoint,
		Options:     typeurl.MarshalProto(s.anyOf(io.options)),
	}
	response, err := s.tasks().Create(ctx, request)
	if err == nil {
		s.normal.know(response.Pid, c.name())
	}
	return s.outcome("create "+c.name(), err)
}

func (p *process) start() bool {
	ctx, cancel := p.s.call()
	defer cancel()
	response, err := p.s.tasks().Start(ctx, &tasks.StartRequest{ContainerID: p.id, ExecID: p.exec})
	if err != nil {
		return p.s.outcome("start "+p.name(), err)
	}
	if p.exec != "" {
		p.s.normal.know(response.Pid, p.name())
	}
	p.s.say("start %s: pid %s", p.name(), p.s.normal.pid(response.Pid))
	return true
}

// run makes the task and starts it.
func (c *container) run(io streams) bool { return c.create(io) && c.start() }

// exec adds a process to the task.
func (c *container) execute(exec string, args []string, io streams) *process {
	text, err := json.Marshal(execSpec(args))
	if err != nil {
		c.s.Fatal(err)
	}
	return c.executeRaw(exec, text, io)
}

func (c *container) executeRaw(exec string, spec []byte, io streams) *process {
	p := &process{s: c.s, id: c.id, exec: exec}
	ctx, cancel := c.s.call()
	defer cancel()
	request := &tasks.ExecProcessRequest{
		ContainerID: c.id,
		ExecID:      exec,
		Stdin:       io.stdin,
		Stdout:      io.stdout,
		Stderr:      io.stderr,
		Terminal:    io.terminal,
	}
	if spec != nil {
		request.Spec = &anypb.Any{
			TypeUrl: "types.containerd.io/opencontainers/runtime-spec/1/Process",
			Value:   spec,
		}
	}
	_, err := c.s.tasks().Exec(ctx, request)
	c.s.outcome("exec "+p.name(), err)
	return p
}

// state records a process's state.
func (p *process) state() {
	ctx, cancel := p.s.call()
	defer cancel()
	response, err := p.s.tasks().Get(ctx, &tasks.GetRequest{ContainerID: p.id, ExecID: p.exec})
	if err != nil {
		p.s.outcome("state "+p.name(), err)
		return
	}
	t := response.Process
	p.s.say("state %s: id=%s %v pid=%s stdin=%s stdout=%s stderr=%s terminal=%v exit=%d at=%s", p.name(), t.ID,
		t.Status, p.s.normal.pid(t.Pid), t.Stdin, t.Stdout, t.Stderr, t.Terminal, t.ExitStatus,
		p.s.normal.time(p.name(), t.ExitedAt))
}

// status is what the state says, without a record.
func (p *process) status() string {
	ctx, cancel := p.s.call()
	defer cancel()
	response, err := p.s.tasks().Get(ctx, &tasks.GetRequest{ContainerID: p.id, ExecID: p.exec})
	if err != nil {
		return errorText(err)
	}
	return response.Process.Status.String()
}

// wait waits for the exit, and says what came.
func (p *process) wait() { p.waiting()() }

// waiting begins to wait. What it returns waits for the end of that.
func (p *process) waiting() func() {
	done := make(chan struct{})
	var text string
	go func() {
		defer close(done)
		ctx, cancel := p.s.call()
		defer cancel()
		response, err := p.s.tasks().Wait(ctx, &tasks.WaitRequest{ContainerID: p.id, ExecID: p.exec})
		if status.Code(err) == codes.Unavailable {
			// How the end of a connection reads depends on where it was.
			text = "Unavailable"
			return
		}
		if err != nil {
			text = errorText(err)
			return
		}
		text = fmt.Sprintf("%d at %s", response.ExitStatus, p.s.normal.time(p.name(), response.ExitedAt))
	}()
	return func() {
		<-done
		p.s.say("wait %s: %s", p.name(), text)
		p.letBeTold()
	}
}

// letBeTold waits for the TaskExit of what has ended. The stock shim drops what it has not published yet when its
// task is deleted, which a slow machine comes to see.
func (p *process) letBeTold() {
	if !host.Slow() || p.s.ours() {
		return
	}
	id := p.exec
	if id == "" {
		id = p.id
	}
	host.Poll(time.Second, func() bool {
		return slices.ContainsFunc(p.s.eventsOf(p.id), func(line string) bool {
			return strings.HasPrefix(line, "exit id="+id+" ")
		})
	})
}

func (p *process) kill(signal syscall.Signal) bool { return p.killAs(uint32(signal), false) }

func (p *process) killAll(signal syscall.Signal) bool { return p.killAs(uint32(signal), true) }

func (p *process) killAs(signal uint32, all bool) bool {
	ctx, cancel := p.s.call()
	defer cancel()
	_, err := p.s.tasks().Kill(ctx, &tasks.KillRequest{
		ContainerID: p.id,
		ExecID:      p.exec,
		Signal:      signal,
		All:         all,
	})
	return p.s.outcome(fmt.Sprintf("kill %s %d all=%v", p.name(), signal, all), err)
}

// delete deletes the task, or the exec.
func (p *process) delete() bool {
	text, ok := p.deleting()
	p.s.say("%s", text)
	return ok
}

func (p *process) deleting() (string, bool) {
	ctx, cancel := p.s.call()
	defer cancel()
	var response *tasks.DeleteResponse
	var err error
	if p.exec != "" {
		response, err = p.s.tasks().DeleteProcess(ctx, &tasks.DeleteProcessRequest{
			ContainerID: p.id,
			ExecID:      p.exec,
		})
	} else {
		response, err = p.s.tasks().Delete(ctx, &tasks.DeleteTaskRequest{ContainerID: p.id})
	}
	if err != nil {
		return fmt.Sprintf("delete %s: %s", p.name(), errorText(err)), false
	}
	return fmt.Sprintf("delete %s: id=%s pid=%s status=%d at=%s", p.name(), response.ID,
		p.s.normal.pid(response.Pid), response.ExitStatus, p.s.normal.time(p.name(), response.ExitedAt)), true
}

func (p *process) resize(width, height uint32) {
	ctx, cancel := p.s.call()
	defer cancel()
	_, err := p.s.tasks().ResizePty(ctx, &tasks.ResizePtyRequest{
		ContainerID: p.id,
		ExecID:      p.exec,
		Width:       width,
		Height:      height,
	})
	p.s.outcome("resize "+p.name(), err)
}

func (p *process) closeStdin() {
	ctx, cancel := p.s.call()
	defer cancel()
	_, err := p.s.tasks().CloseIO(ctx, &tasks.CloseIORequest{ContainerID: p.id, ExecID: p.exec, Stdin: true})
	p.s.outcome("close stdin "+p.name(), err)
}

func (c *container) pause() bool {
	ctx, cancel := c.s.call()
	defer cancel()
	_, err := c.s.tasks().Pause(ctx, &tasks.PauseTaskRequest{ContainerID: c.id})
	return c.s.outcome("pause "+c.name(), err)
}

func (c *container) resume() bool {
	ctx, cancel := c.s.call()
	defer cancel()
	_, err := c.s.tasks().Resume(ctx, &tasks.ResumeTaskRequest{ContainerID: c.id})
	return c.s.outcome("resume "+c.name(), err)
}

// pids records the known processes of the container, and how many others there are.
func (c *container) pids() {
	ctx, cancel := c.s.call()
	defer cancel()
	response, err := c.s.tasks().ListPids(ctx, &tasks.ListPidsRequest{ContainerID: c.id})
	if err != nil {
		c.s.outcome("pids "+c.name(), err)
		return
	}
	var lines []string
	for _, p := range response.Processes {
		line := c.s.normal.pid(p.Pid)
		if p.Info != nil {
			details := &runcoptions.ProcessDetails{}
			if err := proto.Unmarshal(p.Info.Value, details); err != nil {
				c.s.Fatal(err)
			}
			line += fmt.Sprintf(" (%s exec %s)", p.Info.TypeUrl, details.ExecID)
		}
		lines = append(lines, line)
	}
	sort.Strings(lines)
	c.s.say("pids %s: %s", c.name(), strings.Join(lines, ", "))
}

// update changes limits. The text of the resources is nil for none.
func (c *container) update(resources any) bool {
	var value *anypb.Any
	if resources != nil {
		text, err := json.Marshal(resources)
		if err != nil {
			c.s.Fatal(err)
		}
		value = &anypb.Any{TypeUrl: "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources", Value: text}
	}
	ctx, cancel := c.s.call()
	defer cancel()
	_, err := c.s.tasks().Update(ctx, &tasks.UpdateTaskRequest{ContainerID: c.id, Resources: value})
	return c.s.outcome("update "+c.name(), err)
}
