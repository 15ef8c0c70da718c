//! A scenario as it stands in its file: what is sent, how its rate runs, how the providers behave, and what must hold.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::names::nearest;
use crate::args;
use crate::channel::Channel;
use crate::mock::Kind;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scenario {
    pub(crate) name: String,
    /// What it stands for.
    pub(crate) description: String,
    /// Left out of every figure.
    #[serde(default, deserialize_with = "duration")]
    pub(crate) warmup: Duration,
    /// Of the load after the warm-up.
    #[serde(deserialize_with = "duration")]
    pub(crate) duration: Duration,
    /// How long to wait for deliveries when the load has ended.
    #[serde(default = "drain", deserialize_with = "duration")]
    pub(crate) drain: Duration,
    #[serde(default = "one")]
    pub(crate) seed: u64,
    #[serde(default)]
    pub(crate) arrivals: Shape,
    #[serde(default)]
    pub(crate) spacing: SpacingKind,
    /// Notifications a second of all streams that have a `share`.
    pub(crate) rate: Option<f64>,
    pub(crate) streams: Vec<Stream>,
    /// Limits by the names of objectives.
    #[serde(default)]
    pub(crate) objectives: BTreeMap<String, f64>,
    /// How the mock providers behave from the beginning: the keys of `POST /behaviour` by kind, or of `all`.
    #[serde(default)]
    pub(crate) providers: BTreeMap<String, Map<String, Value>>,
    #[serde(default)]
    pub(crate) faults: Vec<Fault>,
    /// Settings of the engine, as in its own file, over those that it needs to be measured.
    #[serde(default)]
    pub(crate) engine: toml::Table,
}

/// One kind of notification.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stream {
    pub(crate) name: String,
    pub(crate) channel: StreamChannel,
    /// The API that it is delivered by; mails by SMTP where there is none.
    pub(crate) provider: Option<String>,
    /// Notifications a second, at the factor 1 of the arrivals...
    pub(crate) rate: Option<f64>,
    /// ...or a share of the scenario's rate.
    pub(crate) share: Option<f64>,
    #[serde(default = "normal")]
    pub(crate) priority: String,
    pub(crate) category: Option<String>,
    /// The code of a template with the variables `order_id` and `name`; content of the request's own otherwise.
    pub(crate) template: Option<String>,
    /// About so many bytes of text in it.
    #[serde(default = "text_bytes")]
    pub(crate) text_bytes: usize,
    /// How many users there are; otherwise each notification has one of its own.
    pub(crate) users: Option<u64>,
    /// Of Zipf's law over the users; 0: all the same.
    #[serde(default)]
    pub(crate) zipf: f64,
    /// Merge a user's notifications that come within so long. Webhooks only.
    #[serde(default, deserialize_with = "maybe_duration")]
    pub(crate) merge_window: Option<Duration>,
    /// To be delivered so long after the start of the load...
    #[serde(default, deserialize_with = "maybe_duration")]
    pub(crate) scheduled_in: Option<Duration>,
    /// ...spread over so long.
    #[serde(default, deserialize_with = "duration")]
    pub(crate) scheduled_over: Duration,
    /// Notifications in a request.
    #[serde(default = "batch")]
    pub(crate) batch: u64,
    /// Requests under way at once.
    #[serde(default = "connections")]
    pub(crate) connections: usize,
    /// When it begins, and how long it goes on, where not with the scenario.
    #[serde(default, deserialize_with = "duration")]
    pub(crate) begin: Duration,
    #[serde(default, deserialize_with = "maybe_duration")]
    pub(crate) lasting: Option<Duration>,
    /// Arrivals of its own.
    pub(crate) arrivals: Option<Shape>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StreamChannel {
    Webhook,
    Email,
    Sms,
    Push,
    Voice,
}

/// How a rate runs, as factors of it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Shape {
    #[default]
    Constant,
    Ramp {
        from: f64,
        to: f64,
    },
    /// Equally long steps.
    Step {
        factors: Vec<f64>,
    },
    /// 1 but for a while.
    Spike {
        #[serde(deserialize_with = "duration")]
        at: Duration,
        #[serde(deserialize_with = "duration")]
        lasting: Duration,
        factor: f64,
    },
    /// A day, from night to night, as long as the run or `period`: `night` and `peak` are its lowest and highest factor.
    Diurnal {
        night: f64,
        peak: f64,
        #[serde(default, deserialize_with = "maybe_duration")]
        period: Option<Duration>,
    },
    /// A recorded trace: lines of `seconds count`, each until the next. Its mean counts as 1, and it is as long as the run.
    Replay {
        file: PathBuf,
    },
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SpacingKind {
    Even,
    #[default]
    Poisson,
}

/// A provider that misbehaves for a while.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fault {
    /// From the start of the load, after the warm-up.
    #[serde(deserialize_with = "duration")]
    pub(crate) at: Duration,
    #[serde(deserialize_with = "duration")]
    pub(crate) lasting: Duration,
    /// A kind of provider, `webhook` (webhooks and mails) or `all`.
    pub(crate) provider: String,
    /// The keys of `POST /behaviour`.
    pub(crate) behaviour: Map<String, Value>,
}

impl Scenario {
    /// Reads and checks a file; a trace is looked for beside it.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))?;
        let mut scenario = Self::parse(&text).with_context(|| format!("`{}`", path.display()))?;
        let beside = path.parent().unwrap_or(Path::new("."));
        let own = scenario.streams.iter_mut().filter_map(|stream| stream.arrivals.as_mut());
        for shape in own.chain([&mut scenario.arrivals]) {
            if let Shape::Replay { file } = shape {
                *file = beside.join(&*file);
            }
        }
        Ok(scenario)
    }

    pub(super) fn parse(text: &str) -> Result<Self> {
        let scenario: Self = toml::from_str(text).map_err(|error| anyhow!("{error}{}", nearest(error.message())))?;
        scenario.check()?;
        Ok(scenario)
    }

    fn check(&self) -> Result<()> {
        ensure!(!self.streams.is_empty(), "a scenario needs `[[streams]]`");
        ensure!(self.duration >= Duration::from_secs(1), "`duration` is at least 1s");
        let merging = self.streams.iter().filter(|stream| stream.merge_window.is_some()).count();
        ensure!(
            merging <= 1,
            "one stream at most may have a `merge_window`: merged ones are counted by what messages stand for"
        );
        for stream in &self.streams {
            stream.check(self.rate).with_context(|| format!("the stream `{}`", stream.name))?;
        }
        for name in self.objectives.keys() {
            let bare = name.split('.').next().unwrap_or(name);
            let known = [
                "create_p50_ms",
                "create_p99_ms",
                "hand_over_p99_ms",
                "lost",
                "duplicated",
                "refused_share",
                "memory_growth",
                "late_share",
            ];
            ensure!(known.contains(&bare), "there is no objective `{name}`; there are {}", known.join(", "));
        }
        for kind in self.providers.keys().chain(self.faults.iter().map(|fault| &fault.provider)) {
            let is_known = Kind::named(kind).is_some() || kind == "all" || kind == "webhook";
            ensure!(is_known, "there is no kind of provider `{kind}`; see the table in the manual of the mock");
        }
        Ok(())
    }

    /// Notifications a second of a stream at factor 1.
    pub(super) fn rate_of(&self, stream: &Stream) -> f64 {
        stream.rate.unwrap_or_else(|| stream.share.unwrap_or(0.0) * self.rate.unwrap_or(0.0))
    }

    /// Warm-up and load.
    pub(super) fn whole(&self) -> Duration {
        self.warmup + self.duration
    }
}

impl Stream {
    fn check(&self, rate: Option<f64>) -> Result<()> {
        ensure!(self.rate.is_some() != self.share.is_some(), "give it either a `rate` or a `share`");
        ensure!(self.share.is_none() || rate.is_some(), "a `share` needs the `rate` of the scenario");
        ensure!(self.rate.or(self.share).is_some_and(|rate| rate > 0.0), "its rate is above 0");
        ensure!((1..=10_000).contains(&self.batch), "`batch` is 1 to 10000");
        ensure!((1..=4096).contains(&self.connections), "`connections` is 1 to 4096");
        ensure!(self.users != Some(0), "`users` is at least 1");
        ensure!((0.0..=3.0).contains(&self.zipf), "`zipf` is 0 to 3");
        ensure!(self.zipf == 0.0 || self.users.is_some(), "`zipf` needs `users`");
        let merges = self.merge_window.is_some();
        ensure!(!merges || self.channel == StreamChannel::Webhook, "`merge_window` is for webhooks");
        ensure!(!merges || self.users.is_some(), "`merge_window` needs `users`");
        let priorities = ["critical", "high", "normal", "low"];
        ensure!(priorities.contains(&&*self.priority), "`priority` is one of {}", priorities.join(", "));
        self.kind().map(|_| ())
    }

    pub(super) fn channel(&self) -> Channel {
        match self.channel {
            StreamChannel::Webhook => Channel::Webhook,
            StreamChannel::Email => Channel::Email,
            StreamChannel::Sms => Channel::Sms,
            StreamChannel::Push => Channel::Push,
            StreamChannel::Voice => Channel::Voice,
        }
    }

    /// The API of a provider that it goes by; none for webhooks and SMTP.
    pub(super) fn kind(&self) -> Result<Option<Kind>> {
        let usual = match self.channel {
            StreamChannel::Webhook | StreamChannel::Email => None,
            StreamChannel::Sms => Some(Kind::TwilioSms),
            StreamChannel::Push => Some(Kind::Fcm),
            StreamChannel::Voice => Some(Kind::TwilioVoice),
        };
        let Some(name) = &self.provider else { return Ok(usual) };
        let kind = Kind::named(name).with_context(|| format!("there is no kind of provider `{name}`"))?;
        ensure!(
            Channel::of(kind) == self.channel(),
            "a provider of the kind `{name}` delivers nothing of this channel"
        );
        // What the mock counts such messages by does not say whose they are, so nobody could say which were lost.
        let is_named = !matches!(kind, Kind::Apns | Kind::WebPush | Kind::SnsSms);
        ensure!(
            is_named,
            "messages of the kind `{name}` are not counted by their tasks: take `fcm`, or another for SMS"
        );
        Ok(Some(kind))
    }
}

fn duration<'de, D: Deserializer<'de>>(input: D) -> Result<Duration, D::Error> {
    args::duration(&String::deserialize(input)?).map_err(serde::de::Error::custom)
}

fn maybe_duration<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Duration>, D::Error> {
    duration(input).map(Some)
}

fn drain() -> Duration {
    Duration::from_secs(60)
}

fn one() -> u64 {
    1
}

fn normal() -> String {
    "normal".into()
}

fn text_bytes() -> usize {
    60
}

fn batch() -> u64 {
    1
}

fn connections() -> usize {
    16
}
