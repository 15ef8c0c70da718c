//! The templates of a server.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use reqwest::{Method, StatusCode, header};
use serde_json::{Value, json};

use super::super::client::{Client, explanation};
use crate::domain::TemplateSource;

/// What came of a write.
pub(super) enum Written {
    /// And the tag of the new state.
    Done(String),
    /// It is in another state than the one that was meant.
    Conflict,
    /// It does not go with the other templates as they are now; why.
    Refused(String),
}

pub(super) struct Remote {
    client: Client,
}

impl Remote {
    pub(super) fn new(client: Client) -> Self {
        Self { client }
    }

    /// The pages of a list, one after the other; `filter` begins with `&` or is empty.
    pub(super) async fn list(&self, filter: &str) -> anyhow::Result<Vec<Value>> {
        let (mut all, mut cursor) = (Vec::new(), String::new());
        loop {
            let path = format!("/v1/templates?limit=200{filter}{cursor}");
            let mut page = self.client.call(self.client.request(Method::GET, &path)).await?;
            let Value::Array(data) = page["data"].take() else { bail!("the server answered without `data`") };
            all.extend(data);
            match page["next_cursor"].as_str() {
                // It is made of letters that need no escaping.
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(all),
            }
        }
    }

    /// The tags of all that are saved, by code.
    pub(super) async fn tags(&self) -> anyhow::Result<BTreeMap<Box<str>, String>> {
        let mut tags = BTreeMap::new();
        for one in self.list("&origin=saved").await? {
            let word = |name: &str| one[name].as_str().with_context(|| format!("the server answered without `{name}`"));
            tags.insert(word("code")?.into(), word("etag")?.to_owned());
        }
        Ok(tags)
    }

    /// A template, and the tag of its state.
    pub(super) async fn template(&self, code: &str) -> anyhow::Result<(TemplateSource, String)> {
        let mut shown = self.client.call(self.client.request(Method::GET, &format!("/v1/templates/{code}"))).await?;
        let tag = shown["etag"].as_str().context("the server answered without `etag`")?.to_owned();
        if shown["template"].is_null() {
            bail!("the server cannot read it: {}", shown["problem"].as_str().unwrap_or("it does not say why"));
        }
        let source = serde_json::from_value(shown["template"].take());
        Ok((source.context("the server knows more of it than this program: take a newer one")?, tag))
    }

    /// Saves a template that is in the state `tag`; `None`: that is not saved yet.
    pub(super) async fn put(
        &self,
        source: &TemplateSource,
        tag: Option<&str>,
        comment: Option<&str>,
    ) -> anyhow::Result<Written> {
        let request = self.client.request(Method::PUT, &format!("/v1/templates/{}", source.code));
        let request = match tag {
            Some(tag) => request.header(header::IF_MATCH, tag),
            None => request.header(header::IF_NONE_MATCH, "*"),
        };
        self.write(request.json(&json!({"template": source, "comment": comment}))).await
    }

    pub(super) async fn delete(&self, code: &str, tag: &str) -> anyhow::Result<Written> {
        let request = self.client.request(Method::DELETE, &format!("/v1/templates/{code}"));
        self.write(request.header(header::IF_MATCH, tag)).await
    }

    async fn write(&self, request: reqwest::RequestBuilder) -> anyhow::Result<Written> {
        let (status, body) = self.client.exchange(request).await?;
        match status {
            StatusCode::PRECONDITION_FAILED => Ok(Written::Conflict),
            StatusCode::BAD_REQUEST | StatusCode::CONFLICT => {
                Ok(Written::Refused(explanation(&body).trim_start_matches(": ").to_owned()))
            }
            status if status.is_success() => Ok(Written::Done(body["etag"].as_str().unwrap_or_default().to_owned())),
            status => bail!("{status}{}", explanation(&body)),
        }
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.client.call(self.client.request(Method::POST, path).json(body)).await
    }
}
