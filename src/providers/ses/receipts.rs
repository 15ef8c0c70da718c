//! What SES tells of a mail, within a message of SNS: events of a configuration set (`eventType`), or the feedback of an identity
//! (`notificationType`)
//! (<https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html>).

use async_trait::async_trait;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::TASK_HEADER;
use crate::domain::Timestamp;
use crate::providers::mail_api::{bounced, word};
use crate::providers::mark::Mark;
use crate::providers::outcome::Table;
use crate::providers::receipts::{Receipt, ReceiptError, ReceiptKind, ReceiptPost, ReceiptReader, Receipts};
use crate::providers::sns_message::SnsMessages;

pub(super) struct Reader {
    messages: SnsMessages,
    table: Table,
    mark: Mark,
}

impl Reader {
    pub(super) fn new(messages: SnsMessages, table: Table, mark: Mark) -> Self {
        Self { messages, table, mark }
    }

    /// `None`: nothing that we keep.
    fn receipt(&self, event: &Event, now: Timestamp) -> Option<Receipt> {
        let mut reason = None;
        let (kind, part) = match event.kind()? {
            "Send" | "DeliveryDelay" => (ReceiptKind::Progress, None),
            "Delivery" => (ReceiptKind::Delivered, event.delivery.as_ref()),
            "Bounce" => {
                let codes = event.bounce.as_ref().map(bounce_codes).unwrap_or_default();
                reason = codes.first().cloned();
                (bounced(&self.table, &codes), event.bounce.as_ref())
            }
            // SES took it and then saw that it must not go out, or that it cannot be made.
            kind @ ("Reject" | "Rendering Failure") => {
                reason = Some(kind.to_owned());
                (bounced(&self.table, &[kind.to_owned()]), None)
            }
            "Complaint" => {
                let complaint = event.complaint.as_ref();
                let feedback = complaint.and_then(|part| part.complaint_feedback_type.as_deref());
                // Somebody took it out of the spam.
                if feedback == Some("not-spam") {
                    return None;
                }
                reason = word(feedback).map(Into::into);
                (ReceiptKind::Complained, complaint)
            }
            "Open" => (ReceiptKind::Opened, event.open.as_ref()),
            "Click" => (ReceiptKind::Clicked, event.click.as_ref()),
            "Subscription" => {
                let part = event.subscription.as_ref()?;
                part.new_topic_preferences.as_ref().filter(|wanted| wanted.unsubscribe_all)?;
                (ReceiptKind::Unsubscribed, Some(part))
            }
            _ => return None,
        };
        let at = part.and_then(|part| part.timestamp.as_deref()).and_then(Timestamp::parse);
        let sent_at = event.mail.timestamp.as_deref().and_then(Timestamp::parse);
        Some(Receipt {
            task: event.mail.carried().and_then(|carried| self.mark.task(carried)),
            provider_message_id: event.mail.message_id.as_deref().map(Into::into),
            kind,
            at: at.or(sent_at).unwrap_or(now),
            reason: reason.map(Into::into),
            // Of a second post SNS says another id, and SES none: its times are exact to the millisecond.
            event_id: None,
            by_machine: false,
        })
    }
}

/// The most exact first: `Bounce Permanent NoEmail`, `Bounce Permanent`.
fn bounce_codes(part: &Part) -> Vec<String> {
    let kind = word(part.bounce_type.as_deref()).unwrap_or("Undetermined");
    let exact = word(part.bounce_sub_type.as_deref()).map(|sub| format!("Bounce {kind} {sub}"));
    exact.into_iter().chain([format!("Bounce {kind}")]).collect()
}

#[async_trait]
impl ReceiptReader for Reader {
    async fn read(&self, post: &ReceiptPost) -> Result<Receipts, ReceiptError> {
        let Some(message) = self.messages.open(post).await? else { return Ok(Receipts::default()) };
        // A topic says in plain words that it was set up: no event, and no failure.
        if serde_json::from_str::<IgnoredAny>(&message).is_err() {
            return Ok(Receipts::default());
        }
        let unreadable = ReceiptError::Unreadable("it is no event of SES");
        let event: Event = serde_json::from_str(&message).map_err(|_| unreadable.clone())?;
        event.kind().ok_or(unreadable)?;
        let receipts = self.receipt(&event, post.now).into_iter().collect();
        Ok(Receipts { receipts, answer: None })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    event_type: Option<String>,
    notification_type: Option<String>,
    mail: Mail,
    delivery: Option<Part>,
    bounce: Option<Part>,
    complaint: Option<Part>,
    open: Option<Part>,
    click: Option<Part>,
    subscription: Option<Part>,
}

impl Event {
    fn kind(&self) -> Option<&str> {
        self.event_type.as_deref().or(self.notification_type.as_deref())
    }
}

/// What is said of the one thing that happened.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Part {
    timestamp: Option<String>,
    bounce_type: Option<String>,
    bounce_sub_type: Option<String>,
    complaint_feedback_type: Option<String>,
    new_topic_preferences: Option<TopicPreferences>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TopicPreferences {
    #[serde(default)]
    unsubscribe_all: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Mail {
    timestamp: Option<String>,
    message_id: Option<String>,
    #[serde(default)]
    tags: Option<Tags>,
    #[serde(default)]
    headers: Option<Vec<Header>>,
}

#[derive(Default, Deserialize)]
struct Tags {
    /// [`crate::providers::mail_api::TASK`]
    #[serde(default)]
    task: Vec<String>,
}

#[derive(Deserialize)]
struct Header {
    name: Option<String>,
    value: Option<String>,
}

impl Mail {
    fn carried(&self) -> Option<&str> {
        let is_ours =
            |header: &&Header| header.name.as_ref().is_some_and(|name| name.eq_ignore_ascii_case(TASK_HEADER));
        let header = || self.headers.iter().flatten().find(is_ours).and_then(|header| header.value.as_ref());
        self.tags.as_ref().and_then(|tags| tags.task.first()).or_else(header).map(String::as_str)
    }
}
