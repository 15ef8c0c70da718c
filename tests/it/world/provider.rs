//! A provider that does as it is told, and remembers what it was given.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use fanfare::config;
use fanfare::domain::{Channel, Message, Outcome};
use fanfare::providers::Provider;
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

    fn build(name: &str, channels: &[Channel], max_in_flight: usize, rate_per_second: Option<f64>) -> Arc<Self> {
        Arc::new(Self {
            name: name.into(),
            channels: channels.into(),
            max_in_flight,
            rate_per_second,
            cost: 0.0,
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
        let text = format!("name = \"{}\"\nkind = \"test\"\nmax_in_flight = {}", self.name, self.max_in_flight);
        let settings: config::Provider = toml::from_str(&text).expect("valid settings");
        config::Provider { rate_per_second: self.rate_per_second, ..settings }
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

    async fn check(&self) -> Result<(), String> {
        Ok(())
    }
}
