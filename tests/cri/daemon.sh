# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# A containerd on directories of its own: configuration, start, kill, and what is left of it.

# shellcheck source=tests/support/containerd.sh
. "$here/../support/containerd.sh"

socket=$scratch/containerd.sock

# handler NAME TYPE PATH [OPTIONS]: one runtime of CRI's configuration.
handler() {
	local section="plugins.\"io.containerd.cri.v1.runtime\".containerd.runtimes.$1"

	printf '[%s]\n  runtime_type = "%s"\n  runtime_path = "%s"\n' "$section" "$2" "$3"
	[ -z "${4-}" ] || printf '  [%s.options]\n    %s\n' "$section" "$4"
}

# handlers: every way to name a runtime. The names are what the tests give as --runtime.
handlers() {
	local stock=io.containerd.runc.v2

	handler runc $stock "" "BinaryName = \"\""
	handler runc-systemd $stock "" "SystemdCgroup = true"
	handler embed $embed ""
	handler embed-options $embed "" "SystemdCgroup = false"
	handler embed-path $stock $embed "BinaryName = \"\""
	handler embed-systemd $embed "" "SystemdCgroup = true"
	handler embed-path-systemd $stock $embed "SystemdCgroup = true"
}

# can CAPABILITY_NUMBER: whether root has it on this machine.
can() {
	local effective
	effective=0x$(sed -n 's/^CapEff:\s*//p' /proc/self/status)
	((effective >> $1 & 1))
}

# configure [LINE...]: write the configuration; the lines come first, that is, at the top level.
configure() {
	local restrict=false

	# A pod's first process has a lower OOM score than its parent: CAP_SYS_RESOURCE.
	can 24 || restrict=true
	mkdir -p "$scratch/cni"
	jq -n --arg data "$scratch/ipam" '{cniVersion: "1.0.0", name: "embedshim", plugins: [{type: "ptp",
		ipam: {type: "host-local", dataDir: $data, ranges: [[{subnet: "10.89.0.0/16"}]],
		routes: [{dst: "0.0.0.0/0"}]}},
		{type: "portmap", capabilities: {portMappings: true}}]}' >"$scratch/cni/10-embedshim.conflist"
	{
		containerd_settings "$scratch" "$@"
		cat <<-END
			[plugins."io.containerd.shim.v1.manager"]
			  socket_dir = "$scratch/s"
			[plugins."io.containerd.internal.v1.opt"]
			  path = "$scratch/opt"
			[plugins."io.containerd.cri.v1.images".pinned_images]
			  sandbox = "$pause_image"
			[plugins."io.containerd.cri.v1.runtime"]
			  restrict_oom_score_adj = $restrict
			  netns_mounts_under_state_dir = true
			  enable_experimental_restore_via_create = true
			[plugins."io.containerd.cri.v1.runtime".cni]
			  bin_dirs = ["/usr/lib/cni"]
			  conf_dir = "$scratch/cni"
		END
		handlers
	} >"$scratch/config.toml"
}

ctr() {
	command ctr --address "$socket" --namespace k8s.io "$@"
}

crictl() {
	command crictl --config "$scratch/crictl.yaml" "$@"
}

# daemon_pid: of the daemon that runs, if one does.
daemon_pid() {
	cat "$scratch/pid" 2>/dev/null || true
}

# launch [PROGRAM]: start the daemon, with a program that runs it if one is given.
launch() {
	"$@" "$daemon" --config "$scratch/config.toml" </dev/null >>"$log" 2>&1 &
	echo $! >"$scratch/pid"
	disown
}

# start_daemon [PROGRAM]: until it serves pods.
start_daemon() {
	[ -e "$scratch/crictl.yaml" ] ||
		printf 'runtime-endpoint: unix://%s\nimage-endpoint: unix://%s\ntimeout: 60\n' \
			"$socket" "$socket" >"$scratch/crictl.yaml"
	launch "$@"
	until_true 60 ready || die "containerd does not serve: $(tail -n 20 "$log")"
}

ready() {
	has_ended "$(daemon_pid)" && die "containerd ended: $(tail -n 20 "$log")"
	crictl info 2>/dev/null | jq -e '[.status.conditions[] | select(.type == "RuntimeReady" or
		.type == "NetworkReady") | .status] | all' >/dev/null
}

# has_ended PID: it is gone, or a zombie.
has_ended() {
	! grep -qs '^State:\s*[^ZX]' "/proc/$1/status"
}

# stop_daemon SIGNAL
stop_daemon() {
	local pid
	pid=$(daemon_pid)
	[ -n "$pid" ] || return 0
	kill "-$1" "$pid" 2>/dev/null || true
	until_true 60 has_ended "$pid" || die "containerd does not end: $(tail -n 20 "$log")"
	rm "$scratch/pid"
}

# remove_pods: what kubelet would do, as far as it can be done.
remove_pods() {
	local pods
	pods=$(timeout 60 "$bin/crictl" --config "$scratch/crictl.yaml" pods -q 2>/dev/null) || return 0
	# shellcheck disable=SC2086 # one argument for each
	[ -z "$pods" ] || timeout 120 "$bin/crictl" --config "$scratch/crictl.yaml" rmp -f $pods >/dev/null 2>&1 || true
}

# processes: everything that runs from the scratch directory or in the pods' cgroup, one pid a line.
processes() {
	local directory
	for directory in /proc/[0-9]*; do
		if grep -qsF "/$cgroup" "$directory/cgroup" ||
			tr '\0' ' ' 2>/dev/null <"$directory/cmdline" | grep -qF "$scratch/"; then
			echo "${directory#/proc/}"
		fi
	done | grep -vxE "$$|$BASHPID" || true
}

# leftovers: what must not be there when all pods are removed. Prints it, a line each. The stock runtime's shim of
# a pod that ended while containerd was not there stays, also with the stock daemon; clean ends it.
leftovers() {
	local pid
	for pid in $(processes); do
		[ "$pid" = "$(daemon_pid)" ] || ! [ -e "/proc/$pid" ] || grep -qs containerd-shim "/proc/$pid/cmdline" ||
			echo "process $pid: $(tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline")"
	done
	mounts_below "$scratch" | sed 's/^/mount /'
	ip -o link | awk -F': ' '$2 != "lo" { print "link " $2 }'
	find "$scratch"/state/io.containerd.runtime.*/k8s.io -mindepth 1 -maxdepth 1 -printf 'bundle %p\n' 2>/dev/null || true
	find /sys/fs/cgroup -mindepth 2 -type d -path "*/$cgroup*/*" -printf 'cgroup %p\n' 2>/dev/null || true
}

nothing_left() {
	[ -z "$(leftovers)" ]
}

# clean: end and remove everything that is ours, whatever happened.
clean() {
	local pid mount

	[ -z "$(daemon_pid)" ] || remove_pods
	(stop_daemon TERM) || true
	for pid in $(processes); do
		kill -KILL "$pid" 2>/dev/null || true
	done
	until_true 10 no_processes || true
	mounts_below "$scratch" | while read -r mount; do umount -l "$mount" || true; done
	find /sys/fs/cgroup -depth -type d -path "*/$cgroup*" -exec rmdir {} + 2>/dev/null || true
	rm -rf "$scratch"
}

no_processes() {
	[ -z "$(processes)" ]
}
