//! A provider that does as it is told, and remembers what it was given.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use fanfare::config;
use fanfare::domain::{Address, Channel, Message, Outcome, Timestamp};
use fanfare::providers::{Provider, Receipt, ReceiptError, ReceiptKind, ReceiptPost, ReceiptReader, Receipts};
use tokio::sync::Notify;

/// What the provider does with the next message; when the script is over it accepts.
#[derive(Debug, Clone)]
pub enum Script {
    Answer(Outcome),
    /// Answers nothing until it is released.
    Hang,
    /// The same, and then answers this.
    HangThen(Outcome),
    Panic,
}

impl Script {
    /// It was certainly not sent, and may be in a while.
    pub fn transient() -> Self {
        Self::Answer(Outcome::Transient { reason: "busy".into(), retry_after: None, unreachable: false })
    }
}

pub struct TestProvider {
    name: String,
    channels: Vec<Channel>,
    max_in_flight: usize,
    rate_per_second: Option<f64>,
    /// Of each message.
    pub cost: f64,
    /// Further settings, as TOML.
    settings: String,
    /// Which addresses it takes.
    takes: fn(&Address) -> bool,
    sends_receipts: bool,
    script: Mutex<VecDeque<Script>>,
    taken: Mutex<Vec<Message>>,
    release: Notify,
}

impl TestProvider {
    pub fn new(name: &str, channels: &[Channel]) -> Arc<Self> {
        Self::build(name, channels, 64, None)
    }

    /// One that takes so many messages at a time, critical ones included.
    pub fn with_slots(name: &str, channels: &[Channel], max_in_flight: usize) -> Arc<Self> {
        Self::build(name, channels, max_in_flight, None)
    }

    /// One that may be given no more than this.
    pub fn with_rate(name: &str, channels: &[Channel], rate_per_second: f64) -> Arc<Self> {
        Self::build(name, channels, 64, Some(rate_per_second))
    }

    /// One whose messages cost something.
    pub fn with_cost(name: &str, channels: &[Channel], cost: f64) -> Arc<Self> {
        let mut provider = Self::build(name, channels, 64, None);
        Arc::get_mut(&mut provider).expect("nobody else has it yet").cost = cost;
        provider
    }

    /// One with further settings, as TOML.
    pub fn with_settings(name: &str, channels: &[Channel], settings: &str) -> Arc<Self> {
        let mut provider = Self::build(name, channels, 64, None);
        Arc::get_mut(&mut provider).expect("nobody else has it yet").settings = settings.to_owned();
        provider
    }

    /// One that takes only some addresses.
    pub fn that_takes(name: &str, channels: &[Channel], takes: fn(&Address) -> bool) -> Arc<Self> {
        let mut provider = Self::build(name, channels, 64, None);
        Arc::get_mut(&mut provider).expect("nobody else has it yet").takes = takes;
        provider
    }

    /// The same, and it says later what became of its messages.
    pub fn sending_receipts(mut self: Arc<Self>) -> Arc<Self> {
        Arc::get_mut(&mut self).expect("nobody else has it yet").sends_receipts = true;
        self
    }

    /// One that tells later what became of messages.
    pub fn telling(name: &str, channels: &[Channel]) -> Arc<Self> {
        Self::build(name, channels, 64, None).sending_receipts()
    }

    fn build(name: &str, channels: &[Channel], max_in_flight: usize, rate_per_second: Option<f64>) -> Arc<Self> {
        Arc::new(Self {
            name: name.into(),
            channels: channels.into(),
            max_in_flight,
            rate_per_second,
            cost: 0.0,
            settings: String::new(),
            takes: |_| true,
            sends_receipts: false,
            script: Mutex::default(),
            taken: Mutex::default(),
            release: Notify::new(),
        })
    }

    pub fn script(&self, steps: impl IntoIterator<Item = Script>) {
        self.script.lock().expect("not poisoned").extend(steps);
    }

    /// From now on it accepts everything.
    pub fn forget_script(&self) {
        self.script.lock().expect("not poisoned").clear();
    }

    /// Everything it was given, accepted or not.
    pub fn taken(&self) -> Vec<Message> {
        self.taken.lock().expect("not poisoned").clone()
    }

    /// Lets every hanging call end, accepted.
    pub fn release(&self) {
        self.release.notify_waiters();
    }

    pub fn served(&self) -> &[Channel] {
        &self.channels
    }

    pub fn settings(&self) -> config::Provider {
        let own = format!("name = \"{}\"\nkind = \"test\"\nmax_in_flight = {}", self.name, self.max_in_flight);
        let text = format!("{own}\n{}", self.settings);
        let mut settings: config::Provider = toml::from_str(&text).expect("valid settings");
        settings.rate_per_second = self.rate_per_second.or(settings.rate_per_second);
        settings
    }
}

#[async_trait]
impl Provider for TestProvider {
    fn name(&self) -> &str {
        &self.name
    }

    fn channels(&self) -> &[Channel] {
        &self.channels
    }

    async fn send(&self, message: &Message) -> Outcome {
        // Made before the message shows: who sees it may release at once.
        let released = self.release.notified();
        self.taken.lock().expect("not poisoned").push(message.clone());
        let step = self.script.lock().expect("not poisoned").pop_front();
        match step {
            None => Outcome::Accepted { message_id: Some("id".into()) },
            Some(Script::Answer(outcome)) => outcome,
            Some(Script::Panic) => panic!("as told"),
            Some(Script::Hang) => {
                released.await;
                Outcome::Accepted { message_id: None }
            }
            Some(Script::HangThen(outcome)) => {
                released.await;
                outcome
            }
        }
    }

    fn takes(&self, address: &Address) -> bool {
        (self.takes)(address)
    }

    fn receipts(&self) -> Option<&dyn ReceiptReader> {
        self.sends_receipts.then_some(self)
    }

    async fn check(&self) -> Result<(), String> {
        Ok(())
    }
}

/// What signs a post of the provider's.
pub const SIGNATURE: (&str, &str) = ("x-signature", "genuine");

/// Its posts are lists of `{"task", "kind", "at", "id", "event", "machine"}`; the header says whether they are signed.
#[async_trait]
impl ReceiptReader for TestProvider {
    async fn read(&self, post: &ReceiptPost) -> Result<Receipts, ReceiptError> {
        match post.headers.get(SIGNATURE.0).and_then(|value| value.to_str().ok()) {
            Some("genuine") => {}
            Some("old") => return Err(ReceiptError::Replayed),
            Some("unknown") => return Err(ReceiptError::Later("the certificate cannot be had")),
            _ => return Err(ReceiptError::Forged),
        }
        let posted: Vec<serde_json::Value> =
            serde_json::from_slice(&post.body).map_err(|_| ReceiptError::Unreadable("it is no list"))?;
        let receipt = |said: &serde_json::Value| Receipt {
            task: said["task"].as_str().and_then(|task| task.parse().ok()),
            provider_message_id: Some(said["id"].as_str().unwrap_or("id").into()),
            kind: match said["kind"].as_str().expect("a kind") {
                "progress" => ReceiptKind::Progress,
                "delivered" => ReceiptKind::Delivered,
                "bounced" => ReceiptKind::Bounced { is_gone: false, is_opt_out: false },
                "gone" => ReceiptKind::Bounced { is_gone: true, is_opt_out: false },
                "stop" => ReceiptKind::Bounced { is_gone: false, is_opt_out: true },
                "complained" => ReceiptKind::Complained,
                "unsubscribed" => ReceiptKind::Unsubscribed,
                "opened" => ReceiptKind::Opened,
                "clicked" => ReceiptKind::Clicked,
                other => panic!("{other}"),
            },
            at: said["at"].as_u64().map_or(post.now, Timestamp),
            reason: None,
            event_id: said["event"].as_str().map(Into::into),
            by_machine: said["machine"].as_bool().unwrap_or_default(),
        };
        Ok(Receipts { receipts: posted.iter().map(receipt).collect(), answer: Some(r#"{"code":0}"#) })
    }
}
