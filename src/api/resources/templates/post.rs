//! POSTs that change a template, each with a retry key.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use serde::Deserialize;

use super::super::answer::{once, raw_json, written};
use super::change;
use super::view::ChangedView;
use crate::api::auth::Caller;
use crate::api::body::{self, JsonBody};
use crate::api::problem::Problem;
use crate::api::retry_key::RetryKey;
use crate::api::routes::Answer;
use crate::api::state::Api;
use crate::templates::Order;

/// A POST whose body was read.
pub(super) struct Post<'a> {
    api: &'a Api,
    caller: &'a Caller,
    headers: HeaderMap,
    body: JsonBody,
    key: Option<RetryKey>,
}

impl<'a> Post<'a> {
    pub(super) async fn read(api: &'a Api, caller: &'a Caller, request: Request) -> Result<Self, Problem> {
        let (head, body) = body::read(api, request, api.parts.http.max_body.as_usize()).await?;
        let call = format!("POST {}", head.uri.path());
        let key = RetryKey::read(&head.headers, &caller.tenant, &call, &body.bytes)?;
        Ok(Self { api, caller, headers: head.headers, body, key })
    }

    pub(super) fn text(&self) -> Result<&str, Problem> {
        self.body.text()
    }

    /// Makes the change that `order` finds in the body, and shows the new state; or the state that it showed before under the key.
    pub(super) async fn change(
        &self,
        status: StatusCode,
        code: &str,
        order: impl AsyncFnOnce(&str) -> Result<Order, Problem>,
    ) -> Answer {
        let shown = once(self.api, self.key, async || {
            let order = order(self.text()?).await?;
            let changed = change(self.api, self.caller, &self.headers, code, &order).await?;
            written(&ChangedView::new(code, &changed))
        });
        Ok(dressed(status, shown.await?))
    }
}

/// With the headers that say again what the body says, so that an answer is kept by its body alone.
fn dressed(status: StatusCode, body: Bytes) -> Response {
    #[derive(Deserialize)]
    struct Said {
        code: String,
        etag: String,
    }
    let said = serde_json::from_slice::<Said>(&body);
    let mut response = raw_json(status, body);
    let Ok(Said { code, etag }) = said else { return response };
    // A code has no character that would have to be escaped.
    let location = (status == StatusCode::CREATED).then(|| format!("/v1/templates/{code}"));
    for (name, value) in [(header::ETAG, Some(etag)), (header::LOCATION, location)] {
        if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
