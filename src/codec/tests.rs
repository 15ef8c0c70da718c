mod analytics;
mod campaigns;
mod delivery;
mod sealed;

use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;
use crate::domain::{
    Address, Aggregate, ArchiveCounts, ArchiveId, ArchiveOrder, ArchivePiece, ArchiveState, Channel, ClaimKey, Content,
    Decision, Definition, DefinitionKind, Device, Disposition, EventKind, Gathered, Group, Idempotency, Joined,
    MessageId, NotificationId, PlanClaim, Platform, Presentation, Priority, QuietChoice, QuietHours, Recipient,
    Routing, RunKind, RunState, ShardId, SkipReason, Source, Step, SubscriptionChannel, SuppressionCause, TaskId,
    TaskSpec, TemplateAction, TimeOfDay, Timestamp, Told, Verdict,
};
use crate::store::{BookColumn, DeadLetterCause, ForeignLetter, Uncounted};

fn place() -> Position {
    Position::new(ShardId { generation: 1, lane: Priority::High, partition: 3 }, 4711)
}

fn request() -> NotificationRequest {
    NotificationRequest {
        campaign: None,
        tenant: "acme".into(),
        user_id: Some("alice".into()),
        to: Recipient {
            email: Some("alice@example.com".into()),
            phone: Some("+4915112345678".into()),
            push_token: None,
            url: Some("https://hooks.example.com/a".into()),
            chat: None,
        },
        content: Content::Inline {
            title: "Order {{order_id}}".into(),
            body: "Schöne Grüße".into(),
            html: Some("<p>{{name}}</p>".into()),
            sms: None,
        },
        data: r#"{"order_id":"12345"}"#.into(),
        category: Some("orders".into()),
        locale: None,
        priority: Priority::High,
        channels: vec![Channel::Webhook, Channel::Email],
        routing: Routing::Fallback,
        deliver_at: Some(Timestamp(1_800_000_000_000)),
        local_time: None,
        expires_at: Some(Timestamp(1_800_003_600_000)),
        dedup_key: Some("order-12345".into()),
        dedup_window_seconds: Some(300),
        aggregate: None,
        attachments: Vec::new(),
        collapse_key: None,
        idempotency: Some(Idempotency { key: ClaimKey(1 << 100 | 7), body_hash: 42, batch: None }),
        metadata: r#"{"trace":"1"}"#.into(),
        source: Source::Http,
        accepted_at: Timestamp(1_799_999_999_999),
    }
}

fn plan() -> Plan {
    let decision = |step, channel, verdict| Decision { step, channel, verdict };
    let task = |channel, address, due| TaskSpec { channel, address, due, endpoint: 0xdead_beef };
    let request = request();
    Plan {
        position: place(),
        tenant: request.tenant,
        user_id: request.user_id,
        category: request.category,
        source: Source::Campaign,
        routing: Routing::All,
        accepted_at: request.accepted_at,
        expires_at: request.expires_at,
        content: Content::Template { code: "order_confirm".into() },
        data: request.data,
        metadata: request.metadata,
        decisions: vec![
            decision(Step::Cancelled, None, Verdict::Pass),
            decision(Step::Address, Some(Channel::Sms), Verdict::Skip(SkipReason::NoAddress)),
            decision(Step::SendTime, None, Verdict::Hold { until: Timestamp(1_800_000_000_000) }),
        ],
        disposition: Disposition::Tasks(vec![
            task(Channel::Email, Address::Email("alice@example.com".into()), None),
            task(Channel::Sms, Address::Phone("+4915112345678".into()), Some(Timestamp(1_800_000_000_000))),
            task(Channel::Push, Address::PushToken("token".into()), None),
            task(Channel::Webhook, Address::Url("https://hooks.example.com/a".into()), None),
            task(Channel::InApp, Address::User("alice".into()), None),
            task(Channel::Chat, Address::Provider, None),
        ]),
        claims: vec![PlanClaim { key: ClaimKey(9), expires_at: Timestamp(1_800_000_300_000), body_hash: 42 }],
        group: None,
        presentation: Presentation::default(),
        delivery: Default::default(),
        campaign: None,
        personal: Default::default(),
    }
}

fn skipped(reason: SkipReason) -> Plan {
    Plan { user_id: None, disposition: Disposition::Skipped(reason), claims: Vec::new(), ..plan() }
}

fn event() -> Event {
    Event {
        channel: Some(Channel::Email),
        provider: Some("mail".into()),
        provider_message_id: Some("<1@example.com>".into()),
        reason: Some("451 try again later".into()),
        due: Some(Timestamp(1_800_000_060_000)),
        ..Event::new(TaskId { position: place(), ordinal: 2 }, 3, EventKind::Scheduled, Timestamp(1_800_000_000_000))
    }
}

fn letter_key() -> DeadLetterKey {
    let task = TaskId { position: place(), ordinal: 255 };
    DeadLetterKey { tenant: "".into(), at: Timestamp(1_800_000_000_000), task }
}

fn letter(cause: DeadLetterCause) -> DeadLetter {
    DeadLetter { key: letter_key(), reason: "it is damaged".into(), cause }
}

fn in_buffer(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut bytes);
    bytes
}

/// Compares what is written today with the file that the first binary of this version wrote. The files are written where
/// `FANFARE_WRITE_GOLDEN` is set, for a new version only: those that are there never change.
pub(crate) fn check_golden(name: &str, bytes: &[u8]) -> Vec<u8> {
    let path = golden_path(name);
    if std::env::var_os("FANFARE_WRITE_GOLDEN").is_some() && !path.exists() {
        std::fs::write(&path, bytes).expect("the golden file can be written");
    }
    let golden = read_golden(name);
    assert_eq!(bytes, golden, "{name}: the shape of a released version changed; make a new version instead");
    golden
}

fn read_golden(name: &str) -> Vec<u8> {
    let path = golden_path(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn golden_path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/codec/golden").join(name)
}

#[test]
fn books_that_say_which_rows_they_have_are_read_as_they_were_and_those_before_them_too() {
    let mut books = Books::default();
    books.add(Source::Http, BookColumn::In, 7);
    let but =
        vec![Uncounted { first: 5, last: 9, blocks: vec![1, 2] }, Uncounted { first: -1, last: 0, blocks: vec![] }];
    let counted = Counted { up_to: 1_800_000_000_000_000, process: 77, but };
    // Columns may be added, as in books that say nothing of their rows.
    for golden in [
        read_golden("counted_books_v2.bin"),
        read_golden("counted_books_of_20_columns_v2.bin"),
        check_golden("counted_books_of_21_columns_v2.bin", &encode_counted_books(&books, &counted)),
    ] {
        assert_eq!(decode_counted_books(&golden), Ok((books, Some(counted.clone()))));
    }
    assert_eq!(decode_counted_books(&encode_books(&books)), Ok((books, None)));
}

#[test]
fn what_version_1_wrote_is_read_and_written_the_same() {
    let golden = check_golden("request_v1.bin", &encode_request(&request()));
    assert_eq!(decode_request(&golden), Ok(request()));

    let duplicate = skipped(SkipReason::Duplicate { of: NotificationId(place()) });
    for (name, plan) in [("plan_v1.bin", plan()), ("plan_skipped_v1.bin", duplicate)] {
        // Plans are written as version 2 since.
        assert_eq!(decode_plan(place(), &read_golden(name)), Ok(plan));
    }

    let golden = check_golden("event_v1.bin", &in_buffer(|bytes| encode_event(&event(), bytes)));
    assert_eq!(decode_event(place(), &golden), Ok(event()));
    let event = Event { occasion: 0xfeed, by_machine: true, cost: 100, ..event() };
    let golden = check_golden("event_v2.bin", &in_buffer(|bytes| encode_event(&event, bytes)));
    assert_eq!(decode_event(place(), &golden), Ok(event));

    let key = ClaimKey(1 << 127 | 5);
    let claim = ClaimRow { key, owner: place(), body_hash: u64::MAX, expires_at: Timestamp(1_800_000_000_000) };
    let golden = check_golden("claim_v1.bin", &encode_claim(&claim));
    assert_eq!(decode_claim(key, &golden), Ok(claim));

    for (name, cause) in [
        ("dead_letter_task_v1.bin", DeadLetterCause::Task { channel: Channel::Sms, attempt: 4 }),
        ("dead_letter_record_v1.bin", DeadLetterCause::Record { body: vec![0, 255, 1].into() }),
    ] {
        let golden = check_golden(name, &encode_dead_letter(&letter(cause.clone())));
        assert_eq!(decode_dead_letter(letter_key(), &golden), Ok(letter(cause)));
    }

    let key = TimerKey { due: Timestamp(1_800_000_000_000), offset: 4711, ordinal: 1, attempt: 2 };
    let timer = TimerRow { key, channel: Channel::Chat, endpoint: 7 };
    let golden = check_golden("timer_v1.bin", &encode_timer(&timer));
    assert_eq!(decode_timer(key, &golden), Ok(timer));

    let mut books = Books::default();
    books.add(Source::Http, BookColumn::In, 1_000_000);
    books.add(Source::Schedule, BookColumn::Waiting, -3);
    // They tell how many columns they have, of which there are more since.
    assert_eq!(decode_books(&read_golden("books_v1.bin")), Ok(books));
    assert_eq!(decode_books(&read_golden("books_of_20_columns_v1.bin")), Ok(books));
    let golden = check_golden("books_of_21_columns_v1.bin", &encode_books(&books));
    assert_eq!(decode_books(&golden), Ok(books));

    let cursors = Cursors { task_block: 12, timer_bucket: 6_000_000 };
    let golden = check_golden("cursors_v1.bin", &encode_cursors(&cursors));
    assert_eq!(decode_cursors(&golden), Ok(cursors));

    let golden = check_golden("mark_v1.bin", &encode_mark(1 << 47));
    assert_eq!(decode_mark(&golden), Ok(1 << 47));
}

/// One of each kind, and of what may be missing one where it is.
fn user_entries() -> Vec<UserEntry> {
    let at = Timestamp(1_800_000_000_000);
    let device = |dead_since| Device {
        platform: Platform::Android,
        token: "token:1".into(),
        registered_at: at,
        seen_at: Timestamp(1_800_000_000_001),
        dead_since,
    };
    let quiet = QuietHours::new(TimeOfDay::new(22, 0).expect("a time"), TimeOfDay::new(7, 30).expect("a time"));
    vec![
        UserEntry::Created(Some(at)),
        UserEntry::Created(None),
        UserEntry::Email(Some("alice@example.com".into())),
        UserEntry::Email(None),
        UserEntry::Phone(Some("+4915112345678".into())),
        UserEntry::Locale(Some("de-DE".into())),
        UserEntry::Timezone(Some("Europe/Berlin".into())),
        UserEntry::Attribute { name: "tier".into(), value: Some("\"gold\"".into()) },
        UserEntry::Attribute { name: "tier".into(), value: None },
        UserEntry::Device { id: "phone".into(), device: Some(device(None)) },
        UserEntry::Device { id: "phone".into(), device: Some(device(Some(at))) },
        UserEntry::Device { id: "phone".into(), device: None },
        UserEntry::Preference { category: "social".into(), channel: Channel::Webhook, enabled: Some(false) },
        UserEntry::Preference { category: "social".into(), channel: Channel::Email, enabled: None },
        UserEntry::QuietHours(QuietChoice::Usual),
        UserEntry::QuietHours(QuietChoice::Never),
        UserEntry::QuietHours(QuietChoice::Own(quiet.expect("a window"))),
        UserEntry::DigestHour(Some(23)),
        UserEntry::PreferredChannel(Some(Channel::InApp)),
        UserEntry::PreferredChannel(None),
    ]
}

fn suppression() -> Suppression {
    Suppression {
        sealed_address: None,
        address: Some("alice@example.com".into()),
        cause: SuppressionCause::Manual,
        since: Timestamp(1_800_000_000_000),
        until: Some(Timestamp(1_800_000_060_000)),
    }
}

#[test]
fn what_version_1_wrote_of_users_is_read_and_written_the_same() {
    // Each with its length before it.
    let mut all = Vec::new();
    for entry in user_entries() {
        let bytes = encode_user_entry(&entry);
        assert_eq!(decode_user_entry(&bytes), Ok(entry));
        all.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
        all.extend(bytes);
    }
    let golden = check_golden("user_entries_v1.bin", &all);
    let (mut rest, mut read) = (&golden[..], Vec::new());
    while let Some((length, bytes)) = rest.split_first_chunk::<4>() {
        let (entry, more) = bytes.split_at(u32::from_be_bytes(*length) as usize);
        read.push(decode_user_entry(entry).expect("an entry"));
        rest = more;
    }
    assert_eq!(read, user_entries());

    let golden = check_golden("suppression_v1.bin", &encode_suppression(Some(&suppression())));
    assert_eq!(decode_suppression(&golden), Ok(Some(suppression())));
    let golden = check_golden("suppression_lifted_v1.bin", &encode_suppression(None));
    assert_eq!(decode_suppression(&golden), Ok(None));
}

#[test]
fn what_version_2_wrote_is_read_and_written_the_same() {
    let mut request = request();
    request.idempotency = request.idempotency.map(|retry| Idempotency { batch: Some(ClaimKey(1 << 90)), ..retry });
    let golden = check_golden("request_v2.bin", &encode_request(&request));
    assert_eq!(decode_request(&golden), Ok(request));

    let duplicate = skipped(SkipReason::Duplicate { of: NotificationId(place()) });
    let mut held = plan();
    held.decisions.extend([
        Decision { step: Step::Consent, channel: Some(Channel::Push), verdict: Verdict::Skip(SkipReason::NoConsent) },
        Decision { step: Step::Suppression, channel: None, verdict: Verdict::Skip(SkipReason::Suppressed) },
    ]);
    for (name, plan) in [("plan_v2.bin", held), ("plan_skipped_v2.bin", duplicate)] {
        let golden = check_golden(name, &in_buffer(|bytes| encode_plan(&plan, bytes)));
        assert_eq!(decode_plan(place(), &golden), Ok(plan));
    }

    let foreign = ForeignLetter {
        body: vec![b'{', 0, 255].into(),
        size: 10 << 20,
        content_type: Some("application/json".into()),
        idempotency_key: Some(vec![1, 2].into()),
        tenant: None,
        is_whole: false,
    };
    let letter = letter(DeadLetterCause::Foreign(Box::new(foreign)));
    let golden = check_golden("dead_letter_foreign_v2.bin", &encode_dead_letter(&letter));
    assert_eq!(decode_dead_letter(letter_key(), &golden), Ok(letter));
}

#[test]
fn what_version_3_wrote_is_read_and_written_the_same() {
    let mut request = request();
    request.local_time = TimeOfDay::new(8, 30);
    request.idempotency = request.idempotency.map(|retry| Idempotency { batch: Some(ClaimKey(1 << 90)), ..retry });
    let golden = check_golden("request_v3.bin", &encode_request(&request));
    assert_eq!(decode_request(&golden), Ok(request));
}

#[test]
fn what_was_first_written_of_presentations_is_read_and_written_the_same() {
    let aggregate = Aggregate { key: "like:1".into(), actor: None, window_seconds: None };
    let mut request =
        NotificationRequest { locale: Some("zh-Hant-TW".into()), aggregate: Some(aggregate), ..request() };
    request.local_time = TimeOfDay::new(8, 30);
    let golden = check_golden("request_v5.bin", &encode_request(&request));
    assert_eq!(decode_request(&golden), Ok(request));
    let until = Timestamp(1_800_000_300_000);
    let group = Group { key: ClaimKey(9), actor: None, until, is_first: false, gathered: None };
    let presentation =
        Presentation { locale: Some("zh-Hant-TW".into()), zone: Some("Asia/Taipei".into()), variant: Some("b".into()) };
    let plan = Plan { group: Some(group), presentation, ..plan() };
    let golden = check_golden("plan_v4.bin", &in_buffer(|bytes| encode_plan(&plan, bytes)));
    assert_eq!(decode_plan(place(), &golden), Ok(plan));
}

#[test]
fn what_was_first_written_of_groups_is_read_and_written_the_same() {
    let mut request = request();
    let aggregate = Aggregate { key: "like:1".into(), actor: Some("Alice".into()), window_seconds: Some(60) };
    request.aggregate = Some(aggregate);
    request.idempotency = request.idempotency.map(|retry| Idempotency { batch: Some(ClaimKey(1 << 90)), ..retry });
    let golden = check_golden("request_v4.bin", &encode_request(&request));
    assert_eq!(decode_request(&golden), Ok(request));
    let until = Timestamp(1_800_000_300_000);
    let group = Group { key: ClaimKey(9), actor: Some("Alice".into()), until, is_first: true, gathered: None };
    let into = Position::new(place().shard, 5);
    let plan = Plan { group: Some(group), disposition: Disposition::Merged { into }, ..plan() };
    let golden = check_golden("plan_v3.bin", &in_buffer(|bytes| encode_plan(&plan, bytes)));
    assert_eq!(decode_plan(place(), &golden), Ok(plan));
    let joined = Joined { offset: 7, actor: Some("Bob".into()), data: Some("{}".into()) };
    let gathered =
        Gathered { count: 3, actors: vec!["Alice".into(), "Bob".into()], actor_count: 3, items: vec!["{}".into()] };
    let entries = [
        ("group_joined_v1.bin", GroupEntry::Joined(vec![joined.clone(), Joined { actor: None, data: None, ..joined }])),
        ("group_left_v1.bin", GroupEntry::Left(7)),
        ("group_closed_v1.bin", GroupEntry::Closed(gathered, Told { below: 3, also: vec![5] })),
    ];
    for (name, entry) in entries {
        let golden = check_golden(name, &encode_group_entry(&entry));
        assert_eq!(decode_group_entry(&golden), Ok(entry));
    }
}

#[test]
fn bytes_that_are_no_value_say_what_is_wrong() {
    let whole = encode_request(&request());
    assert_eq!(decode_request(&[]), Err(CodecError::Empty));
    assert_eq!(decode_request(&[9]), Err(CodecError::UnknownVersion(9)));
    let damaged = |bytes: &[u8]| matches!(decode_request(bytes), Err(CodecError::Damaged(_)));
    for length in 1..whole.len() {
        assert!(damaged(&whole[..length]), "cut after {length}");
    }
    assert!(damaged(&[&whole[..], &[0]].concat()), "a byte too many");
}

#[test]
fn a_length_that_lies_allocates_nothing() {
    // A tenant of 2^60 bytes.
    let mut bytes = vec![VERSION, 253];
    bytes.extend_from_slice(&(1u64 << 60).to_le_bytes());
    assert!(matches!(decode_request(&bytes), Err(CodecError::Damaged(_))));
    // A list of 2^60 counts.
    let mut bytes = vec![VERSION, 14, 253];
    bytes.extend_from_slice(&(1u64 << 60).to_le_bytes());
    assert!(matches!(decode_books(&bytes), Err(CodecError::Damaged(_))));
}

fn text() -> impl Strategy<Value = Box<str>> {
    ".{0,40}".prop_map(String::into_boxed_str)
}

fn maybe_text() -> impl Strategy<Value = Option<Box<str>>> {
    prop::option::of(text())
}

fn any_time() -> impl Strategy<Value = Timestamp> {
    any::<u64>().prop_map(Timestamp)
}

fn maybe_time() -> impl Strategy<Value = Option<Timestamp>> {
    prop::option::of(any_time())
}

fn any_channel() -> impl Strategy<Value = Channel> {
    prop::sample::select(Channel::ALL.to_vec())
}

fn any_source() -> impl Strategy<Value = Source> {
    prop::sample::select(Source::ALL.to_vec())
}

fn any_routing() -> impl Strategy<Value = Routing> {
    any::<bool>().prop_map(|all| if all { Routing::All } else { Routing::Fallback })
}

fn any_place() -> impl Strategy<Value = Position> {
    (any::<u8>(), prop::sample::select(Priority::ALL.to_vec()), any::<u16>(), 0u64..1 << 48).prop_map(
        |(generation, lane, partition, offset)| Position::new(ShardId { generation, lane, partition }, offset),
    )
}

fn any_content() -> impl Strategy<Value = Content> {
    prop_oneof![
        text().prop_map(|code| Content::Template { code }),
        (text(), text(), maybe_text(), maybe_text()).prop_map(|(title, body, html, sms)| Content::Inline {
            title,
            body,
            html,
            sms
        }),
    ]
}

fn any_request() -> impl Strategy<Value = NotificationRequest> {
    let people = (text(), (maybe_text(), maybe_text()), [maybe_text(), maybe_text(), maybe_text(), maybe_text()]);
    let what = (any_content(), text(), maybe_text(), text(), prop::collection::vec(any_channel(), 0..8));
    let local_time =
        prop::option::of((0u16..24 * 60).prop_map(|minutes| TimeOfDay::from_minutes(minutes).expect("below a day")));
    let when = (maybe_time(), (local_time, maybe_time()), any_time(), any_routing(), any_source());
    let repeats = (maybe_text(), any::<Option<u32>>(), any::<Option<(u128, u64, Option<u128>)>>());
    (people, what, when, repeats, prop::sample::select(Priority::ALL.to_vec())).prop_map(
        |(people, what, when, repeats, priority)| {
            let (tenant, (user_id, locale), [email, phone, push_token, url]) = people;
            let (content, data, category, metadata, channels) = what;
            let (deliver_at, (local_time, expires_at), accepted_at, routing, source) = when;
            let (dedup_key, dedup_window_seconds, idempotency) = repeats;
            let idempotency = idempotency.map(|(key, body_hash, batch)| Idempotency {
                key: ClaimKey(key),
                body_hash,
                batch: batch.map(ClaimKey),
            });
            let to = Recipient { email, phone, push_token, chat: None, url };
            NotificationRequest {
                campaign: None,
                tenant,
                user_id,
                to,
                content,
                data,
                category,
                locale,
                priority,
                channels,
                routing,
                deliver_at,
                local_time,
                expires_at,
                dedup_key,
                dedup_window_seconds,
                aggregate: None,
                attachments: Vec::new(),
                collapse_key: None,
                idempotency,
                metadata,
                source,
                accepted_at,
            }
        },
    )
}

fn any_reason() -> impl Strategy<Value = SkipReason> {
    prop_oneof![
        any_place().prop_map(|place| SkipReason::Duplicate { of: NotificationId(place) }),
        prop::sample::select(vec![
            SkipReason::Expired,
            SkipReason::Cancelled,
            SkipReason::NoAddress,
            SkipReason::NoProvider,
            SkipReason::DeliveredElsewhere,
            SkipReason::NoConsent,
            SkipReason::Suppressed,
            SkipReason::Fatigue,
            SkipReason::DailyCap,
            SkipReason::Erased,
            SkipReason::Budget,
            SkipReason::HeldBack,
        ]),
    ]
}

fn any_decision() -> impl Strategy<Value = Decision> {
    let verdict = prop_oneof![
        Just(Verdict::Pass),
        any_reason().prop_map(Verdict::Skip),
        any_time().prop_map(|until| Verdict::Hold { until }),
        any_place().prop_map(|into| Verdict::Merge { into: NotificationId(into) }),
    ];
    (prop::sample::select(Step::ALL.to_vec()), prop::option::of(any_channel()), verdict)
        .prop_map(|(step, channel, verdict)| Decision { step, channel, verdict })
}

fn any_task() -> impl Strategy<Value = TaskSpec> {
    let address = prop_oneof![
        text().prop_map(Address::Email),
        text().prop_map(Address::Phone),
        text().prop_map(Address::PushToken),
        text().prop_map(Address::Url),
        text().prop_map(Address::User),
        (prop::sample::select(Platform::ALL.to_vec()), text())
            .prop_map(|(platform, token)| Address::Device(platform, token)),
        text().prop_map(Address::Chat),
        Just(Address::Provider),
    ];
    (any_channel(), address, maybe_time(), any::<u32>()).prop_map(|(channel, address, due, endpoint)| TaskSpec {
        channel,
        address,
        due,
        endpoint,
    })
}

pub(crate) fn any_plan() -> impl Strategy<Value = Plan> {
    let disposition = prop_oneof![
        prop::collection::vec(any_task(), 1..4).prop_map(Disposition::Tasks),
        any_reason().prop_map(Disposition::Skipped),
        any_place().prop_map(|into| Disposition::Merged { into }),
    ];
    let claims = prop::collection::vec((any::<u128>(), any_time(), any::<u64>()), 0..3);
    (any_place(), any_request(), prop::collection::vec(any_decision(), 0..6), disposition, claims).prop_map(
        |(position, request, decisions, disposition, claims)| Plan {
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
            presentation: Presentation { locale: request.locale, ..Presentation::default() },
            delivery: Default::default(),
            campaign: None,
            personal: Default::default(),
            decisions,
            disposition,
            claims: claims
                .into_iter()
                .map(|(key, expires_at, body_hash)| PlanClaim { key: ClaimKey(key), expires_at, body_hash })
                .collect(),
            group: None,
        },
    )
}

fn any_event() -> impl Strategy<Value = Event> {
    let texts = (maybe_text(), maybe_text(), maybe_text());
    let key = (any_place(), any::<u8>(), any::<u8>(), prop::sample::select(EventKind::ALL.to_vec()));
    let more = (any::<u64>(), any::<bool>(), any::<u64>());
    let more = prop_oneof![Just((0, false, 0)), more];
    (key, texts, any_time(), maybe_time(), prop::option::of(any_channel()), more).prop_map(
        |((position, ordinal, attempt, kind), (provider, provider_message_id, reason), at, due, channel, more)| Event {
            task: TaskId { position, ordinal },
            attempt,
            kind,
            at,
            channel,
            provider,
            provider_message_id,
            reason,
            due,
            occasion: more.0,
            by_machine: more.1,
            cost: more.2,
        },
    )
}

fn any_entry() -> impl Strategy<Value = UserEntry> {
    let device = (prop::sample::select(Platform::ALL.to_vec()), text(), [any_time(), any_time()], maybe_time());
    let device = device.prop_map(|(platform, token, [registered_at, seen_at], dead_since)| Device {
        platform,
        token,
        registered_at,
        seen_at,
        dead_since,
    });
    let times = (0u16..1440, 1u16..1440).prop_map(|(from, length)| {
        let time = |minutes| TimeOfDay::from_minutes(minutes % 1440).expect("below a day");
        QuietHours::new(time(from), time(from + length)).expect("two times")
    });
    let quiet = prop_oneof![Just(QuietChoice::Usual), Just(QuietChoice::Never), times.prop_map(QuietChoice::Own)];
    prop_oneof![
        maybe_time().prop_map(UserEntry::Created),
        maybe_text().prop_map(UserEntry::Email),
        maybe_text().prop_map(UserEntry::Phone),
        maybe_text().prop_map(UserEntry::Locale),
        maybe_text().prop_map(UserEntry::Timezone),
        (text(), maybe_text()).prop_map(|(name, value)| UserEntry::Attribute { name, value }),
        (text(), prop::option::of(device)).prop_map(|(id, device)| UserEntry::Device { id, device }),
        (text(), any_channel(), any::<Option<bool>>()).prop_map(|(category, channel, enabled)| UserEntry::Preference {
            category,
            channel,
            enabled
        }),
        quiet.prop_map(UserEntry::QuietHours),
        any::<Option<u8>>().prop_map(UserEntry::DigestHour),
        prop::option::of(any_channel()).prop_map(UserEntry::PreferredChannel),
    ]
}

fn any_suppression() -> impl Strategy<Value = Suppression> {
    (maybe_text(), prop::sample::select(SuppressionCause::ALL.to_vec()), any_time(), maybe_time())
        .prop_map(|(address, cause, since, until)| Suppression { address, sealed_address: None, cause, since, until })
}

proptest! {
    #[test]
    fn what_is_known_of_a_user_read_back_is_what_was_written(entry in any_entry()) {
        prop_assert_eq!(decode_user_entry(&encode_user_entry(&entry)), Ok(entry));
    }

    #[test]
    fn a_suppression_read_back_is_the_one_written(suppression in prop::option::of(any_suppression())) {
        prop_assert_eq!(decode_suppression(&encode_suppression(suppression.as_ref())), Ok(suppression));
    }

    #[test]
    fn a_request_read_back_is_the_one_written(request in any_request()) {
        prop_assert_eq!(decode_request(&encode_request(&request)), Ok(request));
    }

    #[test]
    fn a_plan_read_back_is_the_one_written(plan in any_plan()) {
        let bytes = in_buffer(|bytes| encode_plan(&plan, bytes));
        prop_assert_eq!(decode_plan(plan.position, &bytes), Ok(plan));
    }

    #[test]
    fn an_event_read_back_is_the_one_written(event in any_event()) {
        let bytes = in_buffer(|bytes| encode_event(&event, bytes));
        prop_assert_eq!(decode_event(event.task.position, &bytes), Ok(event));
    }

    #[test]
    fn any_bytes_are_read_or_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), version in 0u8..5) {
        for bytes in [&bytes[..], &[&[version], &bytes[..]].concat()] {
            let _ = decode_request(bytes);
            let _ = decode_plan(place(), bytes);
            let _ = decode_event(place(), bytes);
            let _ = decode_claim(ClaimKey(0), bytes);
            let _ = decode_dead_letter(letter_key(), bytes);
            let _ = decode_timer(TimerKey::default(), bytes);
            let _ = decode_counted_books(bytes);
            let _ = decode_cursors(bytes);
            let _ = decode_mark(bytes);
            let _ = decode_user_entry(bytes);
            let _ = decode_suppression(bytes);
            let _ = decode_group_entry(bytes);
        }
    }

    #[test]
    fn a_flipped_bit_never_panics(at in 0usize..10_000, bit in 0u8..8) {
        let mut bytes = encode_request(&request());
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        let _ = decode_request(&bytes);
    }
}

#[test]
fn changes_of_templates_are_read_as_they_were_written() {
    let actions = [
        TemplateAction::Saved { version: 1, body: 1 << 127 | 5, comment: None },
        TemplateAction::Saved { version: 2, body: 6, comment: Some("a new price".into()) },
        TemplateAction::MadeCurrent { version: 1 },
        TemplateAction::Activated,
        TemplateAction::Deactivated,
        TemplateAction::Deleted,
        TemplateAction::VersionDeleted { version: 2 },
    ];
    for (index, action) in actions.into_iter().enumerate() {
        let at = Timestamp(1_800_000_000_000);
        let change = TemplateChange { number: 7, code: "welcome".into(), action, by: "key 1".into(), at };
        let name = format!("template_change_{index}_v1.bin");
        let golden = check_golden(&name, &encode_template_change(&change));
        assert_eq!(decode_template_change(7, &golden), Ok(change));
    }
}

#[test]
fn a_template_is_read_as_it_was_written_and_not_where_it_says_more_than_is_known() {
    let text = r#"{"code":"welcome","description":"d","category":"transactional","default_locale":"en","sms_segments_max":2,
        "variables":[{"name":"n","type":"number","required":false,"example":1.5}],
        "locales":{"en":{"title":"t","body":"b","html":"<p>","sms":"s","push":{"title":"p","data":{"k":"v"}},"voice":"v"}},
        "experiment":{"name":"x","hold_back":10,"variants":[{"name":"b","weight":90,"locales":{"en":{"title":"u"}}}]}}"#;
    let source: TemplateSource = serde_json::from_str(text).expect("a template");
    let golden = check_golden("template_v1.bin", &encode_template(&source));
    assert_eq!(decode_template(&golden), Ok(source));
    let newer = [b"\x01".as_slice(), br#"{"code":"a","locales":{},"more":1}"#].concat();
    assert!(matches!(decode_template(&newer), Err(CodecError::Damaged(_))));
    assert_eq!(decode_template(b"\x02{}"), Err(CodecError::UnknownVersion(2)));
    assert_eq!(decode_template(b""), Err(CodecError::Empty));
}

#[test]
fn a_run_of_a_schedule_is_read_as_it_was_written() {
    let run = ScheduleRun {
        due_at: Timestamp(1_800_000_000_000),
        started_at: Timestamp(1_800_000_000_250),
        kind: RunKind::CaughtUp,
        state: RunState::Failed,
        missed: 2,
        version: 3,
        key: u128::MAX - 1,
        campaigns: vec![CampaignId(7), CampaignId(u128::MAX)],
        events: 1,
        error: Some("/send/template: there is no template `gone`".into()),
    };
    let golden = check_golden("schedule_run_v1.bin", &encode_schedule_run(&run));
    assert_eq!(decode_schedule_run(&golden), Ok(run));
    assert_eq!(decode_schedule_run(b"\x02more"), Err(CodecError::UnknownVersion(2)));
    let of_unknown_kind = [&golden[..19], &[9], &golden[20..]].concat();
    assert!(matches!(decode_schedule_run(&of_unknown_kind), Err(CodecError::Damaged(_))), "{of_unknown_kind:?}");
}

#[test]
fn what_is_archived_is_read_as_it_was_written() {
    let counts = ArchiveCounts { written: 2000, dropped: 1999, files: 3, bytes: 70_000, left_open: 4 };
    let order = ArchiveOrder {
        id: ArchiveId(7),
        tenant: Some("acme".into()),
        made_at: Timestamp(1_800_000_000_000),
        before: Timestamp(1_799_000_000_000),
        state: ArchiveState::Failed,
        counts,
        ended_at: Some(Timestamp(1_800_000_060_000)),
        error: Some("there is no place for files".into()),
    };
    let golden = check_golden("archive_order_v1.bin", &encode_archive_order(&order));
    assert_eq!(decode_archive_order(ArchiveId(7), &golden), Ok(order));
    let piece = ArchivePiece {
        order: ArchiveId(7),
        shard: crate::store::conformance::shard(3),
        picks: vec![(5, vec![5 * 1024, 5 * 1024 + 1023]), (9, vec![9 * 1024 + 17])],
        next: Some(10),
        left: vec![6],
        cleared: vec![5],
        is_checked: true,
        counts,
    };
    let golden = check_golden("archive_piece_v1.bin", &encode_archive_piece(&piece));
    assert_eq!(decode_archive_piece(&golden), Ok(piece));
}

#[test]
fn a_definition_is_read_as_it_was_written_also_a_deleted_one() {
    let saved = Definition {
        kind: DefinitionKind::Rule,
        name: "welcome".into(),
        version: 3,
        body: Some(r#"{"event":"user.registered"}"#.into()),
        changed_at: Timestamp(1_800_000_000_000),
    };
    let deleted = Definition { version: 4, body: None, ..saved.clone() };
    for (name, definition) in [("definition_v1.bin", saved), ("definition_deleted_v1.bin", deleted)] {
        let golden = check_golden(name, &encode_definition(&definition));
        let read = decode_definition(DefinitionKind::Rule, "welcome", definition.version, &golden);
        assert_eq!(read, Ok(definition));
    }
    let newer = decode_definition(DefinitionKind::Rule, "welcome", 1, b"\x02more");
    assert_eq!(newer, Err(CodecError::UnknownVersion(2)));
}

#[test]
fn a_subscription_and_an_entry_of_an_index_are_read_as_they_were_written() {
    let subscription = Subscription {
        channel: SubscriptionChannel::Sms,
        is_active: false,
        since: Timestamp(1_700_000_000_000),
        changed_at: Timestamp(1_700_000_100_000),
    };
    let golden = check_golden("subscription_v1.bin", &encode_subscription(&subscription));
    assert_eq!(decode_subscription(&golden), Ok(subscription));
    let value = "\"2026-12-01\"";
    let golden = check_golden("index_entry_v1.bin", &encode_index_entry(value));
    assert_eq!(decode_index_entry(&golden), Ok(value));
    assert_eq!(decode_index_entry(&[1]), Ok(""));
    for damaged in [&b""[..], b"\x02more", b"\x01\xff"] {
        assert!(decode_index_entry(damaged).is_err() && decode_subscription(damaged).is_err());
    }
    // A channel of a later binary is no other channel.
    assert!(decode_subscription(&[1, 4, 1, 0, 0]).is_err());
}

#[test]
fn a_topic_its_messages_and_its_groups_are_read_as_they_were_written() {
    let at = Timestamp(1_800_000_000_000);
    let topic = Topic {
        incarnation: u64::MAX,
        created_at: at,
        retention_seconds: 604_800,
        messages_max: 1_000_000,
        kafka: true,
        tail_block: 3,
        first: 1_025,
    };
    let golden = check_golden("topic_v1.bin", &encode_topic(&topic));
    assert_eq!(decode_topic(&golden), Ok(topic));
    let message = TopicMessage {
        id: MessageId::new(at, 77),
        published_at: at,
        retry: Some(7),
        key: Some("order-1".into()),
        data: r#"{"a":1}"#.into(),
        attributes: vec![("kind".into(), "test".into())],
    };
    let plain = TopicMessage { retry: None, key: None, attributes: Vec::new(), ..message.clone() };
    for (name, message) in [("topic_message_v1.bin", message), ("topic_message_plain_v1.bin", plain)] {
        let golden = check_golden(name, &encode_topic_message(&message));
        assert_eq!(decode_topic_message(&golden), Ok(message));
    }
    let group = TopicGroup { created_at: at, next: 90, pending: vec![(3, 1), (80, 300)] };
    let golden = check_golden("topic_group_v1.bin", &encode_topic_group(&group));
    assert_eq!(decode_topic_group(&golden), Ok(group));
    assert_eq!(MessageId::parse(&MessageId::new(at, 77).to_string()), Some(MessageId::new(at, 77)));
    assert_eq!((MessageId::new(at, 77).due(), MessageId::parse("msg_77")), (at, None));
}
