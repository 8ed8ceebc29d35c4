// SPDX-License-Identifier: Apache-2.0

// Package parity compares io.containerd.runtime.v1.embed with containerd's own io.containerd.runc.v2: one
// list of scenarios runs on one daemon with both, all that a client or an administrator can see is written
// down, and the two records must be equal but for the differences in docs/differences.md.
//
// Start it with tests/parity/run.
package parity
