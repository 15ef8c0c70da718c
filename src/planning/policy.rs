//! What the configuration says about planning.

use std::time::Duration;

use crate::config;
use crate::domain::{Channel, NotificationRequest, Priority};

/// Planning's share of the configuration; the same for every request.
#[derive(Debug, Clone)]
pub struct Policy {
    /// How long a second notification with the same business key is a duplicate, unless the request says otherwise.
    pub dedup_window: Duration,
    /// How long a retry key answers the same.
    pub retry_window: Duration,
    /// By [`Channel::index`]: whether a provider serves the channel.
    pub has_provider: [bool; 7],
    /// The channels the engine chooses from when a critical request names none, the best first.
    pub critical_order: Vec<Channel>,
    /// The same for every other priority.
    pub usual_order: Vec<Channel>,
}

/// What is certain to be seen at once comes first.
const CRITICAL_ORDER: [Channel; 6] =
    [Channel::Sms, Channel::Push, Channel::Email, Channel::Webhook, Channel::InApp, Channel::Voice];

/// What disturbs and costs least comes first; nobody is called on the phone by choice of the engine.
const USUAL_ORDER: [Channel; 5] = [Channel::Push, Channel::Email, Channel::Sms, Channel::Webhook, Channel::InApp];

impl Policy {
    /// Chat is in neither order: its room is not the recipient's, so a message goes there only when asked for by name.
    pub fn new(dedup: &config::Dedup, has_provider: [bool; 7]) -> Self {
        Self {
            dedup_window: dedup.window,
            retry_window: dedup.idempotency,
            has_provider,
            critical_order: CRITICAL_ORDER.to_vec(),
            usual_order: USUAL_ORDER.to_vec(),
        }
    }

    pub(super) fn serves(&self, channel: Channel) -> bool {
        self.has_provider[channel.index()]
    }

    pub(super) fn order(&self, priority: Priority) -> &[Channel] {
        if priority == Priority::Critical { &self.critical_order } else { &self.usual_order }
    }

    /// How long this request's business key lasts; zero: it is not held at all.
    pub(super) fn business_window(&self, request: &NotificationRequest) -> Duration {
        match request.dedup_window_seconds {
            Some(seconds) => Duration::from_secs(u64::from(seconds)),
            None => self.dedup_window,
        }
    }
}
