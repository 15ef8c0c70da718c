//! `/u/{token}`: the link in a message that takes its reader off a list (RFC 8058). Reading it changes nothing, since scanners
//! follow links; posting to it does, with whatever body, and is answered at once without a redirect or a cookie.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;

use super::receipts::look_early;
use crate::api::body;
use crate::api::routes::Answer;
use crate::api::state::Api;
use crate::links::{Unsubscribe, Whom};

pub(in crate::api) const PATH: &str = "/u/{token}";

/// `List-Unsubscribe=One-Click`, as a form or in parts; what is larger is no mail client's.
const BODY_BYTES_MAX: usize = 16 * 1024;

/// The page asks no other host, runs no script and may be shown in no other.
const POLICY: &str = "default-src 'none'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

pub(in crate::api) async fn show(State(api): State<Arc<Api>>, path: Result<Path<String>, PathRejection>) -> Answer {
    let Some(said) = read(&api, path) else { return Ok(unknown()) };
    let what = what(&said);
    let body = format!(
        "<p>Do you want no more {what}?</p>\n<form method=\"post\"><button type=\"submit\">Unsubscribe</button></form>"
    );
    Ok(page(StatusCode::OK, "Unsubscribe", &body))
}

pub(in crate::api) async fn create(
    State(api): State<Arc<Api>>,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Answer {
    let Some(said) = read(&api, path) else { return Ok(unknown()) };
    // What it says is known from the link; it is read so that the connection can be used again.
    let _body = body::read_of_stranger(&api, request, BODY_BYTES_MAX).await?;
    let what = what(&said);
    let noted = api.parts.receipts.unsubscribe(said).await?;
    look_early(&api, noted.early);
    Ok(page(StatusCode::OK, "Unsubscribed", &format!("<p>You will get no more {what}.</p>")))
}

fn read(api: &Api, path: Result<Path<String>, PathRejection>) -> Option<Unsubscribe> {
    let Path(token) = path.ok()?;
    api.parts.links.as_ref()?.read_unsubscribe(&token)
}

fn unknown() -> Response {
    let body = "<p>This link is not valid. Was it cut off? Open it from the message again.</p>";
    page(StatusCode::NOT_FOUND, "Unknown link", body)
}

/// What somebody gets no more of. Nobody with an id has no categories: the whole address is left alone.
fn what(said: &Unsubscribe) -> String {
    match said.whom {
        Whom::User(_) => {
            format!("messages about <b>{}</b> on this channel ({})", escaped(&said.category), said.channel)
        }
        Whom::Email(_) => "messages at this address".to_owned(),
    }
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            letter => escaped.push(letter),
        }
    }
    escaped
}

fn page(status: StatusCode, title: &str, body: &str) -> Response {
    let html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{title}</title>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n{body}\n</main>\n</body>\n</html>\n"
    );
    let mut response = Response::new(Body::from(html));
    *response.status_mut() = status;
    let mut set =
        |name: HeaderName, value: &'static str| response.headers_mut().insert(name, HeaderValue::from_static(value));
    set(header::CONTENT_TYPE, "text/html; charset=utf-8");
    set(header::CONTENT_SECURITY_POLICY, POLICY);
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    // The link is a key: it stays out of other sites' logs, caches and search engines.
    set(header::REFERRER_POLICY, "no-referrer");
    set(header::CACHE_CONTROL, "no-store");
    set(HeaderName::from_static("x-robots-tag"), "noindex");
    response
}
