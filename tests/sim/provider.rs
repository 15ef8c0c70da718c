//! A provider that takes what it is given, or not, or does not say; and a list of all that it took.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use fanfare::domain::{Channel, Message, Outcome};
use fanfare::providers::Provider;
use tokio::sync::oneshot;

use super::host::Host;
use super::merging;
use super::world::{Sent, World};

pub struct SimProvider {
    pub world: Arc<World>,
    pub host: Arc<Host>,
    pub name: &'static str,
    pub channels: [Channel; 1],
}

/// An answer, and how long it is on the way.
struct Reply {
    after: Duration,
    outcome: Outcome,
}

/// Longer than any caller waits.
const TOO_LONG: Duration = Duration::from_secs(30);

fn accepted() -> Outcome {
    Outcome::Accepted { message_id: None }
}

fn refused() -> Outcome {
    Outcome::Transient { reason: "busy".into(), retry_after: None, unreachable: false }
}

impl SimProvider {
    /// The message is there.
    fn take(world: &World, host: &Host, message: &Message, delayed: bool) -> Reply {
        let (die, quick, slow) = {
            let mut rng = world.rng();
            (rng.below(100), rng.millis(2, 60), rng.millis(500, 5500))
        };
        let die = if world.is_rough() { die } else { 99 };
        let (is_taken, in_doubt, after, outcome) = match die {
            0..10 => (false, false, quick, refused()),
            10..12 => (false, false, quick, Outcome::throttled("slow down", Some(slow))),
            12..14 => (false, false, quick, Outcome::dead("gone")),
            14..18 => (true, true, quick, Outcome::Unknown { reason: "the connection broke".into() }),
            18..20 => (false, false, quick, Outcome::Unknown { reason: "the connection broke".into() }),
            20..22 => (true, true, TOO_LONG, accepted()),
            22..23 => (false, false, TOO_LONG, refused()),
            23..31 => (true, false, slow, accepted()),
            _ => (true, false, quick, accepted()),
        };
        if is_taken {
            Self::record(world, host, message, in_doubt, delayed);
        }
        world.note(format_args!(
            "{} sends {}/{} attempt {}: {} {}",
            host.name,
            message.task.position.offset,
            message.task.ordinal,
            message.attempt,
            outcome.name(),
            if delayed { "delayed" } else { "" },
        ));
        Reply { after, outcome }
    }

    fn record(world: &World, host: &Host, message: &Message, in_doubt: bool, delayed: bool) {
        let (task, at) = (message.task, world.now());
        let had_lease = world.tables().held_since(task.position.shard, &host.name, at).is_some();
        let mut sent = world.sent.lock().expect("one thread");
        let recognised = world.keyed_providers && sent.iter().any(|before| before.task == task);
        let told = merging::told(&message.parts.body);
        sent.push(Sent { task, host: host.number, at, in_doubt, delayed, had_lease, recognised, told });
    }
}

#[async_trait]
impl Provider for SimProvider {
    fn name(&self) -> &str {
        self.name
    }

    fn channels(&self) -> &[Channel] {
        &self.channels
    }

    async fn send(&self, message: &Message) -> Outcome {
        let reply = if self.host.is_running() {
            Self::take(&self.world, &self.host, message, false)
        } else {
            // It stands still between its last check and the send: when it goes on, the bytes leave, whatever time it is.
            let (reply, replied) = oneshot::channel();
            let (world, host, message) = (self.world.clone(), self.host.clone(), message.clone());
            tokio::spawn(async move {
                host.pass().await;
                // Who gave up meanwhile does not hear the answer.
                let _ = reply.send(Self::take(&world, &host, &message, true));
            });
            match replied.await {
                Ok(reply) => reply,
                Err(_) => std::future::pending().await,
            }
        };
        tokio::time::sleep(reply.after).await;
        self.host.pass().await;
        reply.outcome
    }

    async fn check(&self) -> Result<(), String> {
        Ok(())
    }
}
