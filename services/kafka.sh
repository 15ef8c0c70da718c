# shellcheck shell=bash
# shellcheck disable=SC2154 # $run, $host, $cache and $java are set by who sources this
# Kafka: one process that is broker and controller (KRaft). Sourced by services/run.sh.

kafka_version=4.3.1
# The same as that of the log4j-core which this Kafka brings.
kafka_log4j_version=2.25.4
# shellcheck disable=SC2034 # read in services/run.sh, by its name
kafka_ports=(9092 9093) # clients, controller
kafka_heap="-Xms256m -Xmx512m"

kafka_install() {
    need_java
    # Kafka logs through slf4j 1.7 and brings no binding: without log4j-slf4j-impl it logs nothing at all. kafka-tools has
    # the command line.
    fetch_jars kafka $kafka_version "org.apache.kafka:kafka_2.13:$kafka_version" \
        "org.apache.kafka:kafka-tools:$kafka_version" "org.apache.logging.log4j:log4j-slf4j-impl:$kafka_log4j_version"
}

kafka_start() {
    local dir=$run/kafka
    kafka_properties >"$dir/server.properties"
    kafka_logging info SYSTEM_OUT >"$dir/log4j2.properties"
    [[ -s $dir/data/meta.properties ]] || kafka_format
    # shellcheck disable=SC2086 # the heap is two words
    spawn kafka "$java" $kafka_heap -XX:+UseG1GC -XX:MaxGCPauseMillis=20 -XX:+ExitOnOutOfMemoryError \
        -Djava.awt.headless=true -Djava.net.preferIPv4Stack=true \
        -Dlog4j2.configurationFile="$dir/log4j2.properties" -cp "$(kafka_jars)" kafka.Kafka "$dir/server.properties"
}

kafka_ready() { python3 "$here/probe.py" kafka "$host" "$(port kafka)"; }

kafka_jars() { echo "$cache/kafka-$kafka_version/lib/*"; }

# The options of a short command: it starts sooner with the first compiler only.
kafka_short=(-Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1)

# Gives the data directory its cluster id: 16 random bytes that do not begin with `-`.
kafka_format() {
    local dir=$run/kafka id=-
    while [[ $id == -* ]]; do
        id=$(head -c 16 /dev/urandom | base64 | tr '+/' '-_' | cut -c 1-22)
    done
    "$java" "${kafka_short[@]}" -Dlog4j2.configurationFile="$dir/log4j2.properties" -cp "$(kafka_jars)" \
        kafka.tools.StorageTool format -t "$id" -c "$dir/server.properties" --ignore-formatted >>"$dir/log" 2>&1 || {
        tail -n 20 "$dir/log" >&2
        die "kafka could not format its data directory; its reason stands above"
    }
}

kafka_properties() {
    cat <<TEXT
process.roles=broker,controller
node.id=1
# The list of voters and not the newer --standalone format: that keeps the controller's port in the data, and the ports
# could not be changed later.
controller.quorum.voters=1@$host:$(port kafka 2)
listeners=PLAINTEXT://$host:$(port kafka),CONTROLLER://$host:$(port kafka 2)
advertised.listeners=PLAINTEXT://$host:$(port kafka)
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs=$run/kafka/data
# One broker: each internal topic must be content with one replica. The default is 3, with which groups and transactions
# hang and do not say why.
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=8
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=8
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=8
# Groups are joined at once: tests wait for nobody else.
group.initial.rebalance.delay.ms=0
# The engine creates its topics itself, and a topic that came of a slip of the pen should be seen.
auto.create.topics.enable=false
log.segment.bytes=268435456
# After a SIGKILL the controller holds the dead broker's session and refuses the new one until it times out (9 s unless
# said). A controlled shutdown, the default, has no such wait.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
TEXT
}

# kafka_logging LEVEL TARGET: to one stream of the process.
kafka_logging() {
    cat <<TEXT
status = error
rootLogger.level = $1
rootLogger.appenderRef.out.ref = OUT
appender.out.type = Console
appender.out.name = OUT
appender.out.target = $2
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = [%d] %p %m (%c)%n
TEXT
}

# The command line of Kafka: kafka_tool topics --list
kafka_tool() {
    local tool=${1:-} package=org.apache.kafka.tools class dir=$run/kafka
    [[ $# -eq 0 ]] || shift
    case $tool in
    topics) class=$package.TopicCommand ;;
    produce) class=$package.ConsoleProducer ;;
    consume) class=$package.consumer.ConsoleConsumer ;;
    groups) class=$package.consumer.group.ConsumerGroupCommand ;;
    offsets) class=$package.GetOffsetShell ;;
    perf) class=$package.ProducerPerformance ;;
    *) die "kafka: no such tool: \`$tool\` (topics, produce, consume, groups, offsets, perf)" ;;
    esac
    pid_of kafka >/dev/null || die "kafka is not running: ./dev services up kafka"
    kafka_logging warn SYSTEM_ERR >"$dir/tools-log4j2.properties"
    exec "$java" "${kafka_short[@]}" -Dlog4j2.configurationFile="$dir/tools-log4j2.properties" -cp "$(kafka_jars)" \
        "$class" --bootstrap-server "$host:$(port kafka)" "$@"
}
