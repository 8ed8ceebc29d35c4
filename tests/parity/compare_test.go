// SPDX-License-Identifier: Apache-2.0

package parity

import (
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// difference is one that is explained, here and in docs/differences.md.
type difference struct {
	name      string // its heading in the document
	scenarios string // a pattern of their names; empty for all
	stock     []rule // what is done with the stock runtime's record before the comparison
	ours      []rule
	sometimes bool // it does not always show
}

// rule replaces a part of a line. A line of which nothing is left is none.
type rule struct {
	what, with string
}

// drop is the rule for a line that only one record has.
func drop(line string) rule { return rule{"^(?:" + line + ")$", ""} }

// apply changes a record as the rules say.
func (d *difference) apply(scenario string, rules []rule, lines []string) (changed []string, used bool) {
	if d.scenarios != "" {
		in, err := path.Match(d.scenarios, scenario)
		if err != nil {
			panic(err)
		}
		if !in {
			return lines, false
		}
	}
	for _, r := range rules {
		what := regexp.MustCompile(r.what)
		for i, line := range lines {
			lines[i] = what.ReplaceAllString(line, r.with)
			used = used || lines[i] != line
		}
	}
	return slices.DeleteFunc(lines, func(line string) bool { return line == "" }), used
}

// compare reports lines that only one record has, once the explained differences are taken away.
func compare(t *testing.T, scenario string, records [2][]string, used map[string]bool) {
	for _, line := range slices.Concat(records[0], records[1]) {
		// Two runtimes, or a test, that hang alike are not alike.
		if strings.Contains(line, "DeadlineExceeded") || strings.Contains(line, ": no end") {
			t.Errorf("hangs: %s", line)
		}
	}
	for _, d := range differences {
		if world.selfTest {
			if d.sometimes {
				records[0], _ = d.apply(scenario, d.stock, records[0])
				records[1], _ = d.apply(scenario, d.stock, records[1])
			}
			continue
		}
		var stock, ours bool
		records[0], stock = d.apply(scenario, d.stock, records[0])
		records[1], ours = d.apply(scenario, d.ours, records[1])
		used[d.name] = used[d.name] || stock || ours
	}
	unexplained := 0
	var text strings.Builder
	for _, line := range diff(records[0], records[1]) {
		mark := " "
		if line.side >= 0 {
			unexplained++
			mark = [2]string{"-", "+"}[line.side]
		}
		text.WriteString(mark + " " + line.text + "\n")
	}
	if unexplained > 0 {
		t.Errorf("%d differences without an explanation (- %s, + %s):\n%s", unexplained, world.sides[0].name,
			world.sides[1].name, text.String())
	}
}

// diffLine is a line of both (-1), of the first (0) or of the second (1).
type diffLine struct {
	side int
	text string
}

// diff is the shortest way from a to b, by the longest common subsequence.
func diff(a, b []string) []diffLine {
	length := make([][]int, len(a)+1)
	for i := range length {
		length[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				length[i][j] = length[i+1][j+1] + 1
			} else {
				length[i][j] = max(length[i+1][j], length[i][j+1])
			}
		}
	}
	var lines []diffLine
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			lines = append(lines, diffLine{-1, a[i]})
			i, j = i+1, j+1
		case j == len(b) || i < len(a) && length[i+1][j] >= length[i][j+1]:
			lines = append(lines, diffLine{0, a[i]})
			i++
		default:
			lines = append(lines, diffLine{1, b[j]})
			j++
		}
	}
	return lines
}
