# shellcheck shell=bash
# What ./dev and the services share: speaking, and packages of the system. Sourced, never run.

say() { printf '%s\n' "dev: $*" >&2; }

die() {
    say "$*"
    exit 1
}

# Runs apt-get as root if that needs no password, else ends and names the command to type.
install_packages() {
    local command="apt-get install -y --no-install-recommends $*"
    if ! command -v apt-get >/dev/null; then
        die "missing: $* (Debian's names). Install them with the package manager of this system and start again."
    fi
    local as_root=()
    if [[ $(id -u) -ne 0 ]]; then
        if ! sudo -n true 2>/dev/null; then
            die "missing: $*. Type:  sudo apt-get update && sudo $command"
        fi
        as_root=(sudo -n)
    fi
    say "installing $* with apt-get"
    "${as_root[@]}" apt-get update -qq || say "apt-get update failed; trying with the lists that are there"
    # Debian starts a daemon as soon as its package is installed, on the default port. A policy that answers 101 forbids it.
    local policy=/usr/sbin/policy-rc.d guarded=false output failed=false
    if [[ ! -e $policy ]]; then
        printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee $policy >/dev/null
        "${as_root[@]}" chmod 755 $policy
        guarded=true
    fi
    output=$("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" 2>&1) ||
        failed=true
    [[ $guarded == false ]] || "${as_root[@]}" rm -f $policy
    [[ $failed == true ]] || return 0
    tail -n 20 <<<"$output" >&2
    die "apt-get could not install $*; its reason stands above"
}
