// SPDX-License-Identifier: Apache-2.0

package embedshim_test

import (
	"context"
	"fmt"
	"log"

	embedshim "github.com/embedshim/embedshim/go-binding"
)

// Run a container from an OCI bundle and print its exit code.
func Example() {
	m, err := embedshim.Open(embedshim.ManagerOptions{
		RootDir:  "/var/lib/demo",
		StateDir: "/run/demo",
	}, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	task, err := m.Create("default", "hello", embedshim.TaskOptions{BundleDir: "/srv/bundle"})
	if err != nil {
		log.Fatal(err)
	}
	defer task.Close()
	if err := task.Start(); err != nil {
		log.Fatal(err)
	}
	exit, err := task.Wait(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("exit code", exit.Code)
	if _, err := task.Delete(); err != nil {
		log.Fatal(err)
	}
}
