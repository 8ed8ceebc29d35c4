// SPDX-License-Identifier: Apache-2.0

package host

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	eventsapi "github.com/containerd/containerd/api/events"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/typeurl/v2"
)

const markerTopic = "/host/marker"

// Listener is a stream of events.
type Listener struct {
	cancel func()
	ended  chan struct{}
}

// Ended waits until the stream has ended, as it does with the daemon. Whatever has been sent is received.
func (l *Listener) Ended() { <-l.ended }

// Stop ends the stream.
func (l *Listener) Stop() {
	l.cancel()
	<-l.ended
}

// Listen hands every event of a namespace to on, in order. When it returns, events are received for certain.
func (d *Daemon) Listen(namespace string, on func(published time.Time, event any)) (*Listener, error) {
	ctx, cancel := context.WithCancel(namespaces.WithNamespace(context.Background(), namespace))
	ch, errs := d.Client.Subscribe(ctx, fmt.Sprintf("namespace==%s", namespace))
	l := &Listener{cancel, make(chan struct{})}
	marked := make(chan struct{})
	mark := sync.OnceFunc(func() { close(marked) })
	go func() {
		defer close(l.ended)
		for {
			select {
			case <-errs:
				return
			case envelope := <-ch:
				if envelope.Topic == markerTopic {
					mark()
				} else if event, err := typeurl.UnmarshalAny(envelope.Event); err == nil {
					on(envelope.Timestamp, event)
				}
			}
		}
	}()
	for range 500 {
		if err := d.Client.EventService().Publish(ctx, markerTopic, &eventsapi.TaskOOM{}); err != nil {
			l.Stop()
			return nil, err
		}
		select {
		case <-marked:
			return l, nil
		case <-time.After(10 * time.Millisecond):
		}
	}
	l.Stop()
	return nil, errors.New("no events come")
}
