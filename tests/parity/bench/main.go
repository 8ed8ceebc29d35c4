// SPDX-License-Identifier: Apache-2.0

// Command bench measures io.containerd.runtime.v1.embed beside containerd's own io.containerd.runc.v2 on one
// daemon, in turns with bare runc, and prints medians and ratios. It asserts nothing.
//
// Start it with tests/bench/containerd.
package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/embedshim/embedshim/tests/parity/host"
)

const namespace = "bench"

// The columns.
const (
	bare = iota
	stock
	embed
	columns
)

var (
	columnNames = [columns]string{"bare runc", "stock", "embed"}
	runtimes    = [columns]string{stock: host.Stock, embed: host.Embed}
)

// row is one thing that is measured.
type row struct {
	name    string
	unit    string
	target  float64 // of embed to stock
	atLeast bool    // the target is a least value, not a most
	values  [columns][]float64
}

func (r *row) add(column int, value float64) { r.values[column] = append(r.values[column], value) }

func (r *row) addTime(column int, d time.Duration) { r.add(column, d.Seconds()*1000) }

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	if n == 0 {
		return 0
	}
	return (sorted[n/2] + sorted[(n-1)/2]) / 2
}

// print writes the row as one of a table.
func (r *row) print() {
	cells := []string{r.name + ", " + r.unit}
	for column := range columns {
		cell := "–"
		if len(r.values[column]) > 0 {
			cell = fmt.Sprintf("%.3g", median(r.values[column]))
		}
		cells = append(cells, cell)
	}
	ratio, target, verdict := "–", "–", ""
	if len(r.values[stock]) > 0 && len(r.values[embed]) > 0 {
		value := median(r.values[embed]) / median(r.values[stock])
		ratio = fmt.Sprintf("%.2f", value)
		if r.target != 0 {
			sign, met := "≤", value <= r.target
			if r.atLeast {
				sign, met = "≥", value >= r.target
			}
			if target = fmt.Sprintf("%s %.2f", sign, r.target); !met {
				verdict = "missed"
			}
		}
	}
	cells = append(cells, ratio, target, verdict)
	fmt.Println("| " + strings.Join(cells, " | ") + " |")
}

// turns is an order of the columns, another one each time: what one leaves to the kernel must not always fall on
// the same next one.
func turns() []int { return rand.Perm(columns) }

// bench is the daemon and what was measured so far.
type bench struct {
	*host.Host
	ctx  context.Context
	made int
	rows []*row
}

func (b *bench) row(name, unit string, target float64) *row {
	r := &row{name: name, unit: unit, target: target}
	b.rows = append(b.rows, r)
	return r
}

// id is one that was not used before.
func (b *bench) id() string {
	b.made++
	return fmt.Sprintf("b%d", b.made)
}

func main() {
	rounds := flag.Int("rounds", 15, "how often each call is measured")
	tasks := flag.Int("tasks", 100, "the most containers at a time")
	only := flag.String("only", "", "some of calls,execs,ctr,streams,throughput,restart,memory")
	flag.Parse()
	if err := run(*rounds, *tasks, *only); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(rounds, most int, only string) error {
	h, err := host.New("bench")
	if err != nil {
		return err
	}
	defer h.Close()
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		<-stop
		h.Close()
		os.Exit(1)
	}()
	if err := h.Start(); err != nil {
		return err
	}
	var failed error
	b := &bench{Host: h, ctx: namespaces.WithNamespace(context.Background(), namespace)}
	for _, part := range []struct {
		name string
		run  func() error
	}{
		{"calls", func() error { return b.calls(rounds) }},
		{"execs", func() error { return b.execs(rounds) }},
		{"ctr", func() error { return b.ctr(rounds) }},
		{"streams", func() error { return b.streams(rounds/3 + 1) }},
		{"throughput", func() error { return b.throughput(3) }},
		{"restart", func() error { return b.restarts(most) }},
		{"memory", func() error { return b.memory(most) }},
	} {
		if only != "" && !slices.Contains(strings.Split(only, ","), part.name) {
			continue
		}
		if err := part.run(); err != nil {
			// What was measured before is as good.
			failed = fmt.Errorf("%s: %w\n%s", part.name, err, h.LogTail(20))
			break
		}
	}
	fmt.Printf("| | %s | embed/stock | target | |\n|%s\n", strings.Join(columnNames[:], " | "),
		strings.Repeat(" --- |", columns+4))
	for _, r := range b.rows {
		r.print()
	}
	return failed
}
