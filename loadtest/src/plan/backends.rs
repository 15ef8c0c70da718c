//! What nodes share: partitions of Kafka, statements and disk of the CQL database, questions of Redis; or the disk of a node alone.

use anyhow::{Result, bail};

use super::answer::{Figure, Section, Source, Unit};
use super::capacity::{Nodes, Witness};
use super::demand::Demand;
use super::file::{Kafka, Plan, Redis, Store};
use super::first::Resource;
use super::runs::Run;

/// Kafka keeps a fifth of its disks free: a partition that moves needs room.
const KAFKA_FILL: f64 = 0.8;

/// Topics of notifications: one for each priority.
const PRIORITIES: f64 = 4.0;

/// What there is of machines beside the nodes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Machines {
    pub(crate) store: Option<f64>,
}

/// What they are asked about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) witness: &'a Witness,
    pub(crate) demand: &'a Demand,
    pub(crate) nodes: &'a Nodes,
}

/// An error if neither the plan nor the runs say what one notification needs of them.
pub(crate) fn sections(asked: Asked<'_>) -> Result<(Vec<Section>, Vec<Resource>, Machines)> {
    let plan = asked.plan;
    let kept = kept(asked)?;
    let (Some(of_kafka), Some(of_store), Some(of_redis)) = (&plan.kafka, &plan.store, &plan.redis) else {
        let (section, resource) = alone(plan, kept);
        return Ok((vec![section], vec![resource], Machines::default()));
    };
    let (kafka, mut resources) = kafka(asked, of_kafka)?;
    let (store, scarce_of_store, machines) = store(asked, of_store, kept)?;
    let (redis, scarce_of_redis) = redis(asked, of_redis)?;
    resources.extend(scarce_of_store.into_iter().chain(scarce_of_redis));
    Ok((vec![kafka, store, redis], resources, Machines { store: Some(machines) }))
}

/// What is kept in the end, by kind: one copy.
#[derive(Debug)]
struct Kept {
    lines: Vec<(String, Figure)>,
    bytes: f64,
}

fn kept(asked: Asked<'_>) -> Result<Kept> {
    let Asked { plan, witness, demand, .. } = asked;
    let mut lines = Vec::new();
    for (kind, kept) in &plan.retention {
        let (bytes, of) = match (kept.bytes, &witness.laws) {
            (Some(bytes), _) => (bytes, Source::Assumed(format!("plan file, `retention.{kind}.bytes`"))),
            (None, Some(laws)) if laws.stored.each > 0.0 => {
                (laws.stored.each, Source::Fitted(format!("what the data directory grew by; {}", laws.runs)))
            }
            _ => bail!(
                "there is nothing to take the size of what is kept from: state `retention.{kind}.bytes`, or give runs that stored something"
            ),
        };
        let total = bytes * kept.each * demand.a_day * kept.days;
        let why = format!(
            "{} ({of}) × {} a notification × {} days",
            Unit::Bytes.text(bytes),
            Unit::None.text(kept.each),
            Unit::None.text(kept.days)
        );
        lines.push((kind.clone(), Figure::computed(total, why)));
    }
    let bytes = lines.iter().map(|(_, figure)| figure.value).sum();
    Ok(Kept { lines, bytes })
}

fn alone(plan: &Plan, kept: Kept) -> (Section, Resource) {
    let mut section = Section::new("The disk of the node");
    for (kind, figure) in kept.lines {
        section.line(format!("{kind} kept"), Unit::Bytes, figure);
    }
    let room = plan.node.disk_gb * 1e9 * plan.node.utilisation;
    let why = format!("its disk × {} (assumed: plan file)", Unit::Share.text(plan.node.utilisation));
    section.warn_if(kept.bytes > room, "room for it", Unit::Bytes, Figure::computed(room, why));
    (section, Resource::new("the disk of the node", Unit::Bytes, kept.bytes, room, "what is kept, by its retention"))
}

fn kafka(asked: Asked<'_>, said: &Kafka) -> Result<(Section, Vec<Resource>)> {
    let Asked { witness, demand, nodes, .. } = asked;
    let mut section = Section::new("Kafka");
    let carried = |run: &&Run| run.rate / run.partitions;
    let most = witness.runs.iter().filter(|run| run.partitions > 0.0).max_by(|a, b| carried(a).total_cmp(&carried(b)));
    let each = match (said.partition_rate, most) {
        (Some(rate), _) => Figure::assumed(rate, "plan file, `kafka.partition_rate`"),
        (None, Some(run)) => {
            Figure::measured(carried(&run), format!("the most that a run had in each: at least this; {}", run.label))
        }
        (None, None) => bail!(
            "there is nothing to take the rate of a partition from: state `kafka.partition_rate`, or give a run with `--measured`"
        ),
    };
    section.line("a partition carries", Unit::PerSecond, each.clone());
    let busiest = demand.peak * said.largest_priority;
    let needed = (busiest / each.value).ceil().max(1.0);
    let why = format!("{} of the busiest priority over what one carries", Unit::PerSecond.text(busiest));
    section.line("partitions of each priority, now", Unit::Count, Figure::computed(needed, why));
    let count = nodes.count.map_or(1.0, f64::from);
    let advised = (2.0 * needed).max(2.0 * count).max(8.0);
    let advised = 2f64.powf(advised.log2().ceil());
    section.line(
        "to be created",
        Unit::Count,
        Figure::computed(advised, "twice that and two for each node, 8 at least, to the next power of two: the number cannot be lowered, and raising it moves keys"),
    );
    section.line(
        "of all four priorities, with copies",
        Unit::Count,
        Figure::computed(
            advised * PRIORITIES * f64::from(said.replication),
            format!("× 4 × {} copies (assumed: plan file)", said.replication),
        ),
    );
    let copies = f64::from(said.replication);
    let flow = demand.peak * said.records_each * said.record_bytes;
    section.line(
        "in at the peak",
        Unit::BytesPerSecond,
        Figure::computed(
            flow,
            format!(
                "{} records of {} (assumed: plan file) for each notification",
                Unit::None.text(said.records_each),
                Unit::Bytes.text(said.record_bytes)
            ),
        ),
    );
    let disk = demand.average * said.records_each * said.record_bytes * said.retention_hours * 3600.0 * copies
        / f64::from(said.brokers);
    let room = said.disk_gb * 1e9 * KAFKA_FILL;
    let why = format!(
        "{} hours × {} copies over {} brokers (assumed: plan file)",
        Unit::None.text(said.retention_hours),
        said.replication,
        said.brokers
    );
    section.warn_if(disk > room, "disk of each broker", Unit::Bytes, Figure::computed(disk, why));
    let resources = vec![
        Resource::rate("Kafka partitions", busiest, advised * each.value, "those to be created × what one carries"),
        Resource::new("Kafka disk", Unit::Bytes, disk, room, "of each broker, four fifths of it"),
    ];
    Ok((section, resources))
}

/// Operations of a port for a notification, by the runs on distributed backends; none where there was no such run.
fn measured_operations(witness: &Witness, is_of: fn(&str) -> bool) -> Option<Figure> {
    let laws = witness.laws.as_ref()?;
    if !witness.runs.iter().all(|run| run.is_distributed) {
        return None;
    }
    let laws_of: Vec<_> = laws.operations.iter().filter(|(name, _)| is_of(name)).collect();
    let each: f64 = laws_of.iter().map(|(_, law)| law.each).sum();
    let why = format!("{} operations of the engine's metrics; {}", laws_of.len(), laws.runs);
    (each > 0.0).then(|| Figure::fitted(each, None, why))
}

fn is_of_redis(name: &str) -> bool {
    ["redis", "coordination"].iter().any(|word| name.contains(word))
}

fn is_of_store(name: &str) -> bool {
    name.contains("store") || name.contains("cql")
}

fn store(asked: Asked<'_>, said: &Store, kept: Kept) -> Result<(Section, Vec<Resource>, f64)> {
    let Asked { plan, witness, demand, .. } = asked;
    let mut section = Section::new("The CQL database (ScyllaDB or Cassandra)");
    let copies = f64::from(said.replication);
    let quorum = (copies / 2.0).floor() + 1.0;
    let (writes, reads) = match (said.writes_each, said.reads_each, measured_operations(witness, is_of_store)) {
        (Some(writes), reads, _) => (
            Figure::assumed(writes, "plan file, `store.writes_each`"),
            Figure::assumed(reads.unwrap_or(0.0), "plan file, `store.reads_each`"),
        ),
        (None, reads, Some(all)) => {
            (all, Figure::assumed(reads.unwrap_or(0.0), "in the writes, which the metrics do not tell apart"))
        }
        _ => bail!(
            "there is nothing to take the statements for a notification from: state `store.writes_each` and `store.reads_each`, or give runs on distributed backends"
        ),
    };
    let rate = |each: &Figure| each.value * demand.peak;
    section.line("writes for a notification", Unit::None, writes.clone());
    section.line("reads for a notification", Unit::None, reads.clone());
    section.line("writes at the peak", Unit::PerSecond, Figure::computed(rate(&writes), "× the peak"));
    section.line("reads at the peak", Unit::PerSecond, Figure::computed(rate(&reads), "× the peak"));
    let operations = rate(&writes) * copies + rate(&reads) * quorum;
    section.line(
        "on all its nodes together",
        Unit::PerSecond,
        Figure::computed(operations, format!("writes × {copies} copies, reads × {quorum} of them")),
    );
    for (kind, figure) in kept.lines {
        section.line(format!("{kind} kept, one copy"), Unit::Bytes, figure);
    }
    let disk = kept.bytes * copies;
    section.line(
        "disk after retention",
        Unit::Bytes,
        Figure::computed(disk, format!("× {copies} copies (assumed: plan file, `store.replication`)")),
    );
    let room = said.disk_gb * 1e9 * said.disk_fill;
    let (by_operations, by_disk) = ((operations / said.node_operations).ceil(), (disk / room).ceil());
    let gone = f64::from(plan.failures.nodes);
    let count = by_operations.max(by_disk).max(1.0) + gone;
    let count = count.max(copies);
    let why = format!(
        "{by_operations} by statements ({} each), {by_disk} by disk ({} each), and {gone} that may be gone; at least {copies} for the copies (assumed: plan file)",
        Unit::PerSecond.text(said.node_operations),
        Unit::Bytes.text(room)
    );
    section.line("nodes of it", Unit::Count, Figure::computed(count, why));
    let left = (count - gone).max(1.0);
    let resources = vec![
        Resource::rate(
            "CQL statements",
            operations,
            left * said.node_operations,
            format!("{left} nodes of it, {gone} gone"),
        ),
        // A node that is gone takes no data away: the others need not hold its copies until it is replaced.
        Resource::new("CQL disk", Unit::Bytes, disk, count * room, format!("{count} nodes of it")),
    ];
    Ok((section, resources, count))
}

fn redis(asked: Asked<'_>, said: &Redis) -> Result<(Section, Vec<Resource>)> {
    let Asked { witness, demand, .. } = asked;
    let mut section = Section::new("Redis");
    let each = match (said.operations_each, measured_operations(witness, is_of_redis)) {
        (Some(each), _) => Figure::assumed(each, "plan file, `redis.operations_each`"),
        (None, Some(each)) => each,
        (None, None) => bail!(
            "there is nothing to take the questions to Redis from: state `redis.operations_each`, or give runs on distributed backends"
        ),
    };
    let operations = each.value * demand.peak;
    section.line("questions for a notification", Unit::None, each);
    let (there, copies) = (f64::from(said.nodes) * said.node_operations, f64::from(said.nodes));
    section.warn_if(
        operations > there,
        "questions at the peak",
        Unit::PerSecond,
        Figure::computed(operations, format!("× the peak; {copies} nodes carry {}", Unit::PerSecond.text(there))),
    );
    let memory = demand.average * said.key_minutes * 60.0 * said.key_bytes;
    let room = f64::from(said.nodes) * said.memory_gb * 1e9;
    let why = format!(
        "a key of {} for {} minutes (assumed: plan file)",
        Unit::Bytes.text(said.key_bytes),
        Unit::None.text(said.key_minutes)
    );
    section.warn_if(memory > room, "memory", Unit::Bytes, Figure::computed(memory, why));
    let resources = vec![
        Resource::rate("Redis questions", operations, there, format!("{copies} nodes of it")),
        Resource::new("Redis memory", Unit::Bytes, memory, room, format!("{copies} nodes of it")),
    ];
    Ok((section, resources))
}
