// SPDX-License-Identifier: Apache-2.0

package embedshim

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// notWrapped are exported symbols that the binding does without, and why.
var notWrapped = map[string]string{
	"es_manager_fd":        "used by the exit reader, of no use to a Go program",
	"es_monitor_open":      "the exit monitor alone is for programs without containers, which are in C so far",
	"es_monitor_close":     "see es_monitor_open",
	"es_monitor_exit":      "see es_monitor_open",
	"es_monitor_fd":        "see es_monitor_open",
	"es_monitor_forget":    "see es_monitor_open",
	"es_monitor_next_exit": "see es_monitor_open",
	"es_monitor_resume":    "see es_monitor_open",
	"es_monitor_warning":   "see es_monitor_open",
	"es_monitor_watch":     "see es_monitor_open",
}

func TestEverySymbolIsWrappedOrHasAReason(t *testing.T) {
	script, err := os.ReadFile("../lib/embedshim.map")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	call := regexp.MustCompile(`\b(?:C\.)?(es_[a-z_]+)\(`)
	for _, file := range files {
		if matched, _ := filepath.Match("*_test.go", file); matched {
			continue
		}
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range call.FindAllStringSubmatch(string(source), -1) {
			used[m[1]] = true
		}
	}
	exported := 0
	for _, m := range regexp.MustCompile(`(?m)^\t(es_[a-z_]+);`).FindAllStringSubmatch(string(script), -1) {
		exported++
		_, excused := notWrapped[m[1]]
		if !used[m[1]] && !excused {
			t.Errorf("%s is neither wrapped nor listed", m[1])
		}
		if used[m[1]] && excused && m[1] != "es_manager_fd" {
			t.Errorf("%s is wrapped and listed", m[1])
		}
	}
	if exported < 40 {
		t.Errorf("only %d symbols found in the version script", exported)
	}
}
