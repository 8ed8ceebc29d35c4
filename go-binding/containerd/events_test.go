// SPDX-License-Identifier: Apache-2.0

package embed

import (
	"context"
	"testing"
	"time"

	apievents "github.com/containerd/containerd/api/events"
	"github.com/containerd/containerd/v2/core/events"
	"github.com/containerd/containerd/v2/pkg/namespaces"
)

// published takes what is published.
type published chan string

func (p published) Publish(ctx context.Context, topic string, _ events.Event) error {
	namespace, err := namespaces.NamespaceRequired(ctx)
	p <- namespace + topic
	return err
}

func TestEventsOfBeforeAStartWaitForListeners(t *testing.T) {
	for _, way := range []string{"served", "deleted", "new"} {
		got := make(published, 1)
		r := newRuntime(got, nil, options{})
		c := newContainer(r, "ns", "id")
		if way == "new" {
			c.hear()
		}
		c.publish(&apievents.TaskOOM{ContainerID: c.id})
		if way != "new" {
			select {
			case <-got:
				t.Errorf("%s: published while nobody could hear it", way)
			case <-time.After(20 * time.Millisecond):
			}
		}
		switch way {
		case "served":
			close(r.serving)
		case "deleted":
			c.hear()
		}
		if topic := <-got; topic != "ns/tasks/oom" {
			t.Errorf("%s: published %s", way, topic)
		}
	}
}

func TestOOMFollowsTheStart(t *testing.T) {
	got := make(published, 4)
	r := newRuntime(got, nil, options{})
	c := newContainer(r, "ns", "id")
	c.hear()
	c.hold(c.init)
	c.ranOutOfMemory()
	c.announce(c.init, &apievents.TaskStart{ContainerID: c.id})
	for _, want := range []string{"start", "oom"} {
		if topic := <-got; topic != "ns/tasks/"+want {
			t.Errorf("published %s instead of %s", topic, want)
		}
	}
}

func TestFlushWaitsForTheQueue(t *testing.T) {
	got := make(published, 2)
	r := newRuntime(got, nil, options{})
	c := newContainer(r, "ns", "id")
	c.publish(&apievents.TaskOOM{ContainerID: c.id})
	c.init.release() // as that of before a start is, when its exit is known
	if err := c.flush(context.Background(), c.init); err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 {
		t.Errorf("%d events were published before the flush was over", len(got))
	}
	r.close()
	if err := c.flush(context.Background(), newProcess("exec", nil)); err == nil {
		t.Error("a flush goes on when the runtime is closed")
	}
}
