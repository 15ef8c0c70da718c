//! The kinds of providers there are.

use std::sync::Arc;

use super::aliyun::AliyunSms;
use super::chat::{DingTalk, Feishu, Robot, Slack, WeCom, WeComApp};
use super::guard::Guard;
use super::inbox::{InboxDoor, InboxProvider};
use super::sandbox::{Sandbox, SandboxProvider};
use super::smtp::Smtp;
use super::twilio::{TwilioSms, TwilioVoice};
use super::webhook::Webhook;
use super::{SharedProvider, apns, fcm, mailgun, sendgrid, ses, sns_sms, web_push};
use crate::clock::SharedClock;
use crate::config;
use crate::domain::Channel;

/// What providers are built with.
#[derive(Clone)]
pub struct BuildContext {
    pub clock: SharedClock,
    pub guard: Guard,
    /// What the outside knows us by, without a slash at its end: what receipts are posted to begins with it.
    pub public_url: String,
    /// Shared by all sandbox providers.
    pub sandbox: Arc<Sandbox>,
    /// Where messages in the product go; `None`: there is no such place.
    pub inbox: Option<Arc<dyn InboxDoor>>,
}

/// Settings of a provider that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("provider `{name}`: {reason}")]
pub struct ProviderConfigError {
    name: String,
    reason: String,
}

/// A kind of provider.
struct Kind {
    name: &'static str,
    /// The channels it serves where the configuration names none.
    channels: &'static [Channel],
    /// The keys of `options` that it knows.
    options: &'static [&'static str],
    build: fn(&config::Provider, Vec<Channel>, &BuildContext) -> Result<SharedProvider, String>,
}

/// Every kind, in the order of the manual.
const REGISTRY: &[Kind] = &[
    Kind { name: "smtp", channels: &[Channel::Email], options: Smtp::OPTIONS, build: Smtp::build },
    Kind {
        name: "sendgrid",
        channels: &[Channel::Email],
        options: sendgrid::OPTIONS,
        build: sendgrid::SendGrid::build,
    },
    Kind { name: "ses", channels: &[Channel::Email], options: ses::OPTIONS, build: ses::Ses::build },
    Kind { name: "mailgun", channels: &[Channel::Email], options: mailgun::OPTIONS, build: mailgun::Mailgun::build },
    Kind { name: "sns_sms", channels: &[Channel::Sms], options: sns_sms::OPTIONS, build: sns_sms::SnsSms::build },
    Kind {
        name: "twilio_sms",
        channels: &[Channel::Sms],
        options: &["account_sid", "messaging_service_sid"],
        build: TwilioSms::build,
    },
    Kind {
        name: "twilio_voice",
        channels: &[Channel::Voice],
        options: &["account_sid", "language", "ring_seconds", "voice"],
        build: TwilioVoice::build,
    },
    Kind { name: "aliyun_sms", channels: &[Channel::Sms], options: &["templates"], build: AliyunSms::build },
    Kind { name: "dingtalk", channels: &[Channel::Chat], options: &["format"], build: Robot::<DingTalk>::build },
    Kind { name: "wecom", channels: &[Channel::Chat], options: &["format"], build: Robot::<WeCom>::build },
    Kind {
        name: "wecom_app",
        channels: &[Channel::Chat],
        options: &["agent_id", "duplicate_check_seconds", "format"],
        build: WeComApp::build,
    },
    Kind { name: "feishu", channels: &[Channel::Chat], options: &["format"], build: Robot::<Feishu>::build },
    Kind { name: "slack", channels: &[Channel::Chat], options: &["format"], build: Slack::build },
    Kind { name: "fcm", channels: &[Channel::Push], options: fcm::OPTIONS, build: fcm::Fcm::build },
    Kind { name: "apns", channels: &[Channel::Push], options: apns::OPTIONS, build: apns::Apns::build },
    Kind { name: "web_push", channels: &[Channel::Push], options: web_push::OPTIONS, build: web_push::WebPush::build },
    Kind { name: "webhook", channels: &[Channel::Webhook], options: &[], build: Webhook::build },
    Kind { name: "inbox", channels: &[Channel::InApp], options: &[], build: InboxProvider::build },
    Kind { name: "sandbox", channels: &Channel::ALL, options: &[], build: SandboxProvider::build },
];

/// Builds every configured provider, in their order.
pub fn build_all(
    settings: &[config::Provider],
    context: &BuildContext,
) -> Result<Vec<SharedProvider>, ProviderConfigError> {
    let build = |settings: &config::Provider| {
        build(settings, context).map_err(|reason| ProviderConfigError { name: settings.name.clone(), reason })
    };
    settings.iter().map(build).collect()
}

/// Whether a provider that is set up so serves a channel.
pub fn serves(settings: &config::Provider, channel: Channel) -> bool {
    let implied = || REGISTRY.iter().find(|kind| kind.name == settings.kind).map_or(&[][..], |kind| kind.channels);
    match settings.channels.as_slice() {
        [] => implied().contains(&channel),
        named => named.iter().any(|named| named.0 == channel),
    }
}

fn build(settings: &config::Provider, context: &BuildContext) -> Result<SharedProvider, String> {
    let kinds = || REGISTRY.iter().map(|kind| kind.name).collect::<Vec<_>>().join(", ");
    let kind = REGISTRY
        .iter()
        .find(|kind| kind.name == settings.kind)
        .ok_or_else(|| format!("unknown kind `{}`: this version has {}", settings.kind, kinds()))?;
    if let Some(option) = settings.options.keys().find(|option| !kind.options.contains(&option.as_str())) {
        return Err(format!("the kind `{}` knows no option `{option}`", kind.name));
    }
    let channels: Vec<Channel> = match settings.channels.as_slice() {
        [] => kind.channels.into(),
        named => named.iter().map(|channel| channel.0).collect(),
    };
    if let Some(channel) = channels.iter().find(|channel| !kind.channels.contains(channel)) {
        return Err(format!("the kind `{}` does not serve the channel `{channel}`", kind.name));
    }
    (kind.build)(settings, channels, context)
}
