//! What storage costs a notification: the log's append and read, the row of its plan with a claim and a line of history, the
//! row of its event; and what the codec costs.
//!
//! `cargo bench --bench storage [-- NOTIFICATIONS [DIRECTORY]]`

use std::hint::black_box;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use fanfare::clock::ManualClock;
use fanfare::codec;
use fanfare::disk::{Disk, DiskSettings, MachineSpace};
use fanfare::domain::{
    Address, Channel, ClaimKey, Content, Decision, Disposition, Event, EventKind, NotificationRequest, Plan, PlanClaim,
    Position, Priority, Recipient, Routing, ShardId, Source, Step, TaskId, TaskSpec, Timestamp, Verdict,
};
use fanfare::log::{EmbeddedLog, Log, NewRecord, OwnershipChange, PartitionReader, ReadLimit};
use fanfare::store::{BookColumn, EmbeddedStore, TaskLog, WriteBatch};
use tokio::sync::Semaphore;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PARTITIONS: u16 = 8;
const APPEND: u64 = 500;
const WRITE: usize = 64;
/// Appends on their way at once.
const PRODUCERS: u64 = 4;
/// Writes of events on their way at once, of all partitions.
const EVENTS_IN_FLIGHT: usize = 16;
const NOW: Timestamp = Timestamp(1_800_000_000_000);

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let count: u64 = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(200_000) / APPEND * APPEND;
    let parent = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    measure_codec();
    let made = measure_making(count.min(200_000));
    let dir = tempfile::tempdir_in(parent).expect("a temporary directory");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let before = threads();
    let cpu_before = processor_time();
    let start = Instant::now();
    let settings = settings(dir.path().into());
    let open = runtime.block_on(pipeline(settings, count));
    let took = start.elapsed();
    let cpu = processor_time() - cpu_before;
    let each = |time: Duration| time.as_secs_f64() * 1e6 / count as f64;
    println!("\n{count} notifications in {:.2} s: {:.0}/s", took.as_secs_f64(), count as f64 / took.as_secs_f64());
    println!("processor time {:.2} µs each, of which {:.2} to make and decode them", each(cpu), made);
    println!("storage        {:.2} µs each", each(cpu) - made);
    for (name, time) in threads() {
        let earlier = before.iter().find(|(other, _)| *other == name).map_or(Duration::ZERO, |(_, time)| *time);
        println!("  {name:<16} {:.2} µs", each(time.saturating_sub(earlier)));
    }
    println!("resident {} MB, at most {} MB", status("VmRSS"), status("VmHWM"));
    drop(open);
    runtime.shutdown_timeout(Duration::from_secs(5));
    println!("on disk {} MB", size(dir.path()) >> 20);
}

fn settings(dir: PathBuf) -> DiskSettings {
    DiskSettings {
        dir,
        cache_bytes: 32 << 20,
        write_buffer_bytes: 64 << 20,
        group_commit_max: Duration::from_millis(2),
        min_free_bytes: 0,
        free_space: Arc::new(MachineSpace),
        clock: ManualClock::starting_at(NOW),
        kept: Default::default(),
    }
}

async fn pipeline(settings: DiskSettings, count: u64) -> (Arc<EmbeddedLog>, Arc<EmbeddedStore>) {
    let disk = Disk::open(settings).expect("the database opens");
    let log = EmbeddedLog::open(disk.clone(), PARTITIONS).expect("the log opens");
    let store = EmbeddedStore::open(disk).expect("the store opens");
    let mut membership = log.join().await.expect("joined");
    let events = Arc::new(Semaphore::new(EVENTS_IN_FLIGHT));
    let mut consumers = Vec::new();
    // The owner of a partition stops when it has seen all that was appended to it.
    for _ in 0..Priority::ALL.len() * usize::from(PARTITIONS) {
        if let Some(OwnershipChange::Assigned(reader)) = membership.next().await
            && reader.shard().lane == Priority::Normal
        {
            let expected =
                (0..count).filter(|index| key(*index) % u64::from(PARTITIONS) == u64::from(reader.shard().partition));
            let expected = expected.count() as u64;
            consumers.push(tokio::spawn(consume(reader, store.clone(), events.clone(), expected)));
        }
    }
    let producers = (0..PRODUCERS).map(|producer| {
        let log = log.clone();
        tokio::spawn(async move {
            for batch in (producer..count / APPEND).step_by(PRODUCERS as usize) {
                let records = (batch * APPEND..(batch + 1) * APPEND).map(|index| NewRecord {
                    lane: Priority::Normal,
                    key: key(index),
                    body: Bytes::from(codec::encode_request(&request(index))),
                });
                log.append(records.collect()).await.expect("appended");
            }
        })
    });
    for producer in producers.collect::<Vec<_>>() {
        producer.await.expect("produced");
    }
    for consumer in consumers {
        consumer.await.expect("consumed");
    }
    events.acquire_many(EVENTS_IN_FLIGHT as u32).await.expect("never closed").forget();
    (log, store)
}

async fn consume(
    mut reader: Box<dyn PartitionReader>,
    store: Arc<EmbeddedStore>,
    events: Arc<Semaphore>,
    expected: u64,
) {
    let shard = reader.shard();
    let mut next = 0;
    while next < expected {
        let records = reader.read(next, ReadLimit { records: WRITE, bytes: 1 << 20 }).await.expect("read");
        let mut batch = WriteBatch::default();
        for record in &records {
            batch.plans.push(Arc::new(plan(record.position, codec::decode_request(&record.body).expect("readable"))));
        }
        batch.books.add(Source::Http, BookColumn::In, records.len() as i64);
        let sent = batch.plans.iter().map(|plan| sent(plan.position)).collect();
        store.write(shard, batch).await.expect("written");
        next += records.len() as u64;
        reader.commit(next).await.expect("committed");
        let permit = events.clone().acquire_owned().await.expect("never closed");
        let store = store.clone();
        tokio::spawn(async move {
            let mut batch = WriteBatch { events: sent, ..WriteBatch::default() };
            batch.books.add(Source::Http, BookColumn::Sent, batch.events.len() as i64);
            store.write(shard, batch).await.expect("written");
            drop(permit);
        });
    }
}

fn key(index: u64) -> u64 {
    index.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20
}

fn request(index: u64) -> NotificationRequest {
    let order = r#"{"order_id":"12345","total":"99.99","name":"Alice","items":[{"name":"a blue lamp","price":1},{"name":"a chair","price":2}],"address":{"street":"1 Long Street","city":"Springfield"}}"#;
    NotificationRequest {
        campaign: None,
        tenant: "default".into(),
        user_id: Some(format!("user-{}", key(index) % 100_000).into()),
        to: Recipient { url: Some("https://hooks.example.com/orders".into()), ..Recipient::default() },
        content: Content::Inline {
            title: "Order {{order_id}}".into(),
            body: "Order {{order_id}} over {{total}} is on its way.".into(),
            html: None,
            sms: None,
        },
        data: order.into(),
        locale: None,
        category: Some("orders".into()),
        priority: Priority::Normal,
        channels: vec![Channel::Webhook],
        routing: Routing::All,
        deliver_at: None,
        local_time: None,
        expires_at: Some(NOW + Duration::from_secs(3600)),
        dedup_key: Some(format!("order-{index}").into()),
        dedup_window_seconds: None,
        aggregate: None,
        attachments: Vec::new(),
        collapse_key: None,
        idempotency: None,
        metadata: r#"{"trace":"4bf92f3577b34da6a3ce929d0e0e4736"}"#.into(),
        source: Source::Http,
        accepted_at: NOW,
    }
}

fn plan(position: Position, request: NotificationRequest) -> Plan {
    let decision = |step| Decision { step, channel: None, verdict: Verdict::Pass };
    let address = Address::Url(request.to.url.unwrap_or_default());
    Plan {
        position,
        tenant: request.tenant,
        user_id: request.user_id,
        category: request.category,
        source: request.source,
        routing: request.routing,
        accepted_at: request.accepted_at,
        expires_at: request.expires_at,
        content: request.content,
        data: request.data,
        metadata: request.metadata,
        decisions: [Step::Cancelled, Step::Expiry, Step::Dedup, Step::Routing].map(decision).into(),
        disposition: Disposition::Tasks(vec![TaskSpec { channel: Channel::Webhook, address, due: None, endpoint: 7 }]),
        claims: vec![PlanClaim {
            key: ClaimKey(u128::from(key(position.offset)) << 64 | u128::from(position.shard.to_u32()) << 40),
            expires_at: NOW + Duration::from_secs(300),
            body_hash: 0,
        }],
        group: None,
        presentation: Default::default(),
        delivery: Default::default(),
        campaign: None,
        personal: Default::default(),
    }
}

fn sent(position: Position) -> Event {
    Event {
        channel: Some(Channel::Webhook),
        provider: Some("hooks".into()),
        ..Event::new(TaskId { position, ordinal: 0 }, 1, EventKind::Sent, NOW)
    }
}

fn measure_codec() {
    let position = Position::new(ShardId { generation: 0, lane: Priority::Normal, partition: 3 }, 4711);
    let request = request(1);
    let plan = plan(position, request.clone());
    let event = sent(position);
    let in_buffer = |write: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = Vec::new();
        write(&mut bytes);
        bytes
    };
    let record = codec::encode_request(&request);
    let plan_row = in_buffer(&|bytes| codec::encode_plan(&plan, bytes));
    let event_row = in_buffer(&|bytes| codec::encode_event(&event, bytes));
    let mut buffer = Vec::with_capacity(4096);
    let reused = std::cell::RefCell::new(&mut buffer);
    let into = |write: &dyn Fn(&mut Vec<u8>)| {
        let mut buffer = reused.borrow_mut();
        buffer.clear();
        write(&mut buffer);
        black_box(buffer.len());
    };
    println!("codec, µs on one thread");
    let show = |name: &str, bytes: usize, run: &dyn Fn()| {
        println!("  {name:<16} {:>6.3}   ({bytes} bytes)", best(run).as_secs_f64() * 1e6);
    };
    show("request, write", record.len(), &|| drop(black_box(codec::encode_request(black_box(&request)))));
    show("request, read", record.len(), &|| drop(black_box(codec::decode_request(black_box(&record)))));
    show("plan, write", plan_row.len(), &|| into(&|bytes| codec::encode_plan(black_box(&plan), bytes)));
    show("plan, read", plan_row.len(), &|| drop(black_box(codec::decode_plan(position, black_box(&plan_row)))));
    show("event, write", event_row.len(), &|| into(&|bytes| codec::encode_event(black_box(&event), bytes)));
    show("event, read", event_row.len(), &|| drop(black_box(codec::decode_event(position, black_box(&event_row)))));
}

/// The best mean of several rounds: the machine's other work only ever adds.
fn best(run: &dyn Fn()) -> Duration {
    const ROUNDS: u32 = 20;
    const RUNS: u32 = 5_000;
    let round = || {
        let start = Instant::now();
        (0..RUNS).for_each(|_| run());
        start.elapsed() / RUNS
    };
    (0..ROUNDS).map(|_| round()).min().unwrap_or_default()
}

/// Microseconds for what the run does besides storing: requests made, decoded, made into plans and events. Encoding counts as storing.
fn measure_making(count: u64) -> f64 {
    let record = Bytes::from(codec::encode_request(&request(1)));
    let position = Position::new(ShardId { generation: 0, lane: Priority::Normal, partition: 3 }, 4711);
    let before = processor_time();
    for index in 0..count {
        black_box(request(index));
        black_box(plan(position, codec::decode_request(&record).expect("readable")));
        black_box(sent(position));
    }
    (processor_time() - before).as_secs_f64() * 1e6 / count as f64
}

/// Of this process, user and system.
fn processor_time() -> Duration {
    std::fs::read_dir("/proc/self/task").map_or(Duration::ZERO, |_| stat_time("/proc/self/stat"))
}

/// Of each name of a thread.
fn threads() -> Vec<(String, Duration)> {
    let mut all: Vec<(String, Duration)> = Vec::new();
    for task in std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let path = task.path();
        let name = std::fs::read_to_string(path.join("comm")).unwrap_or_default().trim().to_owned();
        let time = stat_time(&path.join("stat").to_string_lossy());
        match all.iter_mut().find(|(other, _)| *other == name) {
            Some((_, sum)) => *sum += time,
            None => all.push((name, time)),
        }
    }
    all
}

/// Fields 14 and 15 of proc(5)'s `stat`, in hundredths of a second.
fn stat_time(path: &str) -> Duration {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let fields = text.rsplit(')').next().unwrap_or_default();
    let ticks: u64 = fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

/// A line of proc(5)'s `status`, in megabytes.
fn status(name: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kilobytes| kilobytes.parse::<u64>().ok()).unwrap_or(0) / 1024
}

fn size(dir: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => size(&entry.path()),
            Ok(meta) => std::os::unix::fs::MetadataExt::blocks(&meta) * 512,
            Err(_) => 0,
        })
        .sum()
}
