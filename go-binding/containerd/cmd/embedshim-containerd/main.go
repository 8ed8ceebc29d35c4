// SPDX-License-Identifier: Apache-2.0

// Command embedshim-containerd is containerd with the runtime io.containerd.runtime.v1.embed in it.
package main

import (
	"fmt"
	"os"

	_ "github.com/containerd/containerd/v2/cmd/containerd/builtins"
	"github.com/containerd/containerd/v2/cmd/containerd/command"
	embed "github.com/embedshim/embedshim/go-binding/containerd"
)

func main() {
	err := embed.Install()
	if err == nil {
		err = command.App().Run(os.Args)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "containerd: %s\n", err)
		os.Exit(1)
	}
}
