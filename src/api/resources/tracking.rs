//! `/t/o/{token}` and `/t/c/{token}`: the pixel and the links of mails. Whoever asks is answered, whatever becomes of noting it; there is
//! no key, no cookie, and nothing of who asks is kept but whether it was a program.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::Response;

use super::receipts::look_early;
use super::recipients::unknown_link;
use crate::api::routes::Answer;
use crate::api::state::Api;
use crate::domain::EventKind;
use crate::outcomes::Visit;

/// One transparent dot: GIF89a, 1 by 1, its only colour see-through. There is none that is smaller.
const PIXEL: &[u8; 43] = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff\x21\xf9\x04\x01\x00\x00\x00\x00\x2c\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02\x44\x01\x00\x3b";

/// By which programs say that nobody has asked to see it yet (the W3C's Fetch Metadata, and what came before it).
const LOOKS_AHEAD: [&str; 3] = ["sec-purpose", "purpose", "x-moz"];

/// Of a name nothing beyond this is looked at.
const USER_AGENT_BYTES_MAX: usize = 1024;

/// An image, always: image proxies of mail programs show a broken one in the place of any other status.
pub(in crate::api) async fn open(
    State(api): State<Arc<Api>>,
    path: Result<Path<String>, PathRejection>,
    method: Method,
    headers: HeaderMap,
) -> Answer {
    let tracker = &api.parts.tracker;
    let mail = path.ok().and_then(|Path(token)| api.parts.links.as_ref()?.read_open(&token));
    match mail {
        Some(mail) => look_early(&api, tracker.opened(mail, visit(&method, &headers)).await),
        None => tracker.forged(EventKind::Opened),
    }
    let mut response = Response::new(Body::from(&PIXEL[..]));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("image/gif"));
    // Pages of other origins may show it: web mail does.
    let policy = HeaderName::from_static("cross-origin-resource-policy");
    response.headers_mut().insert(policy, HeaderValue::from_static("cross-origin"));
    Ok(unseen(response))
}

/// On to where the link leads; nowhere but to what we signed.
pub(in crate::api) async fn click(
    State(api): State<Arc<Api>>,
    path: Result<Path<String>, PathRejection>,
    method: Method,
    headers: HeaderMap,
) -> Answer {
    let tracker = &api.parts.tracker;
    let link = path.ok().and_then(|Path(token)| api.parts.links.as_ref()?.read_click(&token));
    let target = link.as_ref().and_then(|link| HeaderValue::from_str(&link.target).ok());
    let (Some(link), Some(target)) = (link, target) else {
        tracker.forged(EventKind::Clicked);
        return Ok(unknown_link(&headers));
    };
    look_early(&api, tracker.clicked(&link, visit(&method, &headers)).await);
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::FOUND;
    response.headers_mut().insert(header::LOCATION, target);
    Ok(unseen(response))
}

fn visit<'a>(method: &Method, headers: &'a HeaderMap) -> Visit<'a> {
    let user_agent = headers.get(header::USER_AGENT).map(HeaderValue::as_bytes);
    let user_agent = user_agent.map(|name| &name[..name.len().min(USER_AGENT_BYTES_MAX)]);
    let looks_ahead = |value: &HeaderValue| {
        let value = value.as_bytes().to_ascii_lowercase();
        value.starts_with(b"prefetch") || value.starts_with(b"preview")
    };
    Visit {
        // What is no text is no program's name.
        user_agent: user_agent.and_then(|name| std::str::from_utf8(name).ok()),
        is_look_ahead: method == Method::HEAD
            || LOOKS_AHEAD.iter().filter_map(|name| headers.get(*name)).any(looks_ahead),
    }
}

/// Asked for again it is another time; and where it leads does not learn that it was asked for here.
fn unseen(mut response: Response) -> Response {
    let mut set =
        |name: HeaderName, value: &'static str| response.headers_mut().insert(name, HeaderValue::from_static(value));
    set(header::CACHE_CONTROL, "no-store");
    set(header::REFERRER_POLICY, "no-referrer");
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(HeaderName::from_static("x-robots-tag"), "noindex");
    response
}
