# shellcheck shell=bash
# shellcheck disable=SC2154 # $run, $host, $cache and $java are set by who sources this
# Cassandra, the database with CQL that runs without a container; ScyllaDB's own limits where the two differ. Sourced by
# services/run.sh.

cassandra_version=5.0.9
# shellcheck disable=SC2034 # read in services/run.sh, by its name
cassandra_ports=(9042 7000 7199) # clients, other nodes, JMX
cassandra_heap="-Xms512m -Xmx1g"

cassandra_install() {
    need_java
    fetch_jars cassandra $cassandra_version "org.apache.cassandra:cassandra-all:$cassandra_version"
}

cassandra_start() {
    local dir=$run/cassandra lib=$cache/cassandra-$cassandra_version/lib agent
    # Without a folder for triggers there is one warning more.
    mkdir -p "$dir/conf/triggers"
    cassandra_yaml >"$dir/conf/cassandra.yaml"
    cassandra_logging >"$dir/conf/logback.xml"
    cassandra_jvm_options >"$dir/conf/jvm.options"
    agent=$(echo "$lib"/jamm-*.jar)
    # The ring delay (30 s), the settling of gossip (8 s) and the wait for the superuser (10 s) are for other nodes; a node
    # that is alone has none to wait for.
    # shellcheck disable=SC2086 # the heap is two words
    spawn cassandra "$java" @"$dir/conf/jvm.options" $cassandra_heap -javaagent:"$agent" \
        -Dcassandra.config="file://$dir/conf/cassandra.yaml" -Dlogback.configurationFile="file://$dir/conf/logback.xml" \
        -Dcassandra.storagedir="$dir" -Dcassandra.logdir="$dir" -Dcassandra.triggers_dir="$dir/conf/triggers" \
        -Dcassandra-foreground=yes -Dcassandra.jmx.local.port="$(port cassandra 3)" \
        -Dcassandra.ring_delay_ms=0 -Dcassandra.skip_wait_for_gossip_to_settle=0 \
        -Dcassandra.superuser_setup_delay_ms=0 \
        -cp "$dir/conf:$lib/*" org.apache.cassandra.service.CassandraDaemon
}

cassandra_ready() { python3 "$here/probe.py" cql "$host" "$(port cassandra)"; }

cassandra_yaml() {
    local dir=$run/cassandra
    cat <<TEXT
cluster_name: fanfare-local
num_tokens: 1
initial_token: 0
auto_bootstrap: false
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
# Data center "datacenter1" and rack "rack1", as ScyllaDB has them unless told otherwise.
endpoint_snitch: SimpleSnitch
dynamic_snitch: false
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters: [{ seeds: "$host:$(port cassandra 2)" }]
listen_address: $host
storage_port: $(port cassandra 2)
rpc_address: $host
start_native_transport: true
native_transport_port: $(port cassandra)
authenticator: AllowAllAuthenticator
authorizer: AllowAllAuthorizer
data_file_directories: [$dir/data]
commitlog_directory: $dir/commitlog
saved_caches_directory: $dir/saved_caches
hints_directory: $dir/hints
cdc_raw_directory: $dir/cdc_raw
commitlog_sync: periodic
commitlog_sync_period: 10s
commitlog_segment_size: 16MiB
commitlog_total_space: 256MiB
# A cluster of this version only: no files for 4.x.
storage_compatibility_mode: NONE
# Else each DROP and TRUNCATE keeps a copy on the disk.
auto_snapshot: false
# A read that meets tombstones is a mistake in the schema or in a query: ten are told in the log, for which ./dev test
# fails, and a hundred fail the read. (Cassandra's own: 1,000 and 100,000.)
tombstone_warn_threshold: 10
tombstone_failure_threshold: 100
# ScyllaDB's. Cassandra's own, 5 KiB and 50 KiB, refuse batches that ScyllaDB takes.
batch_size_warn_threshold: 128KiB
batch_size_fail_threshold: 1024KiB
# A small machine.
concurrent_reads: 16
concurrent_writes: 16
concurrent_counter_writes: 8
concurrent_compactors: 1
memtable_heap_space: 128MiB
memtable_offheap_space: 64MiB
file_cache_size: 64MiB
networking_cache_size: 16MiB
key_cache_size: 8MiB
counter_cache_size: 2MiB
# Two busy cores must not look like a database that is gone.
read_request_timeout: 10s
range_request_timeout: 15s
write_request_timeout: 10s
counter_write_request_timeout: 10s
cas_contention_timeout: 5s
truncate_request_timeout: 60s
request_timeout: 15s
TEXT
}

cassandra_logging() {
    cat <<'TEXT'
<configuration scan="false">
  <appender name="OUT" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%-5level [%thread] %date{ISO8601} %F:%L - %msg%n</pattern></encoder>
  </appender>
  <root level="INFO"><appender-ref ref="OUT"/></root>
</configuration>
TEXT
}

# What Cassandra's own conf/jvm17-server.options opens to it.
cassandra_jvm_options() {
    cat <<'TEXT'
-XX:+UseG1GC
-XX:+ParallelRefProcEnabled
-XX:MaxGCPauseMillis=300
-XX:+ExitOnOutOfMemoryError
-XX:+PerfDisableSharedMem
-Xss256k
-Djava.net.preferIPv4Stack=true
-Djdk.attach.allowAttachSelf=true
--add-exports java.base/jdk.internal.misc=ALL-UNNAMED
--add-exports java.base/java.lang.ref=ALL-UNNAMED
--add-exports java.management.rmi/com.sun.jmx.remote.internal.rmi=ALL-UNNAMED
--add-exports java.rmi/sun.rmi.registry=ALL-UNNAMED
--add-exports java.rmi/sun.rmi.server=ALL-UNNAMED
--add-exports java.sql/java.sql=ALL-UNNAMED
--add-exports jdk.unsupported/sun.misc=ALL-UNNAMED
--add-opens java.base/java.io=ALL-UNNAMED
--add-opens java.base/java.lang=ALL-UNNAMED
--add-opens java.base/java.lang.module=ALL-UNNAMED
--add-opens java.base/java.lang.reflect=ALL-UNNAMED
--add-opens java.base/java.nio=ALL-UNNAMED
--add-opens java.base/java.util=ALL-UNNAMED
--add-opens java.base/java.util.concurrent=ALL-UNNAMED
--add-opens java.base/java.util.concurrent.atomic=ALL-UNNAMED
--add-opens java.base/jdk.internal.loader=ALL-UNNAMED
--add-opens java.base/jdk.internal.math=ALL-UNNAMED
--add-opens java.base/jdk.internal.module=ALL-UNNAMED
--add-opens java.base/jdk.internal.ref=ALL-UNNAMED
--add-opens java.base/jdk.internal.reflect=ALL-UNNAMED
--add-opens java.base/jdk.internal.util.jar=ALL-UNNAMED
--add-opens java.base/sun.nio.ch=ALL-UNNAMED
--add-opens jdk.management/com.sun.management.internal=ALL-UNNAMED
-Dio.netty.tryReflectionSetAccessible=true
-Dio.netty.allocator.useCacheForAllThreads=true
-Dio.netty.allocator.maxOrder=11
TEXT
    # These two modules are in a JDK and not in a JRE; Java warns where one is absent.
    local modules
    modules=$("$java" --list-modules 2>/dev/null)
    if [[ $modules == *jdk.compiler@* ]]; then
        echo '--add-exports jdk.compiler/com.sun.tools.javac.file=ALL-UNNAMED'
        echo '--add-opens jdk.compiler/com.sun.tools.javac=ALL-UNNAMED'
    fi
    if [[ $modules == *jdk.attach@* ]]; then
        echo '--add-exports jdk.attach/sun.tools.attach=ALL-UNNAMED'
    fi
}
