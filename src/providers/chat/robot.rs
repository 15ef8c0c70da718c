//! What the robots of rooms have in common: a secret address, one JSON body, and an answer that is 200 even where it says no.

use std::sync::Arc;

use async_trait::async_trait;
use hyper::Method;

use super::{
    Answer, Api, BuildContext, Channel, Message, Outcome, Provider, Said, SharedClock, SharedProvider, Table,
    Timestamp, config, is_room, json_headers, outcome,
};
use crate::domain::Address;

/// How one place is spoken to.
pub(in crate::providers) trait Dialect: Sized + Send + Sync + 'static {
    const KIND: &'static str;
    const URL: &'static str;

    fn read(settings: &config::Provider) -> Result<Self, String>;

    /// Path, query and body.
    fn request(&self, message: &Message, now: Timestamp) -> serde_json::Result<(String, Vec<u8>)>;

    /// What an answer says; `None`: nothing that can be read.
    fn verdict(body: &[u8]) -> Option<Verdict>;
}

pub(in crate::providers) struct Verdict {
    /// As the table has it; behind it, where the code alone says too little, a word for what was read beside it.
    pub(super) code: String,
    pub(super) wait_seconds: Option<u64>,
}

pub(in crate::providers) struct Robot<D> {
    name: String,
    channels: Vec<Channel>,
    api: Api,
    clock: SharedClock,
    table: Table,
    dialect: D,
}

impl<D: Dialect> Robot<D> {
    pub(in crate::providers) fn build(
        settings: &config::Provider,
        channels: Vec<Channel>,
        context: &BuildContext,
    ) -> Result<SharedProvider, String> {
        Ok(Arc::new(Self {
            name: settings.name.clone(),
            channels,
            api: Api::new(settings, context, D::URL)?,
            clock: context.clock.clone(),
            table: Table::new(D::KIND, &settings.outcomes),
            dialect: D::read(settings)?,
        }))
    }
}

/// What an answer means whose code stands in its body.
pub(super) fn judge(table: &Table, answer: &Answer, verdict: Option<&Verdict>, now: Timestamp) -> Outcome {
    let Some(verdict) = verdict else {
        return unread(table, answer, now);
    };
    let wait = verdict.wait_seconds.map(std::time::Duration::from_secs);
    // The code alone stands behind the code with what was read beside it.
    let alone = verdict.code.split(' ').next().unwrap_or_default();
    table.judge(&Said {
        codes: &[&verdict.code, alone],
        status: answer.status,
        retry_after: wait.or_else(|| outcome::retry_after(&answer.headers, now)),
        message_id: None,
    })
}

/// Without a code 200 means nothing: it may have been said or not.
fn unread(table: &Table, answer: &Answer, now: Timestamp) -> Outcome {
    if answer.status.is_success() {
        return Outcome::Unknown { reason: "the provider's answer has no code".into() };
    }
    let retry_after = outcome::retry_after(&answer.headers, now);
    table.judge(&Said { codes: &[], status: answer.status, retry_after, message_id: None })
}

#[async_trait]
impl<D: Dialect> Provider for Robot<D> {
    fn name(&self) -> &str {
        &self.name
    }

    fn channels(&self) -> &[Channel] {
        &self.channels
    }

    fn takes(&self, address: &Address) -> bool {
        is_room(address, &self.name)
    }

    async fn send(&self, message: &Message) -> Outcome {
        if !self.takes(&message.address) {
            return Outcome::BadRequest { reason: "the address is not this robot's room".into() };
        }
        let Ok((path, body)) = self.dialect.request(message, self.clock.now()) else {
            return Outcome::BadRequest { reason: "the text cannot be written as JSON".into() };
        };
        match self.api.send(Method::POST, &path, json_headers(), body).await {
            Ok(answer) => judge(&self.table, &answer, D::verdict(&answer.body).as_ref(), self.clock.now()),
            Err(failure) => outcome::no_answer(failure),
        }
    }

    async fn check(&self) -> Result<(), String> {
        self.api.reach().await
    }
}
