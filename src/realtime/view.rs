//! An entry of an inbox as programs see it.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::domain::InboxEntry;

/// As JSON, over HTTP and in frames.
#[derive(Debug, Serialize)]
pub struct EntryView<'a> {
    /// Of the notification.
    id: String,
    task_id: String,
    title: &'a str,
    body: &'a str,
    category: Option<&'a str>,
    template: Option<&'a str>,
    priority: &'static str,
    data: Option<&'a RawValue>,
    metadata: Option<&'a RawValue>,
    created_at: String,
    expires_at: Option<String>,
    read: bool,
    read_at: Option<String>,
    archived_at: Option<String>,
}

impl<'a> From<&'a InboxEntry> for EntryView<'a> {
    fn from(entry: &'a InboxEntry) -> Self {
        // They are JSON since they were accepted.
        let json = |text: &'a str| serde_json::from_str(text).ok();
        Self {
            id: entry.place.notification().to_string(),
            task_id: entry.place.task.to_string(),
            title: &entry.title,
            body: &entry.body,
            category: entry.category.as_deref(),
            template: entry.template.as_deref(),
            priority: entry.priority.name(),
            data: json(&entry.data),
            metadata: json(&entry.metadata),
            created_at: entry.place.at.to_string(),
            expires_at: entry.expires_at.map(|at| at.to_string()),
            read: entry.read_at.is_some(),
            read_at: entry.read_at.map(|at| at.to_string()),
            archived_at: entry.archived_at.map(|at| at.to_string()),
        }
    }
}
