# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Another kernel in an emulated machine, with a test as all that runs there. Sourced.
#
#   machine_new VERSION CACHE         a kernel that fetch-kernel knows, and a directory that keeps kernels; exit code
#                                     77 without an emulator or that kernel
#   machine_add PROGRAM DIR [NAME]    put a program there, with the shared libraries that it needs
#   machine_run MEMORY SECONDS        boot, run /test, print the console; whether /test has ended with 0 in time
#
# $machine_root is its root file system, $machine_console what it has said. Works without /dev/kvm: the machine is
# then 10 to 30 times slower than this one. What it uses is removed at exit.

machine_new() {
	local tool tmp
	machine_version=$1
	for tool in qemu-system-x86_64 cpio busybox; do
		command -v $tool >/dev/null || { echo "SKIPPED: $tool is not installed"; exit 77; }
	done
	mkdir -p "$2"
	machine_kernel=$("$(dirname "${BASH_SOURCE[0]}")/fetch-kernel" "$1" "$2") ||
		{ echo "SKIPPED: the package archive has no kernel $1 for us"; exit 77; }
	tmp=$(mktemp -d)
	# shellcheck disable=SC2064 # its name is known now
	trap "rm -rf '$tmp'" EXIT
	machine_root=$tmp/root machine_console=$tmp/console
	mkdir -p "$machine_root"/{bin,dev,etc,proc,root,run,sys,tmp}
	mknod "$machine_root/dev/console" c 5 1
	machine_add "$(command -v busybox)" bin
	cp "$(dirname "${BASH_SOURCE[0]}")/init" "$machine_root/init"
}

machine_add() {
	local library
	mkdir -p "$machine_root/$2"
	cp -L "$1" "$machine_root/$2/${3-}"
	{ ldd "$1" 2>/dev/null || true; } | awk '$2 == "=>" { print $3 } $1 ~ "^/" { print $1 }' | while read -r library; do
		[ -e "$machine_root$library" ] || install -D "$library" "$machine_root$library"
	done
}

machine_run() {
	(cd "$machine_root" && find . | cpio --quiet -o -H newc) >"$machine_root.initramfs"
	# With QEMU 7.2, a 6.12 kernel died in random places: with "-cpu max" in every run, garbage in its flags
	# register, which this processor without cmpxchg16b (cx16) has not; with a thread for each processor in some
	# runs, where it changes its own code (int3), which one thread for both does not let it see.
	timeout "$2" qemu-system-x86_64 -accel tcg,thread=single -cpu Haswell-noTSX,cx16=off -smp 2 -m "$1" \
		-nodefaults -display none -no-reboot -serial stdio \
		-kernel "$machine_kernel" -initrd "$machine_root.initramfs" \
		-append "console=ttyS0 quiet panic=-1 mitigations=off random.trust_cpu=1" \
		</dev/null 2>&1 | tr -d '\r' | tee "$machine_console"
	# Two signs, both needed: the kernel asked for, and the exit status of the test.
	grep -q "^VM-KERNEL $machine_version\." "$machine_console" ||
		{ echo "machine: it was not kernel $machine_version"; return 1; }
	grep -q '^VM-RESULT 0$' "$machine_console" ||
		{ echo "machine: the test ended with $(sed -n 's/^VM-RESULT //p' "$machine_console" | grep . || echo nothing)"; return 1; }
}
