# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# containerd killed with pods running, and started again.

# better NAME WANTED GOT: as expect, but only ours is held to it; the stock runtime is known to be wrong.
better() {
	[ "$handler" = runc ] || same "$@"
}

restart() {
	local shared=$scratch/shared-$handler mount before running created meanwhile tty end from to pid

	mkdir -p "$shared"
	mount=$(jq -nc --arg path "$shared" '{mounts: [{host_path: $path, container_path: "/shared"}]}')
	pod restart
	before=$(run_container before '{}' sh -c 'exit 5')
	exited before "$before" >/dev/null
	end=$(status "$before" .finishedAt)
	running=$(run_container running "$mount" sh -c 'trap "exit 3" TERM; while :; do
		[ ! -e /shared/say ] || { echo said; rm /shared/say; }; sleep 0.1; done')
	meanwhile=$(run_container meanwhile "$mount" sh -c 'while [ ! -e /shared/go ]; do sleep 0.1; done; exit 7')
	# shellcheck disable=SC2016 # the container's shell
	tty=$(run_container tty '{"stdin": true, "tty": true}' sh -c 'read line; echo "read $line"; exit 6')
	created=$(create created '{}' sh -c 'exit 9')
	pid=$(crictl inspect "$meanwhile" | jq .info.pid)

	stop_daemon KILL
	from=$(date +%s%N)
	touch "$shared/go" "$shared/say"
	until_true 30 has_ended "$pid" || die "its process does not end without containerd"
	until_true 30 test ! -e "$shared/say" || die "it cannot write without containerd"
	to=$(date +%s%N)
	start_daemon

	expect "restart, ended before" "Error 5" "$(exited "restart, before" "$before")"
	same "restart, ended before, when" "$end" "$(status "$before" .finishedAt)"
	until_true 30 in_state "$meanwhile" EXITED || wrong "restart, ended meanwhile: $(status "$meanwhile" .state)"
	better "restart, ended meanwhile" "Error 7" "$(status "$meanwhile" '"\(.reason) \(.exitCode)"')"
	end=$(nanoseconds "$meanwhile" finishedAt)
	better "restart, ended meanwhile, when" true "$([ "$end" -ge "$from" ] && [ "$end" -le "$to" ] && echo true ||
		echo "$end, not within $from and $to")"
	expect "restart, running" "CONTAINER_RUNNING CONTAINER_RUNNING" "$(status "$running" .state) $(status "$tty" .state)"
	expect "restart, created" CONTAINER_CREATED "$(status "$created" .state)"
	expect "restart, pod" SANDBOX_READY "$(crictl inspectp "$pod" | jq -r .status.state)"
	restart_use "$running" "$created" "$tty"
	remove_pod
	restart_without_pause
}

# restart_use RUNNING CREATED TTY: what is left can be used as before.
restart_use() {
	wait_log "$1" said
	expect "restart, exec" hello "$(crictl exec --sync "$1" echo hello)"
	expect "restart, stats" true "$(crictl stats -o json "$1" | jq '(.stats[0].memory.workingSetBytes.value | tonumber) > 0')"
	crictl start "$2" >/dev/null || wrong "restart, the created container does not start"
	expect "restart, created and started" "Error 9" "$(exited "restart, created" "$2")"
	{ sleep 1 && echo typed >"$scratch/keyboard"; } &
	fact "restart, terminal" "$(in_terminal attach -it "$3")"
	expect "restart, terminal, exit" "Error 6" "$(exited "restart, tty" "$3")"
	crictl stop --timeout 30 "$1" >/dev/null
	expect "restart, stop" "Error 3" "$(exited "restart, stopped" "$1")"
}

# A pod whose first process and whose container end while nobody is there.
restart_without_pause() {
	local id

	pod gone
	id=$(run_container gone '{}' sleep 1000)
	stop_daemon KILL
	kill -KILL "$(pid_in "$id")" "$(pid_in "$pod")"
	start_daemon
	until_true 30 pod_not_ready || wrong "the pod is ready without its first process"
	until_true 30 in_state "$id" EXITED || wrong "restart, killed meanwhile: $(status "$id" .state)"
	better "restart, killed meanwhile" "Error 137" "$(status "$id" '"\(.reason) \(.exitCode)"')"
	remove_pod
}

# pid_in ID: the first process of the container's cgroup, without asking containerd.
pid_in() {
	cat /sys/fs/cgroup/{pids,unified,.}/"$cgroup/$1/cgroup.procs" 2>/dev/null | sort -n | head -n 1
}
