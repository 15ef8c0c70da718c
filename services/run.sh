#!/usr/bin/env bash
# Real Kafka, Cassandra, Redis and Prometheus as plain processes on 127.0.0.1, without a container engine: jars from Maven
# Central, the rest from the distribution. A person types ./dev services.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
run=${FANFARE_SERVICES_DIR:-$here/../target/services}
cache=${FANFARE_SERVICES_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/fanfare-services}
mkdir -p "$run" "$cache"
run=$(cd "$run" && pwd)
cache=$(cd "$cache" && pwd)
host=127.0.0.1
# The longest that one start may take, in seconds; Cassandra needs 10 to 30 on two busy cores.
ready_wait_max=${FANFARE_SERVICES_WAIT:-180}
services=(kafka cassandra redis prometheus)

# shellcheck source-path=SCRIPTDIR
for part in common process java "${services[@]}"; do
    # shellcheck source=/dev/null
    source "$here/$part.sh"
done

help() {
    cat <<'TEXT'
./dev services up [SERVICE...]      installs what is missing, starts them and waits until each answers
./dev services down [SERVICE...]    stops them; their data stays
./dev services status [SERVICE...]  state and address of each; exit 0 if all of them answer
./dev services env                  the addresses as shell exports:  eval "$(./dev services env)"
./dev services wipe [SERVICE...]    stops them and deletes their data
./dev services kafka TOOL ...       Kafka's command line: topics, produce, consume, groups, offsets, perf
./dev services cql 'SELECT ...'     one query to Cassandra (columns of scalar types)

SERVICE: kafka cassandra redis prometheus; all of them when none is named. Each command may be repeated.
Environment:
  FANFARE_SERVICES_DIR        data, logs and pids (target/services): another folder is another set of processes
  FANFARE_SERVICES_CACHE      what was downloaded (~/.cache/fanfare-services)
  FANFARE_SERVICES_PORT_BASE  the first of the ports; unless set the usual ones (9092, 9042, 6379, 9090). A port that is
                              taken is passed over for the next free one: `status` says which it became
  FANFARE_SERVICES_WAIT       seconds that a start may take (180)
TEXT
}

# The ports a service would like: those it had, else counted from the base, else the usual ones.
wanted_ports() {
    local service=$1 earlier next=${FANFARE_SERVICES_PORT_BASE:-}
    if [[ -z $next && -s $run/$service/ports ]]; then
        cat "$run/$service/ports"
        return
    fi
    local -n usual=${service}_ports
    if [[ -z $next ]]; then
        echo "${usual[*]}"
        return
    fi
    for earlier in "${services[@]}"; do
        [[ $earlier != "$service" ]] || break
        local -n others=${earlier}_ports
        next=$((next + ${#others[@]}))
    done
    seq -s ' ' "$next" $((next + ${#usual[@]} - 1))
}

start() {
    local service=$1 ports
    mkdir -p "$run/$service"
    ! pid_of "$service" >/dev/null || return 0
    read -ra ports < <(wanted_ports "$service")
    pick_ports "$service" "${ports[@]}"
    # The log of the run before stays one run longer.
    [[ ! -f $run/$service/log ]] || mv -f "$run/$service/log" "$run/$service/log.old"
    "${service}_start"
}

answers() { port_answers "$(port "$1")" && "$1_ready" >/dev/null 2>&1; }

# Until each answers in its own protocol. Our process must live, too: else a stranger's may be what answers.
wait_for() {
    local waiting=("$@") later service deadline=$((SECONDS + ready_wait_max))
    while [[ ${#waiting[@]} -gt 0 ]]; do
        later=()
        for service in "${waiting[@]}"; do
            if ! pid_of "$service" >/dev/null; then
                tail -n 25 "$run/$service/log" >&2
                die "$service ended while it started; the end of $run/$service/log stands above"
            fi
            if answers "$service"; then
                status_line "$service" >&2
            else
                later+=("$service")
            fi
        done
        waiting=("${later[@]+"${later[@]}"}")
        [[ ${#waiting[@]} -gt 0 ]] || break
        if ((SECONDS >= deadline)); then
            tail -n 25 "$run/${waiting[0]}/log" >&2
            die "no answer within $ready_wait_max s from: ${waiting[*]}; see $run/*/log"
        fi
        sleep 0.1
    done
}

status_line() {
    local service=$1 pid state=down
    if pid=$(pid_of "$service"); then
        state=starting
        ! answers "$service" || state=ready
        printf '%-10s  %-8s  %s  pid %s, %s MB, %s\n' "$service" $state "$host:$(port "$service")" "$pid" \
            "$(memory_mb "$pid")" "$run/$service/log"
    else
        printf '%-10s  %s\n' "$service" $state
    fi
    [[ $state == ready ]]
}

# The addresses of those that answer, in the names that the tests read.
environment() {
    local service name
    for service in "${services[@]}"; do
        if pid_of "$service" >/dev/null && answers "$service"; then
            name=${service^^}
            echo "export FANFARE_TEST_${name/CASSANDRA/CQL}=$host:$(port "$service")"
        fi
    done
}

install() {
    command -v python3 >/dev/null || install_packages python3-minimal
    local service
    for service in "$@"; do "${service}_install"; done
}

up() {
    # Two checkouts take turns, so that they neither fetch the same jars nor pick the same ports.
    exec 8>"$cache/lock"
    flock 8
    install "$@"
    # They start side by side, then each is waited for.
    local service
    for service in "$@"; do start "$service"; done
    wait_for "$@"
    environment
}

down() {
    local service
    for service in "$@"; do stop "$service" & done
    wait
}

wipe() {
    down "$@"
    local service
    for service in "$@"; do rm -rf "${run:?}/$service"; done
}

status() {
    local service code=0
    for service in "$@"; do status_line "$service" || code=1; done
    return $code
}

# Two commands on the same folder take turns.
lock_run() {
    exec 9>"$run/lock"
    flock 9
}

command=${1:-help}
[[ $# -eq 0 ]] || shift
case $command in
up | down | wipe | status)
    [[ $# -gt 0 ]] || set -- "${services[@]}"
    for service in "$@"; do
        [[ " ${services[*]} " == *" $service "* ]] || die "no such service: $service (there are: ${services[*]})"
    done
    [[ $command == status ]] || lock_run
    "$command" "$@"
    ;;
env) environment ;;
kafka)
    kafka_install
    kafka_tool "$@"
    ;;
cql)
    pid_of cassandra >/dev/null || die "cassandra is not running: ./dev services up cassandra"
    exec python3 "$here/probe.py" cql "$host" "$(port cassandra)" "$@"
    ;;
help | -h | --help) help ;;
*)
    help >&2
    die "unknown command: services $command"
    ;;
esac
