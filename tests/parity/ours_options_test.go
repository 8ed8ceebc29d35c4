// SPDX-License-Identifier: Apache-2.0

package parity

import (
	"fmt"
	"os"
	"strings"

	eventsapi "github.com/containerd/containerd/api/events"
	runtimeoptions "github.com/containerd/containerd/api/types/runtimeoptions/v1"
)

// ownOptionScenarios are options in the form in which CRI gives them: the stock shim takes none of these.
var ownOptionScenarios = []scenario{
	{"config-body", func(s *side) {
		s.runtimeConfig(func(text string) any { return &runtimeoptions.Options{ConfigBody: []byte(text)} })
	}},
	{"config-path", func(s *side) {
		s.runtimeConfig(func(text string) any {
			if err := os.WriteFile(s.path("config.toml"), []byte(text), 0o644); err != nil {
				s.Fatal(err)
			}
			return &runtimeoptions.Options{ConfigPath: s.path("config.toml")}
		})
	}},
	{"config-wrong", func(s *side) {
		for i, wrong := range []struct {
			options any
			pattern string
		}{
			{&runtimeoptions.Options{ConfigBody: []byte("NoSuchKey = 1\n")}, "InvalidArgument: .*NoSuchKey.*"},
			{&runtimeoptions.Options{ConfigBody: []byte("BinaryName = 1\n")}, "InvalidArgument: .*BinaryName.*"},
			{&runtimeoptions.Options{ConfigBody: []byte("not TOML")}, "InvalidArgument: .*"},
			{&runtimeoptions.Options{ConfigPath: "/no/such/file"}, "InvalidArgument: .*/no/such/file.*"},
			{&eventsapi.TaskOOM{ContainerID: "x"}, "InvalidArgument: .*TaskOOM.*"},
		} {
			c := s.container(want{suffix: fmt.Sprint("-", i), options: wrong.options})
			c.create(streams{})
			s.saw("create .*: " + wrong.pattern)
		}
	}},
}

// runtimeConfig runs a container with options that are written as TOML.
func (s *side) runtimeConfig(options func(text string) any) {
	named := &container{process: process{s: s}, runtimeLog: s.path("named-runtime.log")}
	text := fmt.Sprintf("BinaryName = %q\nRoot = %q\nNoNewKeyring = true\nSystemdCgroup = false\n",
		s.recordedRuntime(named, ""), s.runcRoot())
	c := s.container(want{options: options(text)})
	c.run(streams{})
	c.end()
	called, err := os.ReadFile(named.runtimeLog)
	if err != nil || !strings.Contains(string(called), "create") || !strings.Contains(string(called), "--no-new-keyring") {
		s.Errorf("the runtime was called: %s %v", called, err)
	}
}
