//! The section of a provider.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::{Secret, duration};
use crate::domain::{Channel, Platform, Timestamp};

/// One way to deliver.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    pub name: String,
    pub kind: String,
    /// Nobody configured it: it is there without that.
    #[serde(skip)]
    pub(crate) is_implied: bool,
    /// Empty: the channels that the kind implies.
    #[serde(default)]
    pub channels: Vec<ChannelName>,
    /// The provider's address; none: the kind's own.
    #[serde(default)]
    pub url: Option<String>,
    #[serde(default)]
    pub rate_per_second: Option<f64>,
    /// None: one second's worth.
    #[serde(default)]
    pub burst: Option<f64>,
    #[serde(default = "Provider::default_max_in_flight")]
    pub max_in_flight: usize,
    #[serde(default = "Provider::default_timeout", with = "duration")]
    pub timeout: Duration,
    #[serde(default = "Provider::default_weight")]
    pub weight: u32,
    #[serde(default)]
    pub cost: f64,
    /// Who it comes from: `Name <address>` of mails, a number or name of texts and calls.
    #[serde(default)]
    pub from: Option<String>,
    /// Who we are there: a user, an account, an access key's id.
    #[serde(default)]
    pub username: Option<String>,
    /// What belongs to `username`.
    #[serde(default)]
    pub password: Option<Secret>,
    /// Where one secret is all there is (sendgrid, mailgun).
    #[serde(default)]
    pub api_key: Option<Secret>,
    /// What names and opens a chat room (dingtalk, wecom, feishu, slack).
    #[serde(default)]
    pub token: Option<Secret>,
    /// As PEM, or as the provider hands it out (apns, fcm, web_push, DKIM of smtp).
    #[serde(default)]
    pub private_key: Option<Secret>,
    /// What requests are signed with: `whsec_…` (webhook), the secret of a robot (dingtalk, feishu).
    #[serde(default)]
    pub signing_secret: Option<Secret>,
    /// What receipts are checked with, where it is not what we sign in with.
    #[serde(default)]
    pub receipt_secret: Option<Secret>,
    /// Further authorities to trust, as PEM: those of a proxy.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// The platforms whose devices it pushes to; empty: those of the kind.
    #[serde(default)]
    pub platforms: Vec<PlatformName>,
    /// When its credentials end, where they do not say so themselves: a day, `2027-01-31`.
    #[serde(default)]
    pub credentials_end: Option<Day>,
    /// The share of its channel's messages that it gets while it is new, whatever its weight; none of the critical ones.
    #[serde(default)]
    pub canary: Option<f64>,
    /// A rate that grows by day, for a sender that nobody knows yet.
    #[serde(default)]
    pub warm_up: Option<WarmUp>,
    /// When it counts as unwell though it answers: its receipts stay away.
    #[serde(default)]
    pub late_receipts: Option<LateReceipts>,
    /// What its codes mean, before what is known of its kind.
    #[serde(default)]
    pub outcomes: BTreeMap<String, OutcomeRule>,
    /// Settings that only one kind knows; checked by the kind.
    #[serde(default)]
    pub options: BTreeMap<String, toml::Value>,
}

impl Provider {
    /// One that nobody configured, with nothing but a name and a kind.
    pub fn implied(name: &str, kind: &str) -> Self {
        Self {
            name: name.to_owned(),
            kind: kind.to_owned(),
            is_implied: true,
            channels: Vec::new(),
            url: None,
            rate_per_second: None,
            burst: None,
            max_in_flight: Self::default_max_in_flight(),
            timeout: Self::default_timeout(),
            weight: Self::default_weight(),
            cost: 0.0,
            from: None,
            username: None,
            password: None,
            api_key: None,
            token: None,
            private_key: None,
            signing_secret: None,
            receipt_secret: None,
            ca_file: None,
            platforms: Vec::new(),
            credentials_end: None,
            canary: None,
            warm_up: None,
            late_receipts: None,
            outcomes: BTreeMap::new(),
            options: BTreeMap::new(),
        }
    }

    fn default_max_in_flight() -> usize {
        64
    }

    fn default_timeout() -> Duration {
        Duration::from_secs(10)
    }

    fn default_weight() -> u32 {
        1
    }
}

/// A sender's first days: `per_day` on the first, `growth` times as many on each day after, spread evenly over the day, until that is
/// more than `rate_per_second`.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WarmUp {
    /// The first day, in UTC.
    pub from: Day,
    pub per_day: f64,
    #[serde(default = "WarmUp::default_growth")]
    pub growth: f64,
}

impl WarmUp {
    fn default_growth() -> f64 {
        2.0
    }
}

/// Of what was taken, as large a `share` without a receipt after `within` makes a provider unwell.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LateReceipts {
    #[serde(with = "duration")]
    pub within: Duration,
    pub share: f64,
}

/// What a code of a provider means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutcomeRule {
    pub outcome: OutcomeWord,
    /// How long to wait, where the answer does not say.
    pub after: Option<Duration>,
}

/// The words of `config/outcomes.toml`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeWord {
    Accepted,
    DeadRecipient,
    OptedOut,
    BadRequest,
    Config,
    StaleCredentials,
    Throttled,
    ThrottledRecipient,
    Transient,
    Unknown,
}

impl<'de> Deserialize<'de> for OutcomeRule {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Waiting {
            outcome: OutcomeWord,
            #[serde(with = "duration")]
            after: Duration,
        }
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Word(OutcomeWord),
            Waiting(Waiting),
        }
        match Either::deserialize(deserializer) {
            Ok(Either::Word(outcome)) => Ok(Self { outcome, after: None }),
            Ok(Either::Waiting(Waiting { outcome, after })) => Ok(Self { outcome, after: Some(after) }),
            Err(_) => Err(serde::de::Error::custom(
                "no outcome: write one of the words of config/outcomes.toml, or { outcome = \"transient\", after = \"30m\" }",
            )),
        }
    }
}

/// A platform as configuration writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlatformName(pub Platform);

impl<'de> Deserialize<'de> for PlatformName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let unknown = || serde::de::Error::custom(format!("unknown platform `{text}`: use ios, android or web"));
        Platform::parse(&text).map(PlatformName).ok_or_else(unknown)
    }
}

/// A day in UTC, `2027-01-31`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Day(pub Timestamp);

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let no_day = || serde::de::Error::custom(format!("`{text}` is no day: write it as \"2027-01-31\""));
        Timestamp::parse(&format!("{text}T00:00:00Z")).map(Day).ok_or_else(no_day)
    }
}

/// A channel as configuration writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelName(pub Channel);

impl<'de> Deserialize<'de> for ChannelName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Channel::parse(&text).map(ChannelName).ok_or_else(|| {
            serde::de::Error::custom(format!(
                "unknown channel `{text}`: use {}",
                Channel::ALL.map(Channel::name).join(", ")
            ))
        })
    }
}
