# shellcheck shell=bash
# shellcheck disable=SC2154 # $run and $host are set by who sources this
# Redis, from Debian's package. Sourced by services/run.sh.

# shellcheck disable=SC2034 # read in services/run.sh, by its name
redis_ports=(6379)

redis_install() {
    if ! command -v redis-server >/dev/null || ! command -v redis-cli >/dev/null; then
        install_packages redis-server redis-tools
    fi
}

# Nothing is kept on the disk: what is in it may be forgotten. A full Redis must refuse and not throw away what is claimed.
redis_start() {
    spawn redis redis-server --bind "$host" --port "$(port redis)" --dir "$run/redis" --daemonize no \
        --save '' --appendonly no --maxmemory 128mb --maxmemory-policy noeviction
}

redis_ready() { [[ $(redis-cli -h "$host" -p "$(port redis)" ping 2>/dev/null) == PONG ]]; }
