//! The channels that can be loaded.

use clap::ValueEnum;
use serde::Serialize;

use crate::mock::Kind;

/// A way out of the engine that the mock stands at the end of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Channel {
    Webhook,
    Email,
    Sms,
    Push,
    Voice,
    Chat,
}

impl Channel {
    /// As requests name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Email => "email",
            Self::Sms => "sms",
            Self::Push => "push",
            Self::Voice => "voice",
            Self::Chat => "chat",
        }
    }

    /// What a kind of provider delivers.
    pub(crate) fn of(kind: Kind) -> Self {
        match kind {
            Kind::Sendgrid | Kind::Ses | Kind::Mailgun => Self::Email,
            Kind::TwilioSms | Kind::SnsSms | Kind::AliyunSms => Self::Sms,
            Kind::TwilioVoice => Self::Voice,
            Kind::Fcm | Kind::Apns | Kind::WebPush => Self::Push,
            Kind::Dingtalk | Kind::Wecom | Kind::WecomApp | Kind::Feishu | Kind::Slack => Self::Chat,
        }
    }
}
