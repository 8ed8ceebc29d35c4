# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Where the plugin cannot run: it is skipped or refused with its reason, the stock runtime serves, and what runs
# is not declared dead.

degraded() {
	stop_daemon TERM
	degraded_case "a kernel without BPF" skip "Function not implemented" "$bin/without-bpf"
	degraded_case "a bpf_dir that is none" error "not a directory on a bpffs" "" \
		"[plugins.\"$embed\"]" "bpf_dir = \"$scratch/cni\""
	degraded_case "an unknown key" error "no_such_key" "" "[plugins.\"$embed\"]" "no_such_key = 1"
	degraded_case "a disabled plugin" - "the plugin is disabled" "" "disabled_plugins = [\"$embed\"]"
	degraded_required
	degraded_live
	configure
	start_daemon
}

# degraded_case NAME STATUS REASON LAUNCHER [LINE...]: what containerd with these lines, and started by this
# program, says of the plugin; that our runtime is refused for that reason, and that the stock one works.
degraded_case() {
	local name=$1 status=$2 reason=$3 shown
	local with=$4
	shift 4

	configure "$@"
	# shellcheck disable=SC2086 # no argument if it is empty
	start_daemon $with
	handler=embed
	shown=$(ctr plugins ls | awk '$1 == "io.containerd.runtime.v1" && $2 == "embed" { print $4 }')
	[ "${shown:--}" = "$status" ] || wrong "$name: the plugin is shown as '$shown'"
	if try_pod refused; then
		wrong "$name: a pod was started"
	fi
	echo "$name: $(said | grep -o 'runtime io.*' | head -n 1)"
	grep -qF "$reason" "$scratch/err" || wrong "$name: the reason is not told: $(said)"
	handler=runc
	pod stock
	expect "$name: stock runtime" "Error 4" "$(exited "stock" "$(run_container stock '{}' sh -c 'exit 4')")"
	remove_pod
	stop_daemon TERM
}

# With required_plugins there is no daemon at all.
degraded_required() {
	local code=0

	configure "required_plugins = [\"$embed\"]"
	timeout 60 "$bin/without-bpf" "$daemon" --config "$scratch/config.toml" </dev/null >"$scratch/required.log" 2>&1 || code=$?
	[ $code = 1 ] || wrong "required: the daemon's exit code is $code"
	grep -q "load required plugin $embed: .*Function not implemented" "$scratch/required.log" ||
		wrong "required: the reason is not told: $(tail -n 3 "$scratch/required.log")"
	echo "required: $(grep -o "load required plugin.*" "$scratch/required.log" | tail -n 1)"
}

# A container that runs is known to nobody for a while, and is there again afterwards.
degraded_live() {
	local id pid

	handler=embed
	configure
	start_daemon
	pod live
	id=$(run_container live '{}' sleep 1000)
	pid=$(crictl inspect "$id" | jq .info.pid)
	stop_daemon KILL
	configure "[plugins.\"$embed\"]" "no_such_key = 1"
	start_daemon
	expect "not available, its container" CONTAINER_UNKNOWN "$(status "$id" .state)"
	! crictl stop --timeout 1 "$id" >/dev/null 2>"$scratch/err" || wrong "not available: it was stopped"
	! has_ended "$pid" || wrong "not available: its process is gone"
	stop_daemon TERM
	configure
	start_daemon
	expect "available again, its container" CONTAINER_RUNNING "$(status "$id" .state)"
	expect "available again, exec" hello "$(crictl exec --sync "$id" echo hello)"
	crictl stop --timeout 1 "$id" >/dev/null
	expect "available again, stop" "Error 137" "$(exited "available again" "$id")"
	remove_pod
	stop_daemon TERM
}
