//! The provider `sandbox`: keeps what it is given, to be read through the API. For trying things out: nothing leaves the
//! machine, and a restart forgets it all.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::{BuildContext, Provider, SharedProvider};
use crate::clock::SharedClock;
use crate::config;
use crate::domain::{Channel, Message, Outcome, PushPart, Timestamp};

/// What sandbox providers were given, the newest last.
pub struct Sandbox {
    clock: SharedClock,
    kept: Mutex<Shelf>,
}

#[derive(Default)]
struct Shelf {
    messages: VecDeque<Arc<Kept>>,
    bytes: usize,
    /// Messages kept so far.
    count: u64,
}

/// A message that was given to a sandbox provider.
#[derive(Debug, Clone)]
pub struct Kept {
    /// The how-manyth it is in this process.
    pub number: u64,
    pub message: Message,
    pub provider: Box<str>,
    pub at: Timestamp,
}

const MESSAGES_MAX: usize = 10_000;
const BYTES_MAX: usize = 16 << 20;

impl Sandbox {
    pub fn new(clock: SharedClock) -> Self {
        Self { clock, kept: Mutex::default() }
    }

    /// A tenant's messages, newest first, those kept before the one with the number `before`.
    pub fn list(&self, tenant: &str, before: Option<u64>, limit: usize) -> Vec<Kept> {
        let shelf = self.shelf();
        let newest_first = shelf.messages.iter().rev().filter(|kept| &*kept.message.tenant == tenant);
        let wanted = newest_first.filter(|kept| before.is_none_or(|before| kept.number < before));
        wanted.take(limit).map(|kept| Kept::clone(kept)).collect()
    }

    /// Forgets a tenant's messages.
    pub fn clear(&self, tenant: &str) {
        let mut shelf = self.shelf();
        shelf.messages.retain(|kept| &*kept.message.tenant != tenant);
        shelf.bytes = shelf.messages.iter().map(|kept| size(&kept.message)).sum();
    }

    fn keep(&self, message: &Message, provider: &str) {
        let (message_kept, provider, at) = (message.clone(), provider.into(), self.clock.now());
        let mut shelf = self.shelf();
        shelf.count += 1;
        let kept = Kept { number: shelf.count, message: message_kept, provider, at };
        shelf.bytes += size(message);
        shelf.messages.push_back(Arc::new(kept));
        while (shelf.messages.len() > MESSAGES_MAX || shelf.bytes > BYTES_MAX)
            && let Some(oldest) = shelf.messages.pop_front()
        {
            shelf.bytes -= size(&oldest.message);
        }
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a message takes in memory, roughly.
fn size(message: &Message) -> usize {
    let parts = &message.parts;
    let optional = |part: &Option<String>| part.as_ref().map_or(0, String::len);
    512 + parts.title.len()
        + parts.body.len()
        + optional(&parts.html)
        + optional(&parts.sms)
        + optional(&parts.voice)
        + parts.push.as_ref().map_or(0, push_size)
        + message.attachments.iter().map(|file| file.content.len()).sum::<usize>()
        + message.data.len()
        + message.metadata.len()
}

fn push_size(push: &PushPart) -> usize {
    let optional = |part: &Option<String>| part.as_ref().map_or(0, String::len);
    let data = push.data.iter().map(|(name, value)| name.len() + value.len());
    optional(&push.title) + optional(&push.body) + data.sum::<usize>()
}

/// One configured sandbox.
pub(super) struct SandboxProvider {
    name: String,
    channels: Vec<Channel>,
    sandbox: Arc<Sandbox>,
}

impl SandboxProvider {
    pub(super) fn build(
        settings: &config::Provider,
        channels: Vec<Channel>,
        context: &BuildContext,
    ) -> Result<SharedProvider, String> {
        Ok(Arc::new(Self { name: settings.name.clone(), channels, sandbox: context.sandbox.clone() }))
    }
}

#[async_trait]
impl Provider for SandboxProvider {
    fn name(&self) -> &str {
        &self.name
    }

    fn channels(&self) -> &[Channel] {
        &self.channels
    }

    async fn send(&self, message: &Message) -> Outcome {
        self.sandbox.keep(message, &self.name);
        Outcome::Accepted { message_id: None }
    }

    async fn check(&self) -> Result<(), String> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::domain::Address;
    use crate::providers::testing;

    fn message(offset: u64, tenant: &str) -> Message {
        let mut message = testing::message(Channel::Email, Address::Email("a@example.com".into()));
        message.task.position.offset = offset;
        message.tenant = tenant.into();
        message
    }

    #[test]
    fn a_page_goes_on_where_the_one_before_ended_whatever_came_meanwhile() {
        let sandbox = Sandbox::new(ManualClock::starting_at(Timestamp(0)));
        let offsets = |before, limit| -> Vec<u64> {
            let kept = sandbox.list("mine", before, limit);
            kept.iter().map(|kept| kept.message.task.position.offset).collect()
        };
        for offset in 0..4 {
            sandbox.keep(&message(offset, "mine"), "sandbox");
            sandbox.keep(&message(offset, "theirs"), "sandbox");
        }
        assert_eq!(offsets(None, 2), [3, 2]);
        let before = sandbox.list("mine", None, 2)[1].number;
        sandbox.keep(&message(4, "mine"), "sandbox");
        assert_eq!(offsets(Some(before), 2), [1, 0]);
        assert_eq!(offsets(Some(0), 2), [0; 0]);
    }
}
