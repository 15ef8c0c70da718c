//! A router over fakes, and a short way to call it.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use futures_util::FutureExt;
use http_body_util::BodyExt;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::api::{
    ApiParts, Cancelled, DryRun, DryRunReport, DryRunTask, OperationError, Operations, Replayed, SandboxMessage,
    SandboxMessages, router,
};
use crate::audience::{Applied, Definitions, EventDoor, Refusal, RuleOutcome, Taken};
use crate::brakes::Brakes;
use crate::campaigns::{Campaigns, Lists};
use crate::config::{Http, defaults, load_from};
use crate::coordination::LocalCoordination;
use crate::domain::{
    Address, BrakeNames, Channel, Content, Definition, DefinitionKind, Disposition, DomainEvent, NotificationId,
    NotificationRequest, Parts, Plan, Position, Priority, Routing, ShardId, Source, TaskId, TaskSpec, Timestamp,
};
use crate::inbox::{Inbox, Sighting, Sightings};
use crate::insight::{Accounting, AccountingLine};
use crate::intake::fakes::{FakeLog, FakeStore, StoppedClock};
use crate::intake::{AcceptError, AcceptedKeys, Acceptor, ContentCheck, EndpointCheck, FieldProblem};
use crate::outcomes::{Early, ReceiptDesk, ReceiptDeskParts, Tracker};
use crate::privacy::{Audit, Cancels, NotCancelled, Privacy, PrivacyParts};
use crate::realtime::{Hub, Live, LiveParts};
use crate::schedules::fakes::FakeBegins;
use crate::schedules::{ScheduleParts, Schedules};
use crate::sealing::testing::FakeSecrets;
use crate::store::{DeadLetterKey, StoreError};
use crate::subscriptions::Subscriptions;
use crate::telemetry::{Health, install};
use crate::templates::Templates;
use crate::templates::fakes::FakeCompiled;
use crate::topics::Topics;
use crate::users::{DayAttributes, Directory, LocalChanges};

pub(super) const NOW: &str = "2026-11-21T12:00:00Z";

/// Keys: `all` may do everything, `sender` and `reader` their one thing, `other` is another tenant's, `slow` has a rate.
const CONFIGURATION: &str = r#"
[http]
max_body = "256 KiB"
[[http.keys]]
key = "all"
tenant = "default"
scopes = ["send", "read", "admin"]
[[http.keys]]
key = "sender"
tenant = "default"
scopes = ["send"]
[[http.keys]]
key = "reader"
tenant = "default"
scopes = ["read"]
[[http.keys]]
key = "other"
tenant = "other"
scopes = ["send", "read", "admin"]
[[http.keys]]
key = "slow"
tenant = "default"
scopes = ["read"]
rate_per_second = 1.0
"#;

pub(super) struct World {
    pub(super) clock: Arc<StoppedClock>,
    pub(super) log: Arc<FakeLog>,
    pub(super) store: Arc<FakeStore>,
    pub(super) users: Arc<Directory>,
    pub(super) secrets: Arc<FakeSecrets>,
    pub(super) privacy: Arc<Privacy>,
    pub(super) campaigns: Arc<Campaigns>,
    pub(super) engine: Arc<FakeEngine>,
    pub(super) door: Arc<FakeDoor>,
    pub(super) begins: Arc<FakeBegins>,
    pub(super) health: Health,
    pub(super) router: Router,
}

pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error} in {}", self.text))
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// It is a problem of this status, and says so itself.
    #[track_caller]
    pub(super) fn assert_problem(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["status"], status);
        for field in ["type", "title", "detail"] {
            assert!(problem[field].is_string(), "{problem}");
        }
        problem
    }

    /// It is a 400 whose errors have this pointer with this detail.
    #[track_caller]
    pub(super) fn assert_field(&self, pointer: &str, detail: &str) {
        let problem = self.assert_problem(400);
        let errors = problem["errors"].as_array().expect("errors");
        let fits =
            |error: &&Value| error["pointer"] == pointer && error["detail"].as_str().unwrap_or("").contains(detail);
        assert!(errors.iter().any(|error| fits(&error)), "no {pointer} with `{detail}` in {problem}");
    }
}

impl World {
    pub(super) fn new() -> Self {
        Self::with(FakeLog::open(), |_| {})
    }

    pub(super) fn with(log: Arc<FakeLog>, change: impl Fn(&mut Http)) -> Self {
        Self::of(log, change, |_| {})
    }

    pub(super) fn of(log: Arc<FakeLog>, change: impl Fn(&mut Http), change_parts: impl Fn(&mut ApiParts)) -> Self {
        let mut http = load_from(Some(("test.toml", CONFIGURATION)), []).expect("valid").config.http;
        change(&mut http);
        let store = Arc::new(FakeStore::default());
        let clock = StoppedClock::at(NOW);
        let engine = Arc::new(FakeEngine::default());
        let health = Health::default();
        let keys = Arc::<AcceptedKeys>::default();
        let users = Arc::new(
            Directory::new(store.clone(), Arc::new(LocalChanges::default()))
                .with_days(DayAttributes::new(&defaults().users.day_attributes)),
        );
        let mut providers: [Vec<Box<str>>; 7] = Default::default();
        providers[Channel::Email.index()] = vec!["mail-main".into()];
        let categories = defaults().categories().expect("the default is there");
        let names = BrakeNames {
            categories: categories.names().into_iter().map(Into::into).collect(),
            default_category: categories.of(None).name.clone(),
            providers,
        };
        let brakes = Brakes::with(store.clone(), names, Vec::new());
        let welcome = r#"{"code": "welcome", "category": "transactional", "locales": {"en": {"body": "shipped"}}}"#;
        let compiled = FakeCompiled::with_built_in(serde_json::from_str(welcome).expect("a template"));
        let templates = Templates::unread(store.clone(), compiled, clock.clone());
        let categories = Arc::new(defaults().categories().expect("the default is there"));
        let receipts = Arc::new(ReceiptDesk::new(ReceiptDeskParts {
            store: store.clone(),
            log: log.clone(),
            clock: clock.clone(),
            users: users.clone(),
            categories: categories.clone(),
        }));
        let tracker = Tracker::new(receipts.clone(), clock.clone(), &defaults().tracking.machines, 7);
        let opened = Definitions::open(store.clone(), shipped(), engine.clone(), clock.clone());
        let definitions = opened.now_or_never().expect("a store in memory answers at once").expect("readable");
        let door = Arc::new(FakeDoor::default());
        let begins = Arc::new(FakeBegins::default());
        let schedules = Schedules::new(ScheduleParts {
            definitions: definitions.clone(),
            store: store.clone(),
            begins: begins.clone(),
            contents: engine.clone(),
            categories: categories.clone(),
            days: DayAttributes::new(&defaults().users.day_attributes),
            clock: clock.clone(),
        });
        let campaigns = Arc::new(Campaigns::new(store.clone(), clock.clone()));
        let live = live(&store, &clock);
        let secrets = Arc::<FakeSecrets>::default();
        let privacy = Privacy::new(PrivacyParts {
            store: store.clone(),
            users: users.clone(),
            subscriptions: Subscriptions::new(store.clone(), clock.clone()),
            inbox: live.inbox().clone(),
            lists: Arc::new(Lists::new(store.clone(), clock.clone())),
            cancels: engine.clone(),
            clock: clock.clone(),
            secrets: secrets.clone(),
        });
        let mut parts = ApiParts {
            privacy: privacy.clone(),
            audit: Audit::new(store.clone(), clock.clone()),
            http,
            takes_requests: true,
            clock: clock.clone(),
            log: log.clone(),
            store: store.clone(),
            users: users.clone(),
            brakes: brakes.clone(),
            templates: templates.clone(),
            acceptor: Arc::new(Acceptor::new(log.clone(), store.clone(), clock.clone(), keys)),
            events: door.clone(),
            definitions,
            schedules,
            campaigns: campaigns.clone(),
            live,
            lists: Arc::new(Lists::new(store.clone(), clock.clone())),
            operations: engine.clone(),
            topics: Arc::new(Topics::start(store.clone(), clock.clone(), 1)),
            stopping: CancellationToken::new(),
            dry_run: engine.clone(),
            sandbox: Some(engine.clone()),
            providers: Vec::new(),
            receipts,
            tracker: Arc::new(tracker),
            links: None,
            endpoints: engine.clone(),
            contents: engine.clone(),
            categories,
            category_words: defaults().categories,
            health: health.clone(),
            metrics: install(),
        };
        change_parts(&mut parts);
        let router = router(parts);
        Self { clock, log, store, users, secrets, privacy, campaigns, engine, door, begins, health, router }
    }

    pub(super) async fn call(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.expect("never fails");
        let (head, body) = response.into_parts();
        let bytes = body.collect().await.expect("complete").to_bytes();
        let text = String::from_utf8(bytes.to_vec()).expect("UTF-8");
        Answer { status: head.status, headers: head.headers, text }
    }

    pub(super) async fn send(&self, method: &str, path: &str, key: &str, body: impl Into<Body>) -> Answer {
        self.call(request(method, path, key, body)).await
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, "all", Body::empty()).await
    }

    pub(super) async fn post(&self, path: &str, body: impl Into<Body>) -> Answer {
        self.send("POST", path, "all", body).await
    }
}

fn live(store: &Arc<FakeStore>, clock: &Arc<StoppedClock>) -> Arc<Live> {
    let settings = defaults().realtime;
    let hub = Hub::new(settings.clone(), false);
    Live::new(LiveParts {
        inbox: Inbox::new(store.clone(), clock.clone(), Arc::new(Unseen), hub.clone()),
        hub,
        coordination: Arc::new(LocalCoordination::new(clock.clone())),
        clock: clock.clone(),
        settings,
        node: "node".to_owned(),
        own_origin: "http://127.0.0.1:8080".to_owned(),
    })
}

/// Stories are looked after elsewhere.
struct Unseen;

#[async_trait]
impl Sightings for Unseen {
    async fn note(&self, _: Vec<Sighting>) -> Result<(), StoreError> {
        Ok(())
    }
}

pub(super) fn request(method: &str, path: &str, key: &str, body: impl Into<Body>) -> Request<Body> {
    let builder = Request::builder().method(method).uri(path);
    let builder = builder.header("content-type", "application/json").header("authorization", format!("Bearer {key}"));
    builder.body(body.into()).expect("a request")
}

pub(super) fn with_retry_key(mut request: Request<Body>, key: &str) -> Request<Body> {
    request.headers_mut().insert("idempotency-key", key.parse().expect("a header"));
    request
}

pub(super) fn now() -> Timestamp {
    Timestamp::parse(NOW).expect("a time")
}

pub(super) fn position(offset: u64) -> Position {
    Position::new(ShardId { generation: 0, lane: Priority::Normal, partition: 0 }, offset)
}

/// A plan of one mail.
pub(super) fn plan(offset: u64) -> Plan {
    Plan {
        position: position(offset),
        tenant: "default".into(),
        user_id: Some("u1".into()),
        category: None,
        source: Source::Http,
        routing: Routing::All,
        accepted_at: Timestamp(now().millis() + offset),
        expires_at: None,
        content: Content::Template { code: "welcome".into() },
        data: "{}".into(),
        metadata: "{}".into(),
        decisions: Vec::new(),
        disposition: Disposition::Tasks(vec![spec(Channel::Email)]),
        claims: Vec::new(),
        group: None,
        presentation: Default::default(),
        delivery: Default::default(),
        campaign: None,
        personal: Default::default(),
    }
}

pub(super) fn spec(channel: Channel) -> TaskSpec {
    TaskSpec { channel, address: Address::Email("alice@example.com".into()), due: None, endpoint: 0 }
}

/// An event type and a rule for it.
fn shipped() -> Vec<Definition> {
    let event_type = r#"{"description": "Somebody has an account", "schema": {"type": "object", "required": ["name"],
        "properties": {"name": {"type": "string"}, "plan": {"enum": ["free", "paid"]}}}, "example": {"name": "Alice"}}"#;
    let rule = r#"{"event": "user.registered", "send": {"template": "welcome"}}"#;
    let definition = |kind, name: &str, body: &str| Definition {
        kind,
        name: name.into(),
        version: 0,
        body: Some(body.into()),
        changed_at: Timestamp(0),
    };
    vec![
        definition(DefinitionKind::EventType, "user.registered", event_type),
        definition(DefinitionKind::Rule, "welcome", rule),
    ]
}

/// A door that knows `user.registered` with a `name`: two rules for it, of which the condition of one fails, and which makes nothing
/// without a user.
#[derive(Default)]
pub(super) struct FakeDoor {
    pub(super) taken: Mutex<Vec<DomainEvent>>,
    pub(super) is_shut: AtomicBool,
}

#[async_trait]
impl EventDoor for FakeDoor {
    async fn take(&self, events: Vec<DomainEvent>) -> Result<Vec<Taken>, AcceptError> {
        if self.is_shut.load(Ordering::SeqCst) {
            let retry_after = std::time::Duration::from_secs(3);
            return Err(AcceptError::Unavailable { reason: "the disk is full".to_owned(), retry_after });
        }
        let mut taken = self.taken.lock().expect("not poisoned");
        let applied = |rule: &str, outcome| Applied { rule: rule.into(), outcome };
        let answers = events.into_iter().map(|event| {
            if &*event.event_type != "user.registered" {
                let near = Some("user.registered".into()).filter(|_| event.event_type.starts_with("user."));
                return Taken::Refused(Refusal::UnknownType { event_type: event.event_type, near });
            }
            if !event.data.contains("name") {
                return Taken::Refused(Refusal::Invalid(vec![FieldProblem::new("/data/name", "is required")]));
            }
            let outcome = match &event.user_id {
                Some(_) => {
                    let before = taken.iter().position(|before| before.id == event.id);
                    let id = NotificationId(position(before.unwrap_or(taken.len()) as u64));
                    RuleOutcome::Made { id, repeated: before.is_some() }
                }
                None => RuleOutcome::Impossible(vec![FieldProblem::new("/user_id", "is required")]),
            };
            taken.push(event);
            Taken::Used(vec![applied("welcome", outcome), applied("vip", RuleOutcome::ConditionFails)])
        });
        Ok(answers.collect())
    }
}

/// An engine that does as told, and checks that refuse what is named `missing` or leads to a private address.
#[derive(Default)]
pub(super) struct FakeEngine {
    pub(super) sending: Mutex<HashSet<TaskId>>,
    pub(super) sent_already: AtomicBool,
    /// Another node has the shard, and does not answer.
    pub(super) is_elsewhere: AtomicBool,
    pub(super) replayed: Mutex<Vec<DeadLetterKey>>,
    pub(super) panics: AtomicBool,
    /// What was cancelled for who was erased.
    pub(super) cancelled: Mutex<Vec<NotificationId>>,
    pub(super) messages: Mutex<Vec<SandboxMessage>>,
}

#[async_trait]
impl Operations for FakeEngine {
    async fn cancel(&self, _: NotificationId) -> Result<Cancelled, OperationError> {
        if self.is_elsewhere.load(Ordering::SeqCst) {
            return Err(OperationError::Elsewhere("10.0.0.7:8080 does not answer".to_owned()));
        }
        Ok(match self.sent_already.load(Ordering::SeqCst) {
            true => Cancelled::TooLate { too_late: 2 },
            false => Cancelled::Cancelled { stopped: 1, too_late: 1 },
        })
    }

    async fn replay(&self, key: &DeadLetterKey) -> Result<Replayed, OperationError> {
        self.replayed.lock().expect("not poisoned").push(key.clone());
        Ok(Replayed::Requeued)
    }

    async fn look_early(&self, _: Vec<Early>) {}

    fn is_sending(&self, task: TaskId) -> bool {
        self.sending.lock().expect("not poisoned").contains(&task)
    }

    async fn accounting(&self) -> Result<Accounting, OperationError> {
        assert!(!self.panics.load(Ordering::SeqCst), "secret details");
        let line = AccountingLine {
            source: Source::Http,
            lane: Priority::High,
            accepted: 5,
            sent: 2,
            skipped: [("duplicate", 1)].into(),
            merged: 0,
            failed: 1,
            expired: 0,
            cancelled: 0,
            unknown: 0,
            open: 1,
            scheduled: 1,
            rejected: 0,
        };
        Ok(Accounting { lines: vec![line.clone(), line], unaccounted: 0, unreachable_nodes: 0 })
    }
}

#[async_trait]
impl Cancels for FakeEngine {
    async fn cancel(&self, id: NotificationId) -> Result<usize, NotCancelled> {
        if self.is_elsewhere.load(Ordering::SeqCst) {
            return Err(NotCancelled("10.0.0.7:8080 does not answer".to_owned()));
        }
        self.cancelled.lock().expect("not poisoned").push(id);
        Ok(1)
    }
}

#[async_trait]
impl DryRun for FakeEngine {
    async fn dry_run(&self, request: NotificationRequest) -> Result<DryRunReport, StoreError> {
        let address = Address::Email(request.to.email.unwrap_or_default());
        let parts = Parts { title: "Hi".into(), body: "Hello".into(), ..Parts::default() };
        let task = DryRunTask { channel: Channel::Email, address, due: request.deliver_at, rendered: Ok(parts) };
        Ok(DryRunReport { decisions: Vec::new(), skipped: None, merged_into: None, tasks: vec![task] })
    }
}

impl SandboxMessages for FakeEngine {
    fn messages(&self, _: &str, before: Option<u64>, limit: usize) -> Vec<SandboxMessage> {
        let messages = self.messages.lock().expect("not poisoned");
        let wanted = messages.iter().rev().filter(|message| before.is_none_or(|before| message.number < before));
        wanted.take(limit).cloned().collect()
    }

    fn clear(&self, _: &str) {
        self.messages.lock().expect("not poisoned").clear();
    }
}

#[async_trait]
impl EndpointCheck for FakeEngine {
    async fn check(&self, url: &str) -> Result<(), String> {
        match url.contains("127.0.0.1") {
            true => Err("leads to a private address".to_owned()),
            false => Ok(()),
        }
    }
}

impl ContentCheck for FakeEngine {
    fn check(&self, request: &NotificationRequest) -> Result<(), FieldProblem> {
        match &request.content {
            Content::Template { code } if &**code == "missing" => {
                Err(FieldProblem::new("/template", "there is no template `missing`"))
            }
            _ => Ok(()),
        }
    }
}
