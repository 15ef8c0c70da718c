# shellcheck shell=bash
# shellcheck disable=SC2154 # $run, $host and $cache are set in services/run.sh, which sources this
# Processes and ports of the services. Sourced by services/run.sh.

# When a process was started, in the kernel's ticks: field 22 of its stat, counted behind the name, which may hold blanks.
started_at() { sed 's/^.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }

# The pid of a service, if our process still lives. The start time stands beside the pid, so that a stranger who got
# the same pid later is never taken for it.
pid_of() {
    local file=$run/$1/pid pid started
    [[ -s $file ]] || return 1
    read -r pid started <"$file" || true
    [[ -n $pid && -n ${started:-} && $(started_at "$pid") == "$started" ]] || return 1
    [[ $(sed 's/^.*) //' "/proc/$pid/stat" 2>/dev/null) != Z* ]] || return 1
    echo "$pid"
}

# spawn SERVICE COMMAND...: starts it in a session of its own, where neither a hang-up nor Ctrl-C reaches it, and writes
# `PID START`. 8 and 9 are the locks: a daemon that inherited them would hold them for ever.
spawn() {
    local service=$1 dir=$run/$1 try
    shift
    rm -f "$dir/pid"
    (
        cd "$dir" || exit
        ulimit -n "$(ulimit -Hn)" 2>/dev/null || true
        # shellcheck disable=SC2016 # the inner shell expands it
        setsid nohup bash -c 'echo "$$ $(sed "s/^.*) //" /proc/$$/stat | cut -d" " -f20)" >pid.new && mv pid.new pid; exec "$@"' \
            "$service" "$@" </dev/null >>"$dir/log" 2>&1 8>&- 9>&- &
    )
    for ((try = 0; try < 100; try++)); do
        [[ ! -s $dir/pid ]] || return 0
        sleep 0.02
    done
    die "$service: no process came up; see $dir/log"
}

stop() {
    local service=$1 pid try
    if pid=$(pid_of "$service"); then
        kill -TERM "$pid" 2>/dev/null || true
        for ((try = 0; try < 300; try++)); do
            pid_of "$service" >/dev/null || break
            sleep 0.1
        done
        if pid_of "$service" >/dev/null; then
            say "$service does not end within 30 s of SIGTERM: SIGKILL to $pid"
            kill -KILL "$pid" 2>/dev/null || true
        fi
        say "$service stopped"
    fi
    rm -f "$run/$service/pid"
}

port_answers() { (exec 3<>"/dev/tcp/$host/$1") 2>/dev/null; }

# Ports that this run has given away and that nobody listens on yet.
given_ports=()

# pick_ports SERVICE WANTED...: writes the ports for a service into its file: each as wanted if it is free, else the next
# one that is. Another checkout, or a Kafka of the user's own, may have the usual ones.
pick_ports() {
    local service=$1 port picked=()
    shift
    for port in "$@"; do
        while [[ " ${given_ports[*]-} " == *" $port "* ]] || port_answers "$port"; do
            port=$((port + 1))
        done
        given_ports+=("$port")
        picked+=("$port")
    done
    echo "${picked[*]}" >"$run/$service/ports"
}

# port SERVICE [NUMBER]: the ports of a service as they were picked; the first is the one for its clients.
port() { cut -d' ' -f"${2:-1}" "$run/$1/ports"; }

memory_mb() { awk '/^VmRSS/ { printf "%d", $2 / 1024 }' "/proc/$1/status" 2>/dev/null; }
