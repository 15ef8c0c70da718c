//! What the door costs: reading, checking and encoding a request, alone and through the API. Nothing is written: the log
//! here only counts. `cargo bench --bench accept`.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use axum::body::Body;
use axum::http::Request;
use bytes::Bytes;
use fanfare::api::{
    ApiParts, Cancelled, DryRun, DryRunReport, OperationError, Operations, Replayed, SandboxMessage, SandboxMessages,
    router,
};
use fanfare::audience::{Definitions, EventDoor, Taken};
use fanfare::brakes::Brakes;
use fanfare::campaigns::{Campaigns, Lists};
use fanfare::clock::SharedClock;
use fanfare::codec::encode_request;
use fanfare::coordination::LocalCoordination;
use fanfare::domain::{
    Brake, BrakeNames, ClaimKey, Definition, DefinitionKind, DomainEvent, Event, NotificationId, NotificationRequest,
    Position, Priority, ShardId, Source, Story, SuppressedAddress, Suppression, TaskId, TemplateChange, Timestamp,
    User, UserKey,
};
use fanfare::insight::Accounting;
use fanfare::intake::{
    AcceptError, AcceptedKeys, Acceptor, ContentCheck, EndpointCheck, Envelope, FieldProblem, read_item,
};
use fanfare::log::{Log, LogError, Membership, NewRecord, Record};
use fanfare::outcomes::{Early, ReceiptDesk, ReceiptDeskParts, Tracker};
use fanfare::privacy::{Audit, Cancels, NotCancelled, Privacy, PrivacyParts};
use fanfare::rendering::Renderer;
use fanfare::runtime::{LiveSide, SchedulesParts, SystemClock, archive, live, schedules};
use fanfare::store::{
    Books, BrakeRows, BudgetKey, BudgetRows, ClaimRow, ClaimRows, Cursors, DeadLetter, DeadLetterKey, DeadLetters,
    DefinitionRows, Drops, GroupEntry, Groups, History, HistoryEntry, KeyedPart, KeyedRow, KeyedRows,
    ListedSuppression, NamedRow, ReceivedRows, SecretsOf, StoreError, SuppressionChange, SuppressionPlace,
    Suppressions, TaskLog, TemplateBodyPlace, TemplateRows, TimerKey, TimerRow, Timers, UserChange, UserSecret,
    UserSecrets, Users, WriteBatch,
};
use fanfare::subscriptions::Subscriptions;
use fanfare::templates::Templates;
use fanfare::topics::Topics;
use fanfare::users::{DayAttributes, Directory, LocalChanges};
use futures_util::FutureExt;
use http_body_util::BodyExt;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

const ITEM: &str = r#"{"user_id":"user-1234567","to":{"email":"alice@example.com"},"template":"order_confirm","data":{"order_id":"12345","total":"99.99","name":"Alice"},"category":"transactional","priority":"high","channels":["email","webhook"],"dedup_key":"order-12345"}"#;

const BATCH_ITEMS: usize = 1000;

fn main() {
    let now = Timestamp::parse("2026-11-21T12:00:00Z").expect("a time");
    let categories = &fanfare::config::defaults().categories().expect("the default is there");
    let envelope =
        Envelope { tenant: "default", source: Source::Http, idempotency: None, now, categories, contents: &() };
    measure("read and check one item", 1, || {
        black_box(read_item(black_box(ITEM), None, &envelope).expect("valid"));
    });
    let request = read_item(ITEM, None, &envelope).expect("valid");
    measure("encode one request", 1, || {
        black_box(encode_request(black_box(&request)));
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("starts");
    let router = router(parts());
    let call = |path: &str, body: String| {
        let request =
            Request::post(path).header("authorization", "Bearer dev").header("content-type", "application/json");
        let response = runtime.block_on(router.clone().oneshot(request.body(Body::from(body)).expect("a request")));
        let response = response.expect("never fails");
        assert_eq!(response.status(), 202);
        black_box(runtime.block_on(response.into_body().collect()).expect("complete"));
    };
    measure("POST /v1/notifications", 1, || call("/v1/notifications", ITEM.to_owned()));
    let batch = format!("{{\"items\":[{}]}}", [ITEM; BATCH_ITEMS].join(","));
    measure("POST /v1/notifications/batch, an item", BATCH_ITEMS, || call("/v1/notifications/batch", batch.clone()));
}

/// Runs it for about a second after a warm-up, and prints the processor time for each of `items`: on a busy machine the
/// time on the wall says little.
fn measure(name: &str, items: usize, mut run: impl FnMut()) {
    let mut rounds = 0;
    let warm_up = Instant::now();
    while warm_up.elapsed() < Duration::from_millis(300) {
        run();
        rounds += 1;
    }
    let rounds = rounds * 3;
    let began = cpu_nanoseconds();
    for _ in 0..rounds {
        run();
    }
    let each = (cpu_nanoseconds() - began) / (rounds * items) as f64;
    println!("{name:<40} {each:>8.0} ns");
}

/// Processor time of all threads: the first field of each `schedstat` (Linux, Documentation/scheduler/sched-stats).
fn cpu_nanoseconds() -> f64 {
    let threads = std::fs::read_dir("/proc/self/task").expect("Linux");
    let spent = threads.map(|thread| {
        let path = thread.expect("readable").path().join("schedstat");
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.split_whitespace().next().and_then(|field| field.parse::<f64>().ok()).unwrap_or_default()
    });
    spent.sum()
}

fn parts() -> ApiParts {
    let clock: SharedClock = Arc::new(SystemClock);
    let log = Arc::new(CountingLog(AtomicU64::new(0)));
    let store = Arc::new(EmptyStore);
    let keys = Arc::<AcceptedKeys>::default();
    let acceptor = Arc::new(Acceptor::new(log.clone(), store.clone(), clock.clone(), keys));
    let rest = Arc::new(Nothing);
    let renderer =
        Renderer::new(&fanfare::config::defaults().templates, fanfare::domain::Zone::UTC).expect("the templates load");
    let users = Arc::new(Directory::new(store.clone(), Arc::new(LocalChanges::default())));
    let categories = Arc::new(fanfare::config::defaults().categories().expect("the default is there"));
    let receipts = ReceiptDesk::new(ReceiptDeskParts {
        store: store.clone(),
        log: log.clone(),
        clock: clock.clone(),
        users: users.clone(),
        categories: categories.clone(),
    });
    let receipts = Arc::new(receipts);
    let machines = fanfare::config::defaults().tracking.machines;
    let tracker = Arc::new(Tracker::new(receipts.clone(), clock.clone(), &machines, 7));
    let opened = Definitions::open(store.clone(), Vec::new(), rest.clone(), clock.clone());
    let definitions = opened.now_or_never().expect("an empty store answers at once").expect("readable");
    let campaigns = Arc::new(Campaigns::new(store.clone(), clock.clone()));
    let config = fanfare::config::defaults();
    let schedules = schedules(SchedulesParts {
        definitions: definitions.clone(),
        store: store.clone(),
        events: rest.clone(),
        campaigns: campaigns.clone(),
        contents: rest.clone(),
        categories: categories.clone(),
        days: DayAttributes::default(),
        archive: archive(&config, (log.clone(), store.clone()), campaigns.clone(), clock.clone())
            .expect("none is set up"),
        clock: clock.clone(),
    });
    let live = live(
        LiveSide {
            store: store.clone(),
            log: log.clone(),
            clock: clock.clone(),
            users: users.clone(),
            categories: categories.clone(),
            coordination: Arc::new(LocalCoordination::new(clock.clone())),
            node: "bench".to_owned(),
        },
        &config,
    );
    let lists = Arc::new(Lists::new(store.clone(), clock.clone()));
    let privacy = Privacy::new(PrivacyParts {
        store: store.clone(),
        users: users.clone(),
        subscriptions: Subscriptions::new(store.clone(), clock.clone()),
        inbox: live.inbox().clone(),
        lists: lists.clone(),
        cancels: rest.clone(),
        clock: clock.clone(),
        secrets: rest.clone(),
    });
    ApiParts {
        live,
        privacy,
        audit: Audit::new(store.clone(), clock.clone()),
        category_words: Vec::new(),
        takes_requests: true,
        providers: Vec::new(),
        receipts,
        tracker,
        links: None,
        http: fanfare::config::defaults().http,
        clock: clock.clone(),
        log,
        brakes: Brakes::with(store.clone(), BrakeNames::default(), Vec::new()),
        templates: Templates::unread(store.clone(), Arc::new(renderer), clock.clone()),
        users,
        store: store.clone(),
        acceptor,
        events: rest.clone(),
        definitions,
        schedules,
        campaigns,
        lists,
        topics: Arc::new(Topics::start(store.clone(), clock.clone(), 1)),
        stopping: CancellationToken::new(),
        operations: rest.clone(),
        dry_run: rest.clone(),
        sandbox: Some(rest.clone()),
        endpoints: rest.clone(),
        contents: rest,
        categories,
        health: fanfare::telemetry::Health::default(),
        metrics: fanfare::telemetry::install(),
    }
}

struct CountingLog(AtomicU64);

#[async_trait]
impl Log for CountingLog {
    async fn append(&self, records: Vec<NewRecord>) -> Result<Vec<Position>, LogError> {
        let shard = ShardId { generation: 0, lane: Priority::Normal, partition: 0 };
        let first = self.0.fetch_add(records.len() as u64, Ordering::Relaxed);
        Ok((first..).take(records.len()).map(|offset| Position::new(shard, offset)).collect())
    }

    async fn record(&self, _: Position) -> Result<Option<Record>, LogError> {
        Ok(None)
    }

    async fn join(&self) -> Result<Box<dyn Membership>, LogError> {
        Err(LogError::Busy)
    }

    fn end(&self, _: ShardId) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn writable(&self) -> Result<(), LogError> {
        Ok(())
    }
}

struct EmptyStore;

#[async_trait]
impl TaskLog for EmptyStore {
    async fn write(&self, _: ShardId, _: WriteBatch) -> Result<(), StoreError> {
        Ok(())
    }

    async fn stories(&self, positions: &[Position]) -> Result<Vec<Option<Story>>, StoreError> {
        Ok(vec![None; positions.len()])
    }

    async fn block(&self, _: ShardId, _: u64) -> Result<Vec<Story>, StoreError> {
        Ok(Vec::new())
    }

    async fn loose_events(&self, _: ShardId, _: u64) -> Result<Vec<Event>, StoreError> {
        Ok(Vec::new())
    }

    async fn cursors(&self, _: ShardId) -> Result<Cursors, StoreError> {
        Ok(Cursors::default())
    }

    async fn books(&self, _: ShardId) -> Result<Books, StoreError> {
        Ok(Books::default())
    }
}

#[async_trait]
impl Timers for EmptyStore {
    async fn timers(&self, _: ShardId, _: TimerKey, _: Timestamp, _: usize) -> Result<Vec<TimerRow>, StoreError> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl ClaimRows for EmptyStore {
    async fn claims(&self, keys: &[ClaimKey]) -> Result<Vec<Option<ClaimRow>>, StoreError> {
        Ok(vec![None; keys.len()])
    }
}

impl ReceivedRows for EmptyStore {}

impl Drops for EmptyStore {}

/// No category has a budget here.
#[async_trait]
impl BudgetRows for EmptyStore {
    async fn draw(&self, _: &BudgetKey, _: u64, _: u64) -> Result<(), StoreError> {
        Ok(())
    }

    async fn drawn(&self, _: &BudgetKey) -> Result<Vec<(u64, u64)>, StoreError> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl Groups for EmptyStore {
    async fn groups(&self, leaders: &[Position]) -> Result<Vec<Vec<GroupEntry>>, StoreError> {
        Ok(vec![Vec::new(); leaders.len()])
    }
}

#[async_trait]
impl History for EmptyStore {
    async fn history(
        &self,
        _: &str,
        _: &str,
        _: Option<HistoryEntry>,
        _: usize,
    ) -> Result<Vec<HistoryEntry>, StoreError> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl DeadLetters for EmptyStore {
    async fn dead_letters(&self, _: &str, _: Option<DeadLetterKey>, _: usize) -> Result<Vec<DeadLetter>, StoreError> {
        Ok(Vec::new())
    }

    async fn dead_letter(&self, _: &DeadLetterKey) -> Result<Option<DeadLetter>, StoreError> {
        Ok(None)
    }
}

#[async_trait]
impl Users for EmptyStore {
    async fn users(&self, keys: &[UserKey]) -> Result<Vec<Option<User>>, StoreError> {
        Ok(vec![None; keys.len()])
    }

    async fn write_users(&self, _: Vec<UserChange>) -> Result<(), StoreError> {
        Ok(())
    }
}

#[async_trait]
impl Suppressions for EmptyStore {
    async fn suppressions(&self, addresses: &[SuppressedAddress]) -> Result<Vec<Option<Suppression>>, StoreError> {
        Ok(vec![None; addresses.len()])
    }

    async fn write_suppressions(&self, _: Vec<SuppressionChange>) -> Result<(), StoreError> {
        Ok(())
    }

    async fn all_suppressions(
        &self,
        _: &str,
        _: Option<SuppressionPlace>,
        _: usize,
    ) -> Result<Vec<ListedSuppression>, StoreError> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl BrakeRows for EmptyStore {
    async fn brakes(&self) -> Result<Vec<Brake>, StoreError> {
        Ok(Vec::new())
    }

    async fn write_brake(&self, _: &Brake) -> Result<(), StoreError> {
        Ok(())
    }
}

#[async_trait]
impl TemplateRows for EmptyStore {
    async fn template_tenants(&self) -> Result<Vec<Box<str>>, StoreError> {
        Ok(Vec::new())
    }

    async fn append_template_change(&self, _: &str, _: &TemplateChange) -> Result<bool, StoreError> {
        Ok(true)
    }

    async fn template_changes(&self, _: &str, _: u64, _: usize) -> Result<Vec<TemplateChange>, StoreError> {
        Ok(Vec::new())
    }

    async fn put_template_body(&self, _: &str, _: &TemplateBodyPlace, _: &[u8]) -> Result<(), StoreError> {
        Ok(())
    }

    async fn template_bodies(&self, _: &str, places: &[TemplateBodyPlace]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        Ok(vec![None; places.len()])
    }

    async fn delete_template_body(&self, _: &str, _: &TemplateBodyPlace) -> Result<(), StoreError> {
        Ok(())
    }
}

#[async_trait]
impl DefinitionRows for EmptyStore {
    async fn definition_tenants(&self) -> Result<Vec<(Box<str>, u64)>, StoreError> {
        Ok(Vec::new())
    }

    async fn definitions(&self, _: &str) -> Result<Vec<Definition>, StoreError> {
        Ok(Vec::new())
    }

    async fn definition(&self, _: &str, _: DefinitionKind, _: &str) -> Result<Option<Definition>, StoreError> {
        Ok(None)
    }

    async fn put_definition(&self, _: &str, _: &Definition) -> Result<bool, StoreError> {
        Ok(true)
    }
}

/// What accepting does not touch, and checks that pass.
struct Nothing;

/// Nobody is erased here.
#[async_trait]
impl UserSecrets for Nothing {
    async fn user_secrets(&self, users: &[UserKey]) -> Result<Vec<SecretsOf>, StoreError> {
        Ok(vec![SecretsOf::default(); users.len()])
    }

    async fn create_user_secrets(&self, _: &[UserKey]) -> Result<Vec<UserSecret>, StoreError> {
        Ok(Vec::new())
    }

    async fn destroy_user_secrets(&self, _: &UserKey) -> Result<usize, StoreError> {
        Ok(0)
    }

    async fn address_key(&self) -> Result<[u8; UserSecret::BYTES], StoreError> {
        Ok([0; UserSecret::BYTES])
    }
}

#[async_trait]
impl Cancels for Nothing {
    async fn cancel(&self, _: NotificationId) -> Result<usize, NotCancelled> {
        Ok(0)
    }
}

#[async_trait]
impl EventDoor for Nothing {
    async fn take(&self, _: Vec<DomainEvent>) -> Result<Vec<Taken>, AcceptError> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl Operations for Nothing {
    async fn cancel(&self, _: NotificationId) -> Result<Cancelled, OperationError> {
        Ok(Cancelled::TooLate { too_late: 0 })
    }

    async fn replay(&self, _: &DeadLetterKey) -> Result<Replayed, OperationError> {
        Ok(Replayed::NotReplayable)
    }

    async fn look_early(&self, _: Vec<Early>) {}

    fn is_sending(&self, _: TaskId) -> bool {
        false
    }

    async fn accounting(&self) -> Result<Accounting, OperationError> {
        Ok(Accounting::default())
    }
}

#[async_trait]
impl DryRun for Nothing {
    async fn dry_run(&self, _: NotificationRequest) -> Result<DryRunReport, StoreError> {
        Ok(DryRunReport { decisions: Vec::new(), skipped: None, merged_into: None, tasks: Vec::new() })
    }
}

impl SandboxMessages for Nothing {
    fn messages(&self, _: &str, _: Option<u64>, _: usize) -> Vec<SandboxMessage> {
        Vec::new()
    }

    fn clear(&self, _: &str) {}
}

#[async_trait]
impl EndpointCheck for Nothing {
    async fn check(&self, _: &str) -> Result<(), String> {
        Ok(())
    }
}

impl ContentCheck for Nothing {
    fn check(&self, _: &NotificationRequest) -> Result<(), FieldProblem> {
        Ok(())
    }
}

#[async_trait]
impl KeyedRows for EmptyStore {
    async fn put_keyed(&self, _: Vec<KeyedRow>) -> Result<(), StoreError> {
        Ok(())
    }

    async fn keyed(&self, names: &[(KeyedPart, Box<[u8]>)]) -> Result<Vec<Option<Bytes>>, StoreError> {
        Ok(vec![None; names.len()])
    }

    async fn keyed_between(
        &self,
        _: &KeyedPart,
        _: Option<&[u8]>,
        _: Option<&[u8]>,
        _: usize,
    ) -> Result<Vec<NamedRow>, StoreError> {
        Ok(Vec::new())
    }
}
