# shellcheck shell=bash
# shellcheck disable=SC2154 # $run and $host are set by who sources this
# Prometheus, from Debian's package. Sourced by services/run.sh.

# shellcheck disable=SC2034 # read in services/run.sh, by its name
prometheus_ports=(9090)

prometheus_install() {
    local packages=()
    command -v prometheus >/dev/null || packages+=(prometheus)
    command -v curl >/dev/null || packages+=(curl)
    [[ ${#packages[@]} -eq 0 ]] || install_packages "${packages[@]}"
}

prometheus_start() {
    local dir=$run/prometheus
    mkdir -p "$dir/targets"
    cat >"$dir/prometheus.yml" <<TEXT
global:
  scrape_interval: 2s
  evaluation_interval: 2s
scrape_configs:
  - job_name: fanfare
    static_configs: [{ targets: ["$host:8080"] }]
  # A file such as [{"targets": ["127.0.0.1:8081"], "labels": {"job": "fanfare"}}] in this folder adds targets at once.
  - job_name: files
    file_sd_configs: [{ files: ["$dir/targets/*.json"], refresh_interval: 2s }]
TEXT
    spawn prometheus prometheus --config.file="$dir/prometheus.yml" --storage.tsdb.path="$dir/data" \
        --storage.tsdb.retention.time=1d --web.listen-address="$host:$(port prometheus)" --web.enable-lifecycle
}

prometheus_ready() { curl -fsS -m 3 "http://$host:$(port prometheus)/-/ready"; }
