//! What a question about a year costs: reading the days of a tenant from the embedded store and adding them up.
//!
//! `cargo bench --bench analytics [-- LINES_A_DAY [DIRECTORY]]`: a line is one channel, category, template, language and provider.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use fanfare::clock::ManualClock;
use fanfare::codec;
use fanfare::disk::{Disk, DiskSettings, MachineSpace};
use fanfare::domain::{Channel, Count, Counts, Dimensions, Rollup, Timestamp};
use fanfare::insight::{Analytics, AnalyticsParts, Filters, Group, ReportQuery};
use fanfare::store::{EmbeddedStore, KeyedKind, KeyedPart, KeyedRow, KeyedRows, SOURCES};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const DAYS: u32 = 365;
/// 2026-01-01.
const FIRST_DAY: u32 = 20_454;
const DAY_MILLIS: u64 = 86_400_000;
const RUNS: usize = 50;

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let lines: usize = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(600);
    let parent = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = tempfile::tempdir_in(parent).expect("a temporary directory");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        write_year(dir.path().into(), lines).await;
        // Opened anew: a question finds what is on the disk, and nothing in memory.
        let store = open(dir.path().into());
        let categories = Arc::new(fanfare::config::defaults().categories().expect("a default category"));
        let clock = ManualClock::starting_at(Timestamp(u64::from(FIRST_DAY + DAYS) * DAY_MILLIS));
        let analytics = Analytics::new(AnalyticsParts { log: store.clone(), rows: store, categories, clock });
        println!("{DAYS} days of {lines} lines from {SOURCES} sources");
        for (name, groups) in [
            ("total", vec![]),
            ("by day", vec![Group::Day]),
            ("by channel", vec![Group::Channel]),
            ("by template and variant", vec![Group::Template, Group::Variant]),
            ("by day and channel", vec![Group::Day, Group::Channel]),
        ] {
            measure(&analytics, name, groups).await;
        }
    });
}

async fn measure(analytics: &Analytics, name: &str, groups: Vec<Group>) {
    let query = ReportQuery {
        tenant: "default".into(),
        first_day: FIRST_DAY,
        last_day: FIRST_DAY + DAYS - 1,
        groups,
        filters: Filters::default(),
        lines_max: 10_000,
    };
    let mut took = Vec::with_capacity(RUNS);
    for _ in 0..RUNS {
        let begun = Instant::now();
        let report = analytics.report(&query).await.expect("answered");
        took.push(begun.elapsed());
        assert!(report.totals.get(Count::Sent) > 0, "nothing was found: are the rows where the report looks?");
    }
    let first = took[0];
    took.sort();
    let at = |share: f64| took[((RUNS - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!("{name:<26} first {:6.1} ms, P50 {:6.1} ms, P99 {:6.1} ms", first.as_secs_f64() * 1e3, at(0.5), at(0.99));
}

/// The rows as the roll-ups write them: a row for each day and source, in parts by months.
async fn write_year(dir: PathBuf, lines: usize) {
    let store = open(dir);
    for day in FIRST_DAY..FIRST_DAY + DAYS {
        let date = Timestamp(u64::from(day) * DAY_MILLIS).to_string();
        let part = KeyedPart::of(KeyedKind::RollupDay, &[b"default", &date.as_bytes()[..7]]);
        let rows = (0..SOURCES).map(|source| {
            let mut name = day.to_be_bytes().to_vec();
            name.push(source);
            let body = codec::encode_rollup(&rollup(lines, source));
            KeyedRow { part: part.clone(), name: name.into(), body: Some(Bytes::from(body)) }
        });
        store.put_keyed(rows.collect()).await.expect("written");
    }
}

fn rollup(lines: usize, source: u8) -> Rollup {
    let mut rollup = Rollup::default();
    for line in (0..lines).filter(|line| line % usize::from(SOURCES) == usize::from(source)) {
        let mut dimensions = Dimensions::other(Channel::ALL[line % 4]);
        dimensions.category = ["transactional", "social", "marketing"][line % 3].into();
        dimensions.template = Some(format!("template_{}", line % 50).into());
        dimensions.locale = Some(["en", "de", "zh", "ar"][line / 50 % 4].into());
        dimensions.provider = Some(["main", "second", "third"][line / 200 % 3].into());
        let mut counts = Counts::default();
        counts.add(Count::Sent, 1000 + line as i64);
        counts.add(Count::Delivered, 990);
        counts.add(Count::Opened, 300);
        rollup.entries.insert(dimensions, counts);
    }
    rollup
}

fn open(dir: PathBuf) -> Arc<EmbeddedStore> {
    let disk = Disk::open(DiskSettings {
        dir,
        cache_bytes: 32 << 20,
        write_buffer_bytes: 64 << 20,
        group_commit_max: Duration::from_millis(2),
        min_free_bytes: 0,
        free_space: Arc::new(MachineSpace),
        clock: ManualClock::starting_at(Timestamp(u64::from(FIRST_DAY + DAYS) * DAY_MILLIS)),
        kept: Default::default(),
    });
    EmbeddedStore::open(disk.expect("the database opens")).expect("the store opens")
}
