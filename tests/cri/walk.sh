# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# The life of pods: the same walk for every handler.

walk() {
	walk_pod
	walk_exits
	walk_streams
	walk_oom
	walk_namespaces
	walk_failures
}

# Two containers in a pod: started, looked at, executed in, updated, stopped, removed.
walk_pod() {
	local a b events=$scratch/events

	"$bin/crictl" --config "$scratch/crictl.yaml" events >"$events" 2>/dev/null &
	local events_pid=$!
	pod two
	expect "pod state" SANDBOX_READY "$(crictl inspectp "$pod" | jq -r .status.state)"
	same "pod handler" "$handler" "$(crictl inspectp "$pod" | jq -r .status.runtimeHandler)"
	# shellcheck disable=SC2016 # the container's shell
	a=$(run_container a '{}' sh -c 'trap "exit 3" TERM; echo out; echo err >&2; while :; do sleep 0.1; done')
	b=$(run_container b '{}' httpd -f -p 80 -h /etc)
	wait_log "$a" err
	expect "states" "CONTAINER_RUNNING CONTAINER_RUNNING" "$(status "$a" .state) $(status "$b" .state)"
	expect "listed" 2 "$(crictl ps -q --pod "$pod" | wc -l)"
	expect "logs" "out" "$(crictl logs "$a" 2>/dev/null)"
	expect "logs, error stream" "err" "$(crictl logs "$a" 2>&1 >/dev/null)"
	walk_exec "$a"
	walk_port_forward "$b"
	walk_stats "$a" "$b"
	walk_update "$a"
	walk_reopen_log "$a"
	walk_stop "$a" "$b"
	remove_pod
	kill "$events_pid" 2>/dev/null || true
	wait "$events_pid" 2>/dev/null || true
	walk_events "$events" "$a" "$b"
}

walk_exec() {
	local code=0

	expect "exec, one call" "hello" "$(crictl exec --sync "$1" echo hello)"
	crictl exec --sync "$1" sh -c 'exit 5' >/dev/null 2>"$scratch/err" || code=$?
	fact "exec, one call, fails" "$code $(said)"
	grep -q "exited with 5" "$scratch/err" || wrong "exec: code $code, $(said)"
	code=0
	crictl exec --sync --timeout 1 "$1" sleep 1000 >/dev/null 2>"$scratch/err" || code=$?
	grep -q "DeadlineExceeded" "$scratch/err" || wrong "exec with a time limit: code $code, $(said)"
	until_true 30 no_process "$1" "sleep 1000" || wrong "exec with a time limit: its process is left"
	code=0
	crictl exec --sync "$1" /no/such/program >/dev/null 2>"$scratch/err" || code=$?
	fact "exec, no such program" "$code $(said)"
	expect "exec, streams" "typed" "$(echo typed | crictl exec -i "$1" cat)"
	code=0
	crictl exec "$1" sh -c 'echo to stdout; echo to stderr >&2; exit 7' >"$scratch/out" 2>"$scratch/err" || code=$?
	fact "exec, streams, fails" "$code $(cat "$scratch/out") $(said)"
	grep -q "exit code 7" "$scratch/err" || wrong "exec: code $code, $(said)"
	expect "exec, terminal" "/dev/pts/0" "$(in_terminal exec -it "$1" tty)"
	expect "exec, size of the terminal" "33 77" "$(in_terminal exec -it "$1" sh -c 'sleep 0.5; stty size')"
}

# no_process ID ARGUMENTS: nothing in the container's cgroup has them.
no_process() {
	! crictl exec --sync "$1" ps -o args | grep -qxF "$2"
}

# in_terminal CRICTL_ARGUMENT...: what a person would see, without carriage returns. script makes the
# terminal, and a keyboard at which nothing is typed.
in_terminal() {
	local command
	command=$(printf ' %q' "$bin/crictl" --config "$scratch/crictl.yaml" "$@")
	[ -p "$scratch/keyboard" ] || mkfifo "$scratch/keyboard"
	script -qec "stty rows 33 cols 77; exec$command" /dev/null <>"$scratch/keyboard" | tr -d '\r'
}

# listens CONTAINER: whether something in its network takes connections to port 80.
listens() { crictl exec "$1" sh -c 'cat /proc/net/tcp /proc/net/tcp6' | grep -q ':0050 0*:0000 0A'; }

walk_port_forward() {
	local code=0
	until_true 30 listens "$1" || die "httpd does not listen"
	rm -f "$scratch/forward" # what an earlier one has said
	"$bin/crictl" --config "$scratch/crictl.yaml" port-forward "$pod" 18080:80 >"$scratch/forward" 2>&1 &
	until_true 30 grep -qs "Forwarding from 127.0.0.1" "$scratch/forward" || code=1
	[ $code = 0 ] && busybox wget -q -O "$scratch/passwd" http://127.0.0.1:18080/passwd || code=1
	kill $! 2>/dev/null || true
	wait $! 2>/dev/null || true
	[ $code = 0 ] || die "port-forward: $(cat "$scratch/forward")"
	expect "port-forward" "root:x:0:0:root:/root:/bin/sh" "$(head -n 1 "$scratch/passwd")"
}

# The values differ each time; that they are there does not.
walk_stats() {
	local shown

	shown=$(crictl stats -o json "$1" | jq -c '.stats[0] | [.attributes.metadata.name,
		((.cpu.usageCoreNanoSeconds.value | tonumber) > 0), ((.memory.workingSetBytes.value | tonumber) > 0)]')
	expect "stats" '["a",true,true]' "$shown"
	fact "stats, fields" "$(crictl stats -o json "$1" | jq -c '.stats[0] | [paths(scalars) |
		map(tostring) | join(".")] | sort')"
	expect "stats of the pod's containers" 2 "$(crictl stats -o json --pod "$pod" | jq '.stats | length')"
	shown=$(crictl statsp -o json "$pod" | jq -c '.stats[0] | [.attributes.metadata.name,
		((.linux.memory.workingSetBytes.value | tonumber) > 0), (.linux.containers | length)]')
	expect "stats of the pod" '["two",true,2]' "$shown"
	fact "stats of the pod, fields" "$(crictl statsp -o json "$pod" | jq -c '.stats[0].linux | keys')"
}

walk_update() {
	crictl update --memory 67108864 --cpu-share 512 "$1" >/dev/null
	expect "update" "67108864 512" \
		"$(status "$1" '.resources.linux | "\(.memoryLimitInBytes) \(.cpuShares)"')"
	fact "update, cgroup" "$(cgroup_file memory memory.limit_in_bytes "$1") $(cgroup_file cpu cpu.shares "$1")"
}

# What kubelet does to turn the log over.
walk_reopen_log() {
	local path
	path=$(status "$1" .logPath)
	mv "$path" "$path.old"
	crictl logs --reopen "$1" >/dev/null 2>&1 || die "the log is not reopened"
	[ -e "$path" ] || die "the log is not reopened"
	crictl exec --sync "$1" sh -c 'echo later >/proc/1/fd/1' >/dev/null
	wait_log "$1" later
}

walk_stop() {
	local code=0

	crictl rm "$1" >/dev/null 2>"$scratch/err" || code=$?
	fact "rm of a running container" "$code $(said)"
	[ $code != 0 ] || die "a running container was removed"
	crictl stop --timeout 30 "$1" >/dev/null
	expect "stop, ends on TERM" "Error 3" "$(exited "stop, TERM" "$1")"
	fact "stats, stopped" "$(crictl stats -o json "$1" 2>&1 | jq -c '[.stats[]? | keys]' 2>&1)"
	expect "exec in a stopped container" refused "$(crictl exec --sync "$1" true >/dev/null 2>&1 || echo refused)"
	# The first process of a pid namespace does not get a TERM it has no handler for.
	crictl stop --timeout 1 "$2" >/dev/null
	expect "stop, has to be killed" "Error 137" "$(exited "stop, KILL" "$2")"
	crictl stop "$2" >/dev/null || die "a second stop is an error"
	crictl rm "$1" >/dev/null
	expect "left of two" "$2" "$(crictl ps -a -q --pod "$pod")"
}

# walk_events FILE ID...: what kubelet's evented mode lives on.
walk_events() {
	local id file=$1
	shift
	for id in "$@"; do
		expect "events" "CONTAINER_CREATED_EVENT CONTAINER_STARTED_EVENT CONTAINER_STOPPED_EVENT CONTAINER_DELETED_EVENT" \
			"$(jq -rs --arg id "$id" '[.[] | select(.containerId == $id) | .containerEventType] | join(" ")' \
				"$file" 2>&1)"
	done
}

walk_exits() {
	local id times

	pod exits
	# The runtime tells when it ended; containerd takes the time of the start when it hears of it.
	id=$(run_container zero '{}' sleep 0.5)
	expect "exit 0" "Completed 0" "$(exited zero "$id")"
	times=$(for time in createdAt startedAt finishedAt; do nanoseconds "$id" $time; done)
	[ "$times" = "$(sort -n <<<"$times")" ] || wrong "created, started, finished at $times"
	expect "exit 42" "Error 42" "$(exited code "$(run_container code '{}' sh -c 'exit 42')")"
	# shellcheck disable=SC2016 # the container's shell
	expect "killed inside" "Error 134" "$(exited signal "$(run_container signal '{}' \
		sh -c 'sh -c "kill -ABRT \$\$"; exit $?')")"
	id=$(run_container killed '{}' sleep 1000)
	kill -KILL "$(crictl inspect "$id" | jq .info.pid)"
	expect "killed from outside" "Error 137" "$(exited killed "$id")"
	remove_pod
}

walk_streams() {
	local id

	pod streams
	# shellcheck disable=SC2016 # the container's shell
	id=$(run_container stdin '{"stdin": true, "stdin_once": true}' sh -c 'read line; echo "read $line"; exit 4')
	expect "attach" "read typed" "$(echo typed | crictl attach -i "$id" 2>&1)"
	expect "attach, exit" "Error 4" "$(exited attach "$id")"
	# shellcheck disable=SC2016 # the container's shell
	id=$(run_container tty '{"stdin": true, "tty": true}' sh -c 'tty; read line; echo "read $line"; exit 6')
	wait_log "$id" /dev/pts/0
	{ sleep 1 && echo typed >"$scratch/keyboard"; } &
	fact "attach, terminal" "$(in_terminal attach -it "$id")"
	expect "attach, terminal, exit" "Error 6" "$(exited tty "$id")"
	fact "attach, terminal, log" "$(log_of "$id" | tr -d '\r' | tr '\n' ' ')"
	# Every line has to arrive, and the last one has no end.
	id=$(run_container lines '{}' sh -c 'seq 20000; printf end')
	expect "long output, exit" "Completed 0" "$(exited lines "$id")"
	expect "long output" "20001 end" "$(log_of "$id" | wc -l) $(log_of "$id" | tail -n 1 | cut -d' ' -f3)"
	remove_pod
}

# Killed for memory, the container itself and only a child of it.
walk_oom() {
	local id limit='{"linux": {"resources": {"memory_limit_in_bytes": 33554432}}}'

	pod oom
	id=$(run_container oom "$limit" sh -c 'exec tail /dev/zero')
	expect "killed for memory" "OOMKilled 137" "$(exited oom "$id")"
	# shellcheck disable=SC2016 # the container's shell
	id=$(run_container child "$limit" sh -c 'tail /dev/zero; echo "child $?"; sleep 1; exit 9')
	expect "child killed for memory" "OOMKilled 9" "$(exited "oom of a child" "$id")"
	expect "child killed for memory, its status" "stdout F child 137" "$(log_of "$id" | grep stdout)"
	# The limit of the container is the sum of its execs too.
	id=$(run_container exec "$limit" sh -c 'while [ ! -e /end ]; do sleep 0.1; done; exit 8')
	crictl exec --sync "$id" sh -c 'tail /dev/zero' >/dev/null 2>&1 || true
	crictl exec --sync "$id" touch /end >/dev/null
	fact "exec killed for memory" "$(exited "oom of an exec" "$id")"
	remove_pod
}

walk_namespaces() {
	local id child

	# shareProcessNamespace: what the first process leaves behind has to be killed for it.
	pod shared '{"linux": {"security_context": {"namespace_options": {"pid": 0}}}}'
	id=$(run_container shared '{"linux": {"security_context": {"namespace_options": {"pid": 0}}}}' \
		sh -c 'sleep 1001 & exit 11')
	expect "pod's pid namespace" "Error 11" "$(exited shared "$id")"
	child=$(pgrep -fx 'sleep 1001' || true)
	expect "its background process" "" "$child"
	remove_pod

	# The pod ends when its first process does.
	pod sandbox
	id=$(run_container inside '{}' sleep 1000)
	kill -KILL "$(crictl inspectp "$pod" | jq .info.pid)"
	until_true 30 pod_not_ready || die "the pod is ready without its first process"
	expect "container of the pod" CONTAINER_RUNNING "$(status "$id" .state)"
	remove_pod

	pod host '{"hostname": "", "linux": {"security_context": {"namespace_options": {"network": 2, "pid": 2, "ipc": 2}}}}'
	id=$(run_container host '{"linux": {"security_context": {"namespace_options": {"pid": 2}}}}' \
		sh -c 'test $$ != 1; exit 12')
	expect "host's pid namespace" "Error 12" "$(exited host "$id")"
	remove_pod
}

pod_not_ready() {
	[ "$(crictl inspectp "$pod" | jq -r .status.state)" = SANDBOX_NOTREADY ]
}

walk_failures() {
	local id code=0

	pod failures
	id=$(create missing '{}' /no/such/program)
	crictl start "$id" >/dev/null 2>"$scratch/err" || code=$?
	[ $code != 0 ] || die "a missing program was started"
	fact "start, no such program, error" "$(said)"
	expect "start, no such program" "StartError 128" "$(exited "start, no such program, status" "$id")"
	id=$(create never '{}' sleep 1000)
	expect "created" CONTAINER_CREATED "$(status "$id" .state)"
	# It complains of the log that a container which never ran does not have.
	crictl rm "$id" >/dev/null 2>&1
	remove_pod
}
