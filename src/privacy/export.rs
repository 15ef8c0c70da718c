//! All that is held of a user, as one JSON document that is made while it is read: a page of a kind at a time, so that memory does not grow
//! with what there is.
//!
//! It always is a whole document. Where the store fails midway it ends there, with `"complete": false` and an `error`; whoever wants all of
//! it asks again.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::{LISTS_MAX, Privacy, consents, erase, metrics};
use crate::domain::{Channel, Consent, InboxEntry, InboxPlace, Position, QuietChoice, Story, User, UserKey};
use crate::inbox::InboxShelf;
use crate::store::{GroupEntry, HistoryEntry, StoreError};

/// Notifications that are read together, each with its events.
const STORIES: usize = 50;
/// Rows of other kinds that are read together.
const ROWS: usize = 200;

/// How a notification reads, as JSON. `entries`: what stands under it, where it leads a group.
pub type Notifications = fn(&Story, Option<&[GroupEntry]>) -> Vec<u8>;

/// A document on its way.
pub struct Export {
    privacy: Arc<Privacy>,
    key: UserKey,
    user: User,
    notifications: Notifications,
    stage: Stage,
    /// Something stands in the list that is open.
    has_items: bool,
}

/// What comes next. Each kind of what is held has one.
enum Stage {
    Head,
    Consents(Option<Box<[u8]>>),
    Subscriptions(Option<Box<str>>),
    Inbox { shelf: InboxShelf, after: Option<InboxPlace> },
    Notifications(Option<HistoryEntry>),
    Over,
}

impl Stage {
    /// The list that is open while it is this one's turn.
    fn list(&self) -> Option<&'static str> {
        match self {
            Stage::Head | Stage::Over => None,
            Stage::Consents(_) => Some("consents"),
            Stage::Subscriptions(_) => Some("subscriptions"),
            Stage::Inbox { .. } => Some("inbox"),
            Stage::Notifications(_) => Some("notifications"),
        }
    }
}

impl Privacy {
    /// Begins a document; `None`: nothing is held of the user.
    pub async fn export(
        self: &Arc<Self>,
        key: UserKey,
        notifications: Notifications,
    ) -> Result<Option<Export>, StoreError> {
        let parts = &self.parts;
        // With those of whom nothing is known but that they were erased.
        let user = parts.store.users(std::slice::from_ref(&key)).await?.pop().flatten();
        if user.is_none()
            && parts.store.history(&key.tenant, &key.user_id, None, 1).await?.is_empty()
            && parts.subscriptions.of_user(&key, None, 1).await?.is_empty()
            && parts.inbox.page(&key, InboxShelf::Current, None, 1).await?.is_empty()
        {
            return Ok(None);
        }
        let (privacy, user) = (self.clone(), user.unwrap_or_default());
        Ok(Some(Export { privacy, key, user, notifications, stage: Stage::Head, has_items: false }))
    }
}

impl Export {
    /// The next piece of the document; `None`: it has ended.
    pub async fn next(&mut self) -> Option<Bytes> {
        if matches!(self.stage, Stage::Over) {
            return None;
        }
        let mut piece = Vec::new();
        match self.step(&mut piece).await {
            Ok(()) => {}
            Err(error) => {
                tracing::warn!(%error, "a document of what is held of a user breaks off");
                self.break_off(&mut piece);
            }
        }
        Some(piece.into())
    }

    async fn step(&mut self, piece: &mut Vec<u8>) -> Result<(), StoreError> {
        let privacy = self.privacy.clone();
        let parts = &privacy.parts;
        let next = match &self.stage {
            Stage::Head => {
                let head = self.head().await?;
                let text = serde_json::to_string(&head).unwrap_or_default();
                // The document goes on where the head would end.
                piece.extend_from_slice(text.strip_suffix('}').unwrap_or("{").as_bytes());
                Stage::Consents(None)
            }
            Stage::Consents(after) => {
                let (records, last) = consents::page(&parts.store, &self.key, after.as_deref()).await?;
                for (purpose, consent) in &records {
                    self.item(piece, &ConsentView::new(purpose, consent));
                }
                last.map_or(Stage::Subscriptions(None), |last| Stage::Consents(Some(last)))
            }
            Stage::Subscriptions(after) => {
                let page = parts.subscriptions.of_user(&self.key, after.as_deref(), ROWS).await?;
                for (subject, one) in &page {
                    let status = if one.is_active { "active" } else { "inactive" };
                    let (since, changed_at) = (one.since.to_string(), one.changed_at.to_string());
                    let (channel, subject) = (one.channel.name(), &**subject);
                    let said = json!({ "subject": subject, "channel": channel, "status": status, "since": since, "changed_at": changed_at });
                    self.item(piece, &said);
                }
                let is_full = page.len() == ROWS;
                match page.into_iter().next_back().filter(|_| is_full) {
                    Some((last, _)) => Stage::Subscriptions(Some(last)),
                    None => Stage::Inbox { shelf: InboxShelf::Current, after: None },
                }
            }
            Stage::Inbox { shelf, after } => {
                let (shelf, after) = (*shelf, *after);
                let page = parts.inbox.page(&self.key, shelf, after, ROWS).await?;
                for entry in &page {
                    self.item(piece, &EntryView::new(entry));
                }
                match (page.last().filter(|_| page.len() == ROWS), shelf) {
                    (Some(last), shelf) => Stage::Inbox { shelf, after: Some(last.place) },
                    (None, InboxShelf::Archived) => Stage::Notifications(None),
                    (None, _) => Stage::Inbox { shelf: InboxShelf::Archived, after: None },
                }
            }
            Stage::Notifications(before) => {
                let before = *before;
                let entries = parts.store.history(&self.key.tenant, &self.key.user_id, before, STORIES).await?;
                self.stories(piece, &entries).await?;
                match entries.last().filter(|_| entries.len() == STORIES) {
                    Some(last) => Stage::Notifications(Some(*last)),
                    None => Stage::Over,
                }
            }
            Stage::Over => Stage::Over,
        };
        self.go_to(next, piece);
        Ok(())
    }

    async fn stories(&mut self, piece: &mut Vec<u8>, entries: &[HistoryEntry]) -> Result<(), StoreError> {
        let store = &self.privacy.parts.store;
        let positions: Vec<_> = entries.iter().map(|entry| entry.notification.0).collect();
        if positions.is_empty() {
            return Ok(());
        }
        let stories: Vec<Story> = store.stories(&positions).await?.into_iter().flatten().collect();
        let leaders: Vec<_> =
            stories.iter().filter(|story| story.plan.is_leader()).map(|story| story.plan.position).collect();
        let groups = if leaders.is_empty() { Vec::new() } else { store.groups(&leaders).await? };
        let groups: HashMap<Position, Vec<GroupEntry>> = leaders.into_iter().zip(groups).collect();
        for story in &stories {
            let line = (self.notifications)(story, groups.get(&story.plan.position).map(Vec::as_slice));
            self.comma(piece);
            piece.extend_from_slice(&line);
        }
        Ok(())
    }

    async fn head(&self) -> Result<Value, StoreError> {
        let parts = &self.privacy.parts;
        let (key, user) = (&self.key, &self.user);
        let lists = parts.lists.having(&key.tenant, &erase::list_names(key, user), LISTS_MAX).await?;
        let suppressions = parts.users.suppressions(&erase::addresses(key, user)).await?.into_iter().flatten();
        let suppressions = suppressions.map(|one| {
            let (since, until) = (one.since.to_string(), one.until.map(|until| until.to_string()));
            json!({ "address": one.address, "reason": one.cause.name(), "since": since, "until": until })
        });
        let devices = user.devices.iter().map(|(id, device)| {
            let (registered_at, seen_at) = (device.registered_at.to_string(), device.seen_at.to_string());
            let (platform, dead_since) = (device.platform.name(), device.dead_since.map(|at| at.to_string()));
            let token = &device.token;
            json!({
                "id": id, "platform": platform, "token": token, "registered_at": registered_at, "seen_at": seen_at,
                "dead_since": dead_since,
            })
        });
        let preferences = user.preferences.iter().flat_map(|(category, said)| {
            let said = Channel::ALL.into_iter().filter_map(|channel| Some((channel, said[channel.index()]?)));
            said.map(move |(channel, on)| json!({ "category": category, "channel": channel.name(), "enabled": on }))
        });
        let attributes: BTreeMap<&str, Value> = user
            .attributes
            .iter()
            .map(|(name, text)| (&**name, serde_json::from_str(text).unwrap_or_else(|_| Value::from(&**text))))
            .collect();
        let quiet_hours = match user.quiet_hours {
            QuietChoice::Usual => Value::Null,
            QuietChoice::Never => "never".into(),
            QuietChoice::Own(hours) => json!({ "from": hours.from().to_string(), "to": hours.to().to_string() }),
        };
        let current = user.consents.iter().map(|(purpose, consent)| ConsentView::new(purpose, consent));
        Ok(json!({
            "exported_at": parts.clock.now().to_string(),
            "user_id": key.user_id,
            "created_at": user.created_at.map(|at| at.to_string()),
            "erased_at": user.erased_at.map(|at| at.to_string()),
            "email": user.email,
            "phone": user.phone,
            "locale": user.locale,
            "timezone": user.timezone,
            "attributes": attributes,
            "devices": devices.collect::<Vec<_>>(),
            "preferences": preferences.collect::<Vec<_>>(),
            "quiet_hours": quiet_hours,
            "digest_hour": user.digest_hour,
            "preferred_channel": user.preferred_channel.map(Channel::name),
            "consents_in_force": current.collect::<Vec<_>>(),
            "suppressions": suppressions.collect::<Vec<_>>(),
            "lists": lists.into_iter().map(|(list, name)| json!({ "list": list, "as": name })).collect::<Vec<_>>(),
        }))
    }

    fn item(&mut self, piece: &mut Vec<u8>, item: &impl Serialize) {
        self.comma(piece);
        // Names are texts, and a vector takes all bytes.
        _ = serde_json::to_writer(piece, item);
    }

    fn comma(&mut self, piece: &mut Vec<u8>) {
        if std::mem::replace(&mut self.has_items, true) {
            piece.extend_from_slice(b",\n");
        }
    }

    /// Ends the list that was open, if another is to begin.
    fn go_to(&mut self, next: Stage, piece: &mut Vec<u8>) {
        if self.stage.list() != next.list() {
            if self.stage.list().is_some() {
                piece.push(b']');
            }
            if let Some(list) = next.list() {
                piece.extend_from_slice(format!(",\n\"{list}\":[").as_bytes());
            }
            self.has_items = false;
        }
        if matches!(next, Stage::Over) {
            piece.extend_from_slice(b",\n\"complete\":true}");
            metrics::exported(true);
        }
        self.stage = next;
    }

    /// Whatever was open is ended, and what is missing said. Nothing of a step that failed stands in the piece but whole items.
    fn break_off(&mut self, piece: &mut Vec<u8>) {
        if self.stage.list().is_some() {
            piece.push(b']');
        }
        let begin = if matches!(self.stage, Stage::Head) { "{" } else { ",\n" };
        let error = "the store could not be read to the end: what follows is missing, ask again";
        piece.extend_from_slice(format!("{begin}\"complete\":false,\"error\":\"{error}\"}}").as_bytes());
        metrics::exported(false);
        self.stage = Stage::Over;
    }
}

/// A record of consent, as people read it.
#[derive(Serialize)]
struct ConsentView<'a> {
    purpose: &'a str,
    granted: bool,
    at: String,
    text_version: &'a str,
    source: &'a str,
    note: Option<&'a str>,
    recorded_at: String,
}

impl<'a> ConsentView<'a> {
    fn new(purpose: &'a str, consent: &'a Consent) -> Self {
        Self {
            purpose,
            granted: consent.granted,
            at: consent.at.to_string(),
            text_version: &consent.text_version,
            source: &consent.source,
            note: consent.note.as_deref(),
            recorded_at: consent.recorded_at.to_string(),
        }
    }
}

/// An entry of the inbox, as it was rendered.
#[derive(Serialize)]
struct EntryView<'a> {
    notification_id: String,
    at: String,
    category: Option<&'a str>,
    template: Option<&'a str>,
    title: &'a str,
    body: &'a str,
    data: &'a RawValue,
    metadata: &'a RawValue,
    read_at: Option<String>,
    archived_at: Option<String>,
}

impl<'a> EntryView<'a> {
    fn new(entry: &'a InboxEntry) -> Self {
        // It was read when it was taken in.
        let raw = |text: &'a str| serde_json::from_str(text).unwrap_or(RawValue::NULL);
        Self {
            notification_id: entry.place.notification().to_string(),
            at: entry.place.at.to_string(),
            category: entry.category.as_deref(),
            template: entry.template.as_deref(),
            title: &entry.title,
            body: &entry.body,
            data: raw(&entry.data),
            metadata: raw(&entry.metadata),
            read_at: entry.read_at.map(|at| at.to_string()),
            archived_at: entry.archived_at.map(|at| at.to_string()),
        }
    }
}
