//! Reads what the engine answers to a request it has taken.

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::http_client::{Server, fetch};
use crate::ids::ShortId;

/// An answered batch.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Batch {
    /// The ids of the items that were accepted.
    pub(crate) ids: Vec<ShortId>,
    /// Items refused although the batch was taken.
    pub(crate) refused: usize,
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    items: Vec<ItemAnswer<'a>>,
}

#[derive(Deserialize)]
struct ItemAnswer<'a> {
    #[serde(borrow)]
    id: Option<&'a str>,
    error: Option<IgnoredAny>,
}

/// The id of a single accepted notification.
pub(crate) fn single(body: &[u8]) -> Result<ShortId> {
    let answer: ItemAnswer<'_> = serde_json::from_slice(body).context("cannot read the answer")?;
    id(answer.id.context("the answer has no id")?)
}

impl Batch {
    /// Reads the answer to a batch of `expected` items.
    pub(crate) fn read(body: &[u8], expected: usize) -> Result<Self> {
        let answer: Answer<'_> = serde_json::from_slice(body).context("cannot read the answer")?;
        ensure!(answer.items.len() == expected, "{} answers to {expected} items", answer.items.len());
        let mut batch = Self { ids: Vec::with_capacity(expected), refused: 0 };
        for item in answer.items {
            match (item.id, item.error) {
                (Some(text), None) => batch.ids.push(id(text)?),
                _ => batch.refused += 1,
            }
        }
        Ok(batch)
    }
}

fn id(text: &str) -> Result<ShortId> {
    ShortId::new(text.as_bytes()).with_context(|| format!("`{text}` is too long for an id"))
}

/// What the engine itself says of a notification, in one line for people.
pub(crate) async fn notification(server: &Server, id: &str) -> String {
    let body = fetch(server, &format!("/v1/notifications/{id}")).await;
    match body {
        Ok(body) => String::from_utf8_lossy(&body).split_whitespace().collect::<Vec<_>>().join(" "),
        Err(error) => format!("{error:#}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_item_does_not_hide_the_others() {
        let body =
            br#"{"items":[{"id":"ntf_a"},{"error":{"title":"no recipient"}},{"id": "ntf_b","status":"accepted"}]}"#;
        let batch = Batch::read(body, 3).expect("a legal answer");
        assert_eq!(batch.ids, [id("ntf_a").expect("short"), id("ntf_b").expect("short")]);
        assert_eq!(batch.refused, 1);
        assert!(Batch::read(body, 4).is_err());
    }

    #[test]
    fn a_single_answer_has_an_id() {
        assert_eq!(single(br#"{"id":"ntf_a","status":"accepted"}"#).ok(), ShortId::new(b"ntf_a"));
        assert!(single(br#"{"status":"accepted"}"#).is_err());
        assert!(single(b"").is_err());
    }
}
