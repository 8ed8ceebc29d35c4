// SPDX-License-Identifier: Apache-2.0

package embed

import "sync"

// queue does work in order, in one goroutine that exists while there is some. Containers that follow one
// another under one ID share it, so that the events of the next cannot overtake those of the last.
type queue struct {
	mu      sync.Mutex
	work    []func()
	working bool
	users   int // protected by the lock of the queues
}

// push appends work.
func (q *queue) push(work func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.work = append(q.work, work)
	if !q.working {
		q.working = true
		go q.run()
	}
}

func (q *queue) run() {
	for {
		q.mu.Lock()
		if len(q.work) == 0 {
			q.working = false
			q.mu.Unlock()
			return
		}
		work := q.work[0]
		q.work = q.work[1:]
		q.mu.Unlock()
		work()
	}
}

// queues are those of all IDs that are in use, or whose events are still on their way.
type queues struct {
	mu  sync.Mutex
	all map[string]*queue
}

// take is the queue of a key, for as long as drop is not called.
func (s *queues) take(key string) *queue {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.all[key]
	if q == nil {
		q = &queue{}
		s.all[key] = q
	}
	q.users++
	return q
}

// drop gives a queue back once what is in it now is done.
func (s *queues) drop(key string, q *queue) {
	q.push(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if q.users--; q.users == 0 {
			delete(s.all, key)
		}
	})
}
