//! The APIs of real providers, as far as an engine meets them: what they refuse, and in which words they answer. In: a request. Out: who it is
//! for and which task it bears, or a refusal; and for each thing that may be said, the answer in the form of that API. A file here knows
//! a channel's providers; `route` tells them apart by path.

mod call;
mod route;
mod token;
mod signing;
mod mail;
mod sms;
mod push;
mod chat;

use std::borrow::Cow;

use clap::ValueEnum;
use serde::Serialize;

pub(super) use call::{Call, fields, percent_encoded};
pub(super) use route::{Route, route};
pub(super) use token::Tokens;

use super::http::Answer;

/// A kind of provider, by the name that the engine's configuration gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub(crate) enum Kind {
    Sendgrid,
    Ses,
    Mailgun,
    TwilioSms,
    TwilioVoice,
    SnsSms,
    AliyunSms,
    Fcm,
    Apns,
    WebPush,
    Dingtalk,
    Wecom,
    WecomApp,
    Feishu,
    Slack,
}

impl Kind {
    /// In the order of their numbers (`kind as usize`).
    pub(crate) const ALL: [Self; 15] = [
        Self::Sendgrid,
        Self::Ses,
        Self::Mailgun,
        Self::TwilioSms,
        Self::TwilioVoice,
        Self::SnsSms,
        Self::AliyunSms,
        Self::Fcm,
        Self::Apns,
        Self::WebPush,
        Self::Dingtalk,
        Self::Wecom,
        Self::WecomApp,
        Self::Feishu,
        Self::Slack,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sendgrid => "sendgrid",
            Self::Ses => "ses",
            Self::Mailgun => "mailgun",
            Self::TwilioSms => "twilio_sms",
            Self::TwilioVoice => "twilio_voice",
            Self::SnsSms => "sns_sms",
            Self::AliyunSms => "aliyun_sms",
            Self::Fcm => "fcm",
            Self::Apns => "apns",
            Self::WebPush => "web_push",
            Self::Dingtalk => "dingtalk",
            Self::Wecom => "wecom",
            Self::WecomApp => "wecom_app",
            Self::Feishu => "feishu",
            Self::Slack => "slack",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Reads a message, and checks what the real server would check.
    pub(super) fn read(self, call: &Call<'_>, tokens: &Tokens) -> Result<Delivery, Said> {
        match self {
            Self::Sendgrid => mail::sendgrid(call),
            Self::Ses => mail::ses(call),
            Self::Mailgun => mail::mailgun(call),
            Self::TwilioSms => sms::twilio_message(call),
            Self::TwilioVoice => sms::twilio_call(call),
            Self::SnsSms => sms::sns(call),
            Self::AliyunSms => sms::aliyun(call),
            Self::Fcm => push::fcm(call, tokens),
            Self::Apns => push::apns(call, tokens),
            Self::WebPush => push::web_push(call, tokens),
            Self::Dingtalk => chat::dingtalk(call),
            Self::Wecom => chat::wecom(call),
            Self::WecomApp => chat::wecom_app(call, tokens),
            Self::Feishu => chat::feishu(call),
            Self::Slack => chat::slack(call),
        }
    }

    /// The answer that says it, in the form of this API.
    pub(super) fn say(self, said: &Said, delivery: &Delivery) -> Answer {
        match self {
            Self::Sendgrid => mail::sendgrid_says(said, delivery),
            Self::Ses => mail::ses_says(said),
            Self::Mailgun => mail::mailgun_says(said),
            Self::TwilioSms | Self::TwilioVoice => sms::twilio_says(self, said),
            Self::SnsSms => sms::sns_says(said),
            Self::AliyunSms => sms::aliyun_says(said),
            Self::Fcm => push::fcm_says(said),
            Self::Apns => push::apns_says(said, delivery),
            Self::WebPush => push::web_push_says(said),
            Self::Dingtalk => chat::dingtalk_says(said),
            Self::Wecom => chat::wecom_says(said),
            Self::WecomApp => chat::wecom_app_says(said, delivery),
            Self::Feishu => chat::feishu_says(said),
            Self::Slack => chat::slack_says(said),
        }
    }

    /// Takes messages for addresses where nobody is, and says so in a receipt, as mail is.
    pub(super) fn tells_death_later(self) -> bool {
        matches!(self, Self::Sendgrid | Self::Ses | Self::Mailgun)
    }

    /// The provider's id of the message of this number.
    pub(super) fn message_id(self, number: u64) -> String {
        match self {
            Self::Sendgrid => format!("mock{number:018}"),
            Self::Ses => format!("0100mock-{number:016x}-000000"),
            Self::Mailgun => format!("<{number:016x}@mock.example>"),
            Self::TwilioSms => format!("SM{number:032x}"),
            Self::TwilioVoice => format!("CA{number:032x}"),
            Self::SnsSms => format!("00000000-0000-4000-8000-{number:012x}"),
            _ => format!("{number:020}"),
        }
    }
}

/// A message that is in order.
#[derive(Debug, Default)]
pub(super) struct Delivery {
    /// What the sender knows it by: the task, where the API can carry it.
    pub(super) id: Option<Vec<u8>>,
    /// A mail address, a number, a token, or what else says where it goes.
    pub(super) recipient: String,
    /// Where the sender wants its receipts (Twilio).
    pub(super) callback: Option<String>,
    /// Looked at, but not to be sent (SendGrid's sandbox mode, FCM's `validate_only`).
    pub(super) is_trial: bool,
    /// Not to be sent again if it was (WeCom's `enable_duplicate_check`).
    pub(super) is_once: bool,
}

impl Delivery {
    /// What cannot be read, but is taken all the same.
    pub(super) fn unread(call: &Call<'_>) -> Self {
        Self::to(call.path(), Some(&call.fingerprint()))
    }

    fn to(recipient: impl Into<String>, id: Option<&str>) -> Self {
        let id = id.map(|id| id.as_bytes().to_vec());
        Self { id, recipient: recipient.into(), ..Self::default() }
    }
}

/// What a provider has to say about a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    /// Taken, as the message of this number.
    Taken(u64),
    /// Something is wrong here; try later.
    Failing,
    /// Too many; come again after so many seconds, unless it is 0.
    TooFast(u32),
    /// The request is wrong. The text is for whoever reads the answer; APNs has a word for each fault.
    Invalid(Cow<'static, str>),
    TooLarge,
    /// The credentials are wrong, or do not allow this.
    NoAccess(Cow<'static, str>),
    /// The credentials were right once, and new ones can be had.
    Stale,
    /// Nobody is there. The number picks one of the ways to say so.
    Dead(u64),
}

impl Said {
    fn invalid<T>(reason: impl Into<Cow<'static, str>>) -> Result<T, Self> {
        Err(Self::Invalid(reason.into()))
    }

    fn no_access<T>(reason: impl Into<Cow<'static, str>>) -> Result<T, Self> {
        Err(Self::NoAccess(reason.into()))
    }
}

/// Refuses with the reason unless it `holds`.
fn want(holds: bool, reason: impl Into<Cow<'static, str>>) -> Result<(), Said> {
    if holds { Ok(()) } else { Said::invalid(reason) }
}
