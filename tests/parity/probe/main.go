// SPDX-License-Identifier: Apache-2.0

// Command probe runs in the containers of the parity tests and does what busybox cannot.
package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

func init() {
	// The leader of the thread group runs main.
	runtime.LockOSThread()
}

func main() {
	if len(os.Args) < 2 {
		fail("no command")
	}
	switch os.Args[1] {
	case "leader-exits-first":
		go func() {
			time.Sleep(300 * time.Millisecond)
			os.Exit(5)
		}()
		time.Sleep(50 * time.Millisecond)
		syscall.RawSyscall(syscall.SYS_EXIT, 3, 0, 0)
	case "use-memory":
		useMemory(argument(2))
	case "spew":
		spew(argument(2))
	default:
		fail("unknown command " + os.Args[1])
	}
}

func fail(text string) {
	fmt.Fprintln(os.Stderr, "probe:", text)
	os.Exit(99)
}

func argument(n int) int {
	if len(os.Args) <= n {
		fail("argument missing")
	}
	v, err := strconv.Atoi(os.Args[n])
	if err != nil {
		fail(err.Error())
	}
	return v
}

// useMemory touches so many MiB and ends with 0 if it gets them.
func useMemory(mib int) {
	for range mib {
		page, err := syscall.Mmap(-1, 0, 1<<20, syscall.PROT_READ|syscall.PROT_WRITE,
			syscall.MAP_PRIVATE|syscall.MAP_ANON|syscall.MAP_POPULATE)
		if err != nil {
			fail(err.Error())
		}
		page[0] = 1
	}
}

// spew writes so many lines of 64 bytes with their number.
func spew(lines int) {
	for i := range lines {
		if _, err := fmt.Printf("%063d\n", i); err != nil {
			fail(err.Error())
		}
	}
}
