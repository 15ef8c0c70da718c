//! Chat rooms and companies' chats: DingTalk, WeCom, Feishu, Slack. None of them tells later what became of a message.
//!
//! What is too long is cut: a room would rather have the beginning than nothing.

mod text;
mod robot;
mod dingtalk;
mod wecom;
mod wecom_app;
mod feishu;
mod slack;

use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};

pub(super) use dingtalk::DingTalk;
pub(super) use feishu::Feishu;
pub(super) use robot::Robot;
pub(super) use slack::Slack;
pub(super) use wecom::WeCom;
pub(super) use wecom_app::WeComApp;

use super::http::{Answer, Api};
use super::outcome::{self, Said, Table};
use super::{BuildContext, Provider, SharedProvider, needs, options};
use crate::clock::SharedClock;
use crate::config;
use crate::domain::{Address, Channel, Message, Outcome, Timestamp};

fn json_headers() -> HeaderMap {
    HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"))])
}

/// Whether an address means the room of this provider. Whoever asks for a person gets no room: what is said there is not for all.
fn is_room(address: &Address, name: &str) -> bool {
    match address {
        Address::Provider => true,
        address => address.chat() == Some((name, None)),
    }
}

#[cfg(test)]
mod tests;
