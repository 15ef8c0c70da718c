//! The provider `inbox`: puts messages of the channel `in_app` into their users' inboxes, which are ours. It is there without being
//! configured, unless another serves the channel.

use std::sync::Arc;

use async_trait::async_trait;

use super::{BuildContext, Provider, SharedProvider};
use crate::config;
use crate::domain::{Address, Channel, InboxEntry, InboxPlace, Message, Outcome, UserKey};

/// Where messages of the channel `in_app` go.
#[async_trait]
pub trait InboxDoor: Send + Sync + 'static {
    /// Durable on return; the same entry twice is one. If not: why, for people.
    async fn deliver(&self, user: &UserKey, entry: InboxEntry) -> Result<(), String>;
}

pub(super) struct InboxProvider {
    name: String,
    channels: Vec<Channel>,
    door: Option<Arc<dyn InboxDoor>>,
}

impl InboxProvider {
    pub(super) fn build(
        settings: &config::Provider,
        channels: Vec<Channel>,
        context: &BuildContext,
    ) -> Result<SharedProvider, String> {
        Ok(Arc::new(Self { name: settings.name.clone(), channels, door: context.inbox.clone() }))
    }
}

#[async_trait]
impl Provider for InboxProvider {
    fn name(&self) -> &str {
        &self.name
    }

    fn channels(&self) -> &[Channel] {
        &self.channels
    }

    async fn send(&self, message: &Message) -> Outcome {
        let Address::User(user_id) = &message.address else {
            return Outcome::BadRequest { reason: "a message in the product goes to a user".into() };
        };
        let Some(door) = &self.door else {
            return Outcome::Config { reason: "there are no inboxes here".into() };
        };
        let user = UserKey { tenant: message.tenant.clone(), user_id: user_id.clone() };
        match door.deliver(&user, entry(message)).await {
            Ok(()) => Outcome::Accepted { message_id: None },
            Err(reason) => Outcome::Transient { reason: reason.into(), retry_after: None, unreachable: false },
        }
    }

    async fn check(&self) -> Result<(), String> {
        Ok(())
    }
}

fn entry(message: &Message) -> InboxEntry {
    InboxEntry {
        place: InboxPlace { at: message.due, task: message.task },
        priority: message.priority,
        category: message.category.clone(),
        template: message.template.clone(),
        title: message.parts.title.as_str().into(),
        body: message.parts.body.as_str().into(),
        data: message.data.clone(),
        metadata: message.metadata.clone(),
        expires_at: message.expires_at,
        read_at: None,
        archived_at: None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::providers::testing;

    #[derive(Default)]
    struct Kept(Mutex<Vec<(UserKey, InboxEntry)>>);

    #[async_trait]
    impl InboxDoor for Kept {
        async fn deliver(&self, user: &UserKey, entry: InboxEntry) -> Result<(), String> {
            let mut kept = self.0.lock().expect("nobody panicked");
            kept.push((user.clone(), entry));
            if kept.len() > 1 { Err("the disk is full".into()) } else { Ok(()) }
        }
    }

    #[tokio::test]
    async fn a_message_goes_into_its_users_inbox_and_what_cannot_be_kept_is_tried_again() {
        let door = Arc::new(Kept::default());
        let context = BuildContext { inbox: Some(door.clone()), ..testing::context(&testing::clock()) };
        let settings = testing::settings("name = \"inbox\"\nkind = \"inbox\"");
        let provider = crate::providers::build_all(&[settings], &context).expect("built").remove(0);
        assert_eq!(provider.channels(), [Channel::InApp]);
        let message = testing::message(Channel::InApp, Address::User("alice".into()));
        assert_eq!(provider.send(&message).await, Outcome::Accepted { message_id: None });
        assert!(matches!(provider.send(&message).await, Outcome::Transient { .. }));
        let kept = door.0.lock().expect("nobody panicked");
        assert_eq!(&*kept[0].0.user_id, "alice");
        assert_eq!((&*kept[0].1.title, kept[0].1.place.at), ("Order 12345 is paid", message.due));
        assert_eq!(kept[0], kept[1]);
    }
}
