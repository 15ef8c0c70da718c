//! What planning gets through where a million users are known, each with contact, two devices and preferences: with no memory of
//! them, with one that holds those who are written to, with one that does not, and with one that holds all; and what it takes.
//!
//! `cargo bench --bench people [-- USERS [DIRECTORY | cql:HOST:PORT]]`

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fanfare::clock::{ManualClock, SharedClock};
use fanfare::config::{self, Config};
use fanfare::coordination::{Claims, LocalCoordination};
use fanfare::disk::{Disk, DiskSettings, MachineSpace};
use fanfare::domain::{
    BrakeSet, Channel, Content, Device, NotificationRequest, Platform, Position, Priority, Recipient, Routing, ShardId,
    Source, Timestamp, UserEntry, UserKey,
};
use fanfare::planning::{Budgets, People, Policy, ShardGroups, Shelves, Sources, gather, plan_batch};
use fanfare::store::{CqlStore, EmbeddedStore, SharedStore, UserChange, apply_schema};
use fanfare::users::{Copies, LocalChanges};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const NOW: Timestamp = Timestamp(1_795_262_400_000);
const BATCH: u64 = 512;
/// Partitions that are planned at the same time.
const PLANNERS: u64 = 8;
/// Users written in one call.
const WRITE: u64 = 500;
/// Those who get something again and again.
const HOT_USERS: u64 = 50_000;
const REQUESTS: u64 = 400_000;

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let users: u64 = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    let place = arguments.next().unwrap_or_else(|| std::env::temp_dir().display().to_string());
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(measure(users, &place));
}

async fn measure(users: u64, place: &str) {
    let clock: SharedClock = ManualClock::starting_at(NOW);
    let mut config = config::defaults();
    let (store, directory) = open(place, &mut config, clock.clone()).await;
    let start = Instant::now();
    write_users(&store, users).await;
    let took = start.elapsed().as_secs_f64();
    println!("{users} users written in {took:.1} s: {:.0}/s; resident {} MB", users as f64 / took, resident());
    if let Some(directory) = &directory {
        println!("on disk {} MB", size(directory.path()) >> 20);
    }
    let policy = Arc::new(Policy::new(&config, [Some(0.0); 7]));
    let hot = HOT_USERS.min(users);
    for (cache, written_to) in [(0, users), (64 << 20, hot), (64 << 20, users), (2 << 30, users)] {
        let changes = Arc::new(LocalChanges::default());
        let copies = Copies::new(cache, Duration::from_secs(600), clock.clone(), changes);
        let people = Arc::new(People::new(store.clone(), store.clone(), copies));
        println!("\n{} MiB to remember, {written_to} users are written to", cache >> 20);
        for name in ["first time", "once more"] {
            plan(name, written_to, &store, &people, &policy, &clock).await;
        }
    }
}

async fn plan(
    name: &str,
    users: u64,
    store: &SharedStore,
    people: &Arc<People>,
    policy: &Arc<Policy>,
    clock: &SharedClock,
) {
    let coordination = Arc::new(LocalCoordination::new(clock.clone()));
    let (start, cpu) = (Instant::now(), processor_time());
    let planners: Vec<_> = (0..PLANNERS)
        .map(|planner| {
            let coordination = coordination.clone();
            tokio::spawn(plan_partition(planner, users, store.clone(), people.clone(), policy.clone(), coordination))
        })
        .collect();
    let mut planned = 0;
    for planner in planners {
        planned += planner.await.expect("planned");
    }
    let took = start.elapsed().as_secs_f64();
    let each = (processor_time() - cpu).as_secs_f64() * 1e6 / REQUESTS as f64;
    let rate = REQUESTS as f64 / took;
    println!(
        "{name:<12} {rate:>8.0} requests/s, {each:>5.1} µs each, {planned} with tasks; resident {} MB",
        resident()
    );
}

/// How many of its requests have tasks.
async fn plan_partition(
    partition: u64,
    users: u64,
    store: SharedStore,
    people: Arc<People>,
    policy: Arc<Policy>,
    claims: Arc<LocalCoordination>,
) -> usize {
    let mut random = 0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(partition + 1);
    let mut next = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    let brakes = Arc::new(BrakeSet::new(Vec::new(), 1, Arc::default()));
    let budgets = Budgets::new(store.clone(), partition);
    let mut planned = 0;
    for batch in 0..REQUESTS / BATCH / PLANNERS {
        let batch: Vec<_> =
            (0..BATCH).map(|index| (position(partition, batch * BATCH + index), request(next() % users))).collect();
        let sources = Sources {
            claims: &*claims,
            shelves: Shelves {
                rows: &*store,
                received: &*store,
                stories: &*store,
                groups: &*store,
                people: &people,
                experiments: &(),
                brakes: &brakes,
            },
            groups: ShardGroups::default(),
            budgets: &budgets,
            is_cancelled: &|_| false,
            is_unreadable: &|_| false,
        };
        let facts = gather(&batch, &policy, &sources, NOW).await.expect("readable");
        let plans = plan_batch(batch, &facts, &policy, NOW);
        planned += plans.iter().filter(|plan| !plan.tasks().is_empty()).count();
        claims.release(&facts.claimed).await;
    }
    planned
}

async fn open(place: &str, config: &mut Config, clock: SharedClock) -> (SharedStore, Option<tempfile::TempDir>) {
    if let Some(node) = place.strip_prefix("cql:") {
        let settings = &mut config.store.cql;
        settings.nodes = vec![node.to_owned()];
        settings.keyspace = "fanfare_bench".to_owned();
        apply_schema(settings, clock.clone()).await.expect("the schema");
        return (CqlStore::open(settings, clock).await.expect("the store opens"), None);
    }
    let directory = tempfile::tempdir_in(PathBuf::from(place)).expect("a temporary directory");
    let settings = DiskSettings {
        dir: directory.path().into(),
        cache_bytes: 32 << 20,
        write_buffer_bytes: 64 << 20,
        group_commit_max: Duration::from_millis(2),
        min_free_bytes: 0,
        free_space: Arc::new(MachineSpace),
        clock: ManualClock::starting_at(NOW),
        kept: Default::default(),
    };
    let disk = Disk::open(settings).expect("the database opens");
    (EmbeddedStore::open(disk).expect("the store opens"), Some(directory))
}

async fn write_users(store: &SharedStore, users: u64) {
    let mut writers = Vec::new();
    for writer in 0..PLANNERS {
        let store = store.clone();
        writers.push(tokio::spawn(async move {
            for first in (writer * WRITE..users).step_by((WRITE * PLANNERS) as usize) {
                let changes = (first..(first + WRITE).min(users)).map(|number| UserChange {
                    key: UserKey { tenant: "default".into(), user_id: format!("user-{number}").into() },
                    entries: entries(number),
                });
                store.write_users(changes.collect()).await.expect("written");
            }
        }));
    }
    for writer in writers {
        writer.await.expect("written");
    }
}

fn entries(number: u64) -> Vec<UserEntry> {
    let device = |id: &str| UserEntry::Device {
        id: id.into(),
        device: Some(Device {
            platform: Platform::Ios,
            token: format!("{number:016x}0123456789abcdef0123456789abcdef0123456789abcdef").into(),
            registered_at: NOW,
            seen_at: NOW,
            dead_since: None,
        }),
    };
    let off =
        |category: &str, channel| UserEntry::Preference { category: category.into(), channel, enabled: Some(false) };
    let zones = ["Europe/Berlin", "Asia/Tokyo", "America/New_York", "UTC"];
    vec![
        UserEntry::Email(Some(format!("user{number}@example.com").into())),
        UserEntry::Phone(Some(format!("+4930{number:08}").into())),
        UserEntry::Locale(Some("de-DE".into())),
        UserEntry::Timezone(Some(zones[number as usize % zones.len()].into())),
        device("phone"),
        device("tablet"),
        off("social", Channel::Sms),
        off("marketing", Channel::Push),
    ]
}

fn position(partition: u64, offset: u64) -> Position {
    Position::new(ShardId { generation: 0, lane: Priority::Normal, partition: partition as u16 }, offset)
}

fn request(number: u64) -> NotificationRequest {
    NotificationRequest {
        campaign: None,
        tenant: "default".into(),
        user_id: Some(format!("user-{number}").into()),
        to: Recipient::default(),
        content: Content::Template { code: "order_confirm".into() },
        data: r#"{"order_id":"12345"}"#.into(),
        locale: None,
        category: Some("social".into()),
        priority: Priority::Normal,
        channels: Vec::new(),
        routing: Routing::All,
        deliver_at: None,
        local_time: None,
        expires_at: None,
        dedup_key: None,
        dedup_window_seconds: Some(0),
        aggregate: None,
        attachments: Vec::new(),
        collapse_key: None,
        idempotency: None,
        metadata: "{}".into(),
        source: Source::Http,
        accepted_at: NOW,
    }
}

/// Of all threads (Linux, proc(5): the 14th and 15th field of `stat`, in ticks of 10 ms).
fn processor_time() -> Duration {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    Duration::from_millis(10 * (ticks(11) + ticks(12)))
}

/// In megabytes.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("VmRSS")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kilobytes| kilobytes.parse::<u64>().ok()).unwrap_or(0) / 1024
}

fn size(directory: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let bytes = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => size(&entry.path()),
        Ok(meta) => std::os::unix::fs::MetadataExt::blocks(&meta) * 512,
        Err(_) => 0,
    };
    entries.map(bytes).sum()
}
