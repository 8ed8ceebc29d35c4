// SPDX-License-Identifier: Apache-2.0

package host

import (
	"bytes"
	"strings"
	"sync"
	"time"
)

// Text keeps what is written to it while others look for something in it.
type Text struct {
	mu  sync.Mutex
	got bytes.Buffer
}

func (t *Text) Write(text []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.got.Write(text)
}

// String is what has come so far.
func (t *Text) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.got.String()
}

// Await waits until a text has come.
func (t *Text) Await(limit time.Duration, text string) bool {
	return Poll(limit, func() bool { return strings.Contains(t.String(), text) })
}
