//! Limits that must fit together, looked at once, at start.

use std::collections::HashSet;
use std::time::Duration;

use super::planning;
use super::tracking;
use super::{Attachments, ByteSize, Config, CoordinationBackend, Http, LogBackend, Provider, StoreBackend};
use crate::domain::{self, Channel, Priority};
use crate::telemetry;

/// The key of the default configuration, which everybody knows.
const DEV_KEY: &str = "dev";

/// The longest a group commit may wait: it is latency that every caller feels.
const GROUP_COMMIT_MAX: Duration = Duration::from_millis(5);

/// The first thing that cannot work, in words; nothing if all fits.
pub(super) fn refuse(config: &Config) -> Result<(), String> {
    http(&config.http)?;
    log_and_store(config)?;
    cluster(config)?;
    planning::refuse(config)?;
    dispatch(config)?;
    attachments(&config.attachments)?;
    day_attributes(&config.users.day_attributes)?;
    archive(config)?;
    tracking::refuse(&config.tracking)?;
    telemetry::check_log_filter(&config.telemetry.log_filter)?;
    providers(&config.providers)
}

/// As `archive::AGE_MIN`: so long after the last thing that happened to it a notification is left alone: what comes to it late must find it.
const KEPT_MIN: Duration = Duration::from_secs(86_400);

fn archive(config: &Config) -> Result<(), String> {
    ensure(
        config.retention.notifications.is_none_or(|age| age >= KEPT_MIN),
        "`retention.notifications` must be at least \"1d\", or \"off\"",
    )?;
    let within = |kept: Duration, most| (KEPT_MIN..=most).contains(&kept);
    ensure(within(config.retention.inbox, domain::DATED_KEPT), "`retention.inbox` must be \"1d\" to \"180d\"")?;
    ensure(within(config.retention.audit, domain::AUDIT_KEPT), "`retention.audit` must be \"1d\" to \"400d\"")?;
    ensure(!config.archive.region.is_empty(), "`archive.region` is empty: write it as \"eu-west-1\"")
}

fn day_attributes(patterns: &[String]) -> Result<(), String> {
    for pattern in patterns {
        let name = pattern.strip_prefix('*').or_else(|| pattern.strip_suffix('*')).unwrap_or(pattern);
        ensure(
            !name.is_empty() && !name.contains('*'),
            &format!(
                "`users.day_attributes` has `{pattern}`: give a name with at most one `*`, at its beginning or end"
            ),
        )?;
    }
    Ok(())
}

fn http(http: &Http) -> Result<(), String> {
    ensure(!http.keys.is_empty(), "`http.keys` is empty: nobody could use the API")?;
    let mut seen = HashSet::new();
    for (index, key) in http.keys.iter().enumerate() {
        let secret = key.key.expose();
        if secret == DEV_KEY && !http.listen.ip().is_loopback() {
            return Err(format!(
                "`http.listen` is {}, which others can reach, and the key \"dev\" is known to everybody: replace it in `http.keys`",
                http.listen
            ));
        }
        ensure(!secret.is_empty(), &format!("`http.keys.{index}.key` is empty"))?;
        ensure(
            secret.bytes().all(|byte| byte.is_ascii_graphic()),
            &format!("`http.keys.{index}.key` must be printable ASCII without spaces, or no client could send it"),
        )?;
        ensure(seen.insert(secret), &format!("`http.keys.{index}.key` is there twice"))?;
        ensure(
            !key.tenant.is_empty() && key.tenant.len() <= 64 && !key.tenant.chars().any(char::is_control),
            &format!("`http.keys.{index}.tenant` must have 1 to 64 bytes without control characters"),
        )?;
        ensure(
            key.name.as_ref().is_none_or(|name| {
                (1..=64).contains(&name.len()) && !name.chars().any(char::is_control) && name != secret
            }),
            &format!("`http.keys.{index}.name` must have 1 to 64 bytes without control characters, and is not the key"),
        )?;
        ensure(!key.scopes.is_empty(), &format!("`http.keys.{index}.scopes` is empty: the key could do nothing"))?;
        ensure(
            key.rate_per_second.is_none_or(|rate| rate.is_finite() && rate > 0.0),
            &format!("`http.keys.{index}.rate_per_second` must be above 0"),
        )?;
    }
    ensure(http.max_body >= ByteSize(1024), "`http.max_body` must be at least \"1 KiB\"")?;
    ensure(http.max_batch_body >= http.max_body, "`http.max_batch_body` must be at least `http.max_body`")?;
    ensure(http.max_batch_body <= ByteSize(64 << 20), "`http.max_batch_body` must be at most \"64 MiB\"")?;
    ensure(!http.request_timeout.is_zero(), "`http.request_timeout` must be above 0")?;
    ensure(http.max_in_flight > 0, "`http.max_in_flight` must be above 0")?;
    let has_scheme = http.public_url.starts_with("http://") || http.public_url.starts_with("https://");
    ensure(has_scheme, "`http.public_url` must start with http:// or https://")
}

fn log_and_store(config: &Config) -> Result<(), String> {
    ensure((1..=1024).contains(&config.log.partitions), "`log.partitions` must be 1 to 1024")?;
    let store = &config.store.embedded;
    ensure(!store.data_dir.as_os_str().is_empty(), "`store.embedded.data_dir` is empty")?;
    ensure(store.cache >= ByteSize(1 << 20), "`store.embedded.cache` must be at least \"1 MiB\"")?;
    ensure(store.write_buffer >= ByteSize(4 << 20), "`store.embedded.write_buffer` must be at least \"4 MiB\"")?;
    ensure(store.group_commit <= GROUP_COMMIT_MAX, "`store.embedded.group_commit` must be at most \"5ms\"")?;
    ensure((1..=65_536).contains(&config.intake.batch_records), "`intake.batch_records` must be 1 to 65536")?;
    ensure(
        config.intake.batch_bytes >= config.http.max_body,
        "`intake.batch_bytes` must be at least `http.max_body`: one record may be that large",
    )?;
    ensure(
        crate::domain::canonical_locale(&config.templates.locale).is_some(),
        "`templates.locale` is no language tag: write it as en, pt-BR or zh-Hans",
    )?;
    ensure(config.templates.max_output >= ByteSize(1024), "`templates.max_output` must be at least \"1 KiB\"")?;
    ensure(!config.compensation.interval.is_zero(), "`compensation.interval` must be above 0")?;
    ensure(
        Priority::ALL.into_iter().all(|priority| !config.promises.of(priority).is_zero()),
        "each of `promises` must be above 0",
    )?;
    let realtime = &config.realtime;
    ensure(realtime.max_connections > 0, "`realtime.max_connections` must be above 0")?;
    ensure(realtime.max_connections_per_user > 0, "`realtime.max_connections_per_user` must be above 0")?;
    ensure(realtime.heartbeat >= Duration::from_secs(1), "`realtime.heartbeat` must be at least \"1s\"")?;
    ensure(realtime.max_message >= ByteSize(1024), "`realtime.max_message` must be at least \"1 KiB\"")?;
    for origin in &realtime.allowed_origins {
        let is_origin = || url::Url::parse(origin).is_ok_and(|url| url.origin().ascii_serialization() == *origin);
        ensure(
            origin == "*" || is_origin(),
            &format!(
                "`realtime.allowed_origins` has `{origin}`: an origin is `https://www.example.com`, without a path or a slash"
            ),
        )?;
    }
    ensure(realtime.messages_per_second > 0, "`realtime.messages_per_second` must be above 0")?;
    ensure(realtime.calls_per_second > 0, "`realtime.calls_per_second` must be above 0")?;
    ensure(!config.dedup.idempotency.is_zero(), "`dedup.idempotency` must be above 0")
}

/// What a lease must leave beside the longest send: the writing of its outcome, and beats that come late.
pub const LEASE_ROOM: Duration = Duration::from_secs(10);

/// Settings of librdkafka that carry a promise: with others, records are taken that may be lost, committed before they are planned,
/// or waited for in vain.
const OWN_OPTIONS: [&str; 14] = [
    "acks",
    "request.required.acks",
    "enable.idempotence",
    "transactional.id",
    "delivery.report.only.error",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "auto.offset.reset",
    "group.id",
    "group.instance.id",
    "group.protocol",
    "partition.assignment.strategy",
    "bootstrap.servers",
    "metadata.broker.list",
];

fn cluster(config: &Config) -> Result<(), String> {
    let shares_log = config.log.backend == LogBackend::Kafka;
    ensure(
        shares_log == (config.store.backend == StoreBackend::Cql),
        "`log.backend` and `store.backend` must both be embedded, or be kafka and cql: a log that nodes share needs a store \
         that they share",
    )?;
    let kafka = &config.log.kafka;
    // 254 marks processes that own retry keys, 255 the spill.
    ensure(kafka.generation < 253, "`log.kafka.generation` must be 0 to 252")?;
    if let Some(name) = OWN_OPTIONS.into_iter().find(|name| kafka.options.contains_key(*name)) {
        return Err(format!("`log.kafka.options` sets `{name}`, which the engine relies on: leave it out"));
    }
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
    ensure(
        (1..=200).contains(&kafka.topic_prefix.len()) && kafka.topic_prefix.chars().all(is_plain),
        "`log.kafka.topic_prefix` must have 1 to 200 letters, digits, dots, - or _",
    )?;
    ensure(!kafka.group.is_empty(), "`log.kafka.group` is empty")?;
    ensure(kafka.replication > 0, "`log.kafka.replication` must be above 0")?;
    let cql = &config.store.cql;
    ensure(!cql.nodes.is_empty(), "`store.cql.nodes` is empty")?;
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    ensure(
        (1..=48).contains(&cql.keyspace.len())
            && cql.keyspace.starts_with(|letter: char| letter.is_ascii_alphabetic())
            && cql.keyspace.chars().all(is_name),
        "`store.cql.keyspace` must start with a letter and have 1 to 48 letters, digits or _",
    )?;
    ensure(cql.replication > 0, "`store.cql.replication` must be above 0")?;
    ensure(!cql.timeout.is_zero(), "`store.cql.timeout` must be above 0")?;
    ensure(!config.coordination.redis.timeout.is_zero(), "`coordination.redis.timeout` must be above 0")?;
    let longest = config.providers.iter().map(|provider| provider.timeout).max().unwrap_or_default();
    ensure(
        !shares_log || config.cluster.lease >= longest + LEASE_ROOM,
        &format!(
            "`cluster.lease` must be at least {}s: the longest `timeout` of a provider and {}s",
            (longest + LEASE_ROOM).as_secs(),
            LEASE_ROOM.as_secs()
        ),
    )
}

fn dispatch(config: &Config) -> Result<(), String> {
    let dispatch = &config.dispatch;
    ensure(
        dispatch.backlog_max >= config.intake.batch_records,
        "`dispatch.backlog_max` must be at least `intake.batch_records`: one batch would not fit",
    )?;
    ensure((0.0..=0.9).contains(&dispatch.critical_share), "`dispatch.critical_share` must be 0 to 0.9")?;
    ensure(
        dispatch.weights.iter().all(|weight| (1..=1000).contains(weight)),
        "`dispatch.weights` must be three numbers from 1 to 1000: a lane with 0 would never be served",
    )?;
    ensure(dispatch.breaker_failures > 0, "`dispatch.breaker_failures` must be above 0")?;
    ensure(!dispatch.breaker_pause.is_zero(), "`dispatch.breaker_pause` must be above 0")?;
    ensure(dispatch.endpoint_in_flight > 0, "`dispatch.endpoint_in_flight` must be above 0")?;
    ensure((0.0..=0.9).contains(&config.retry.jitter), "`retry.jitter` must be 0 to 0.9")?;
    // Attempts are counted in one byte, and 0 is none.
    ensure(config.retry.delays.len() <= 100, "`retry.delays` must have at most 100 entries")
}

fn attachments(attachments: &Attachments) -> Result<(), String> {
    ensure(!attachments.timeout.is_zero(), "`attachments.timeout` must be above 0")?;
    ensure(attachments.max_size.bytes() > 0, "`attachments.max_size` must be above 0")?;
    ensure(
        attachments.memory.bytes() / 2 >= attachments.max_size.bytes(),
        "`attachments.memory` must be at least twice `attachments.max_size`: a file is there as it came and within its mail",
    )
}

fn providers(providers: &[Provider]) -> Result<(), String> {
    let mut seen = HashSet::new();
    for provider in providers {
        let name = &provider.name;
        let plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
        ensure(
            (1..=64).contains(&name.len()) && name.chars().all(plain),
            &format!("provider `{name}`: a name must have 1 to 64 letters, digits, - or _"),
        )?;
        ensure(seen.insert(name), &format!("two providers are called `{name}`"))?;
        ensure(provider.max_in_flight > 0, &format!("provider `{name}`: `max_in_flight` must be above 0"))?;
        ensure(!provider.timeout.is_zero(), &format!("provider `{name}`: `timeout` must be above 0"))?;
        let positive = |rate: Option<f64>| rate.is_none_or(|rate| rate.is_finite() && rate > 0.0);
        ensure(positive(provider.rate_per_second), &format!("provider `{name}`: `rate_per_second` must be above 0"))?;
        ensure(
            provider.burst.is_none_or(|burst| burst.is_finite() && burst >= 1.0),
            &format!("provider `{name}`: `burst` must be at least 1"),
        )?;
        ensure(
            provider.cost.is_finite() && provider.cost >= 0.0,
            &format!("provider `{name}`: `cost` must be 0 or more"),
        )?;
        around_trouble(provider).map_err(|reason| format!("provider `{name}`: {reason}"))?;
    }
    Ok(())
}

/// The settings by which a provider gets more, or less, than its weight.
fn around_trouble(provider: &Provider) -> Result<(), String> {
    ensure(
        provider.canary.is_none_or(|share| share > 0.0 && share <= 0.5),
        "`canary` must be above 0 and at most 0.5: it is the share of the channel that a new provider gets",
    )?;
    if let Some(warm_up) = provider.warm_up {
        ensure(warm_up.per_day.is_finite() && warm_up.per_day > 0.0, "`warm_up.per_day` must be above 0")?;
        ensure(
            (1.0..=10.0).contains(&warm_up.growth),
            "`warm_up.growth` must be 1 to 10: so many times as much may go on each day as on the day before",
        )?;
    }
    if let Some(late) = provider.late_receipts {
        ensure(!late.within.is_zero(), "`late_receipts.within` must be above 0")?;
        ensure(
            late.share > 0.0 && late.share < 1.0,
            "`late_receipts.share` must be above 0 and below 1: that of messages without a receipt in time",
        )?;
    }
    Ok(())
}

/// What works and may surprise.
pub(super) fn warnings(config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut warn = |risky: bool, text: String| {
        if risky {
            warnings.push(text);
        }
    };
    warn(
        config.security.allow_private_addresses,
        "`security.allow_private_addresses` is on: whoever may send can reach internal addresses; only for tests"
            .to_owned(),
    );
    warn(
        !config.http.listen.ip().is_loopback() && config.http.public_url.contains("//127.0.0.1"),
        "`http.public_url` still points at 127.0.0.1: links in messages will lead nowhere".to_owned(),
    );
    let sends_mail = config.providers.iter().any(is_mail);
    warn(
        sends_mail && config.http.public_url.starts_with("http://") && !is_loopback(&config.http.public_url),
        "`http.public_url` begins with http://: mails can be unsubscribed with one click over https only, and large \
         receivers ask for that"
            .to_owned(),
    );
    warn(config.providers.is_empty(), "there are no providers: every notification will be skipped".to_owned());
    warn(
        config.retry.delays.is_empty(),
        "`retry.delays` is empty: a message is tried once, and then stands in the dead letters".to_owned(),
    );
    warn(
        config.dispatch.critical_share == 0.0,
        "`dispatch.critical_share` is 0: critical messages wait behind others for a provider's slots".to_owned(),
    );
    warn(
        config.log.backend == LogBackend::Kafka && config.coordination.backend == CoordinationBackend::Local,
        "`coordination.backend` is local while nodes share the log: each of them uses the whole of every rate"
            .to_owned(),
    );
    let is_here = |address: &str| address.starts_with("127.") || address.starts_with("localhost");
    warn(
        config.log.backend == LogBackend::Kafka
            && !is_here(&config.log.kafka.brokers)
            && config.http.listen.ip().is_loopback()
            && config.cluster.advertise.is_none(),
        format!(
            "`http.listen` is {}: nodes on other machines cannot call this one, which cancelling and the books need; set it and \
             `cluster.advertise`",
            config.http.listen
        ),
    );
    let memory = config.store.embedded.cache.bytes()
        + config.store.embedded.write_buffer.bytes()
        + config.dispatch.payload_cache.bytes()
        + config.dispatch.backlog_max as u64 * 40;
    warn(memory > 1 << 30, format!("caches, buffers and backlog may take {} MiB of memory", memory >> 20));
    let longest = config.providers.iter().map(|provider| provider.timeout).max();
    let may_be_cut = |timeout: Duration| {
        timeout <= config.dispatch.drain_timeout && config.attachments.timeout + timeout > config.dispatch.drain_timeout
    };
    warn(
        longest.is_some_and(may_be_cut),
        "`attachments.timeout` and the longest `timeout` of a provider together are longer than `dispatch.drain_timeout`: a stop \
         may leave mails with attachments in doubt"
            .to_owned(),
    );
    for provider in &config.providers {
        warn(
            provider.timeout > config.dispatch.drain_timeout,
            format!(
                "provider `{}`: its `timeout` is longer than `dispatch.drain_timeout`: a stop may leave sends in doubt",
                provider.name
            ),
        );
        let is_signed = provider.signing_secret.as_ref().is_some_and(|secret| !secret.expose().trim().is_empty());
        warn(
            provider.kind == "webhook" && !is_signed,
            format!(
                "provider `{}`: without `signing_secret` its webhooks carry no signature, and who receives them cannot \
                 tell them from forged ones",
                provider.name
            ),
        );
    }
    let tenants: Vec<&str> = config.http.keys.iter().map(|key| key.tenant.as_str()).collect();
    for tenant in tracking::without_key(&config.tracking, &tenants) {
        warn(true, format!("`tracking.tenants` names `{tenant}`, and no key in `http.keys` is that tenant's"));
    }
    for key in config.http.keys.iter().filter(|key| key.key.expose() != DEV_KEY && key.key.expose().len() < 20) {
        warn(true, format!("a key of tenant `{}` is shorter than 20 characters: it can be guessed", key.tenant));
    }
    warnings
}

fn is_mail(provider: &Provider) -> bool {
    match provider.channels.as_slice() {
        [] => ["smtp", "sendgrid", "ses", "mailgun"].contains(&&*provider.kind),
        named => named.iter().any(|channel| channel.0 == Channel::Email),
    }
}

/// Whether an address means this machine.
fn is_loopback(url: &str) -> bool {
    match url::Url::parse(url).ok().as_ref().and_then(url::Url::host) {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn ensure(holds: bool, otherwise: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise.to_owned()) }
}
