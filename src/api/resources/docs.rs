//! The description of the API, and a page to read and try it. All of it is in the binary: the page asks no other host, and
//! may not.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::Response;

use crate::api::routes::Answer;

/// The OpenAPI document; a test holds it to the route table.
pub(in crate::api) const OPENAPI: &str = include_str!("../../../web/docs/openapi.json");
pub(in crate::api) const PAGE: &str = include_str!("../../../web/docs/index.html");
const STYLE: &str = include_str!("../../../web/docs/docs.css");
const SCRIPT: &str = include_str!("../../../web/docs/docs.js");

/// What the page may do: use its own style and script, and call this server.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

pub(in crate::api) async fn openapi() -> Answer {
    Ok(file("application/json", OPENAPI))
}

pub(in crate::api) async fn page() -> Answer {
    Ok(file("text/html; charset=utf-8", PAGE))
}

pub(in crate::api) async fn style() -> Answer {
    Ok(file("text/css; charset=utf-8", STYLE))
}

pub(in crate::api) async fn script() -> Answer {
    Ok(file("text/javascript; charset=utf-8", SCRIPT))
}

fn file(media_type: &'static str, text: &'static str) -> Response {
    let mut response = Response::new(Body::from(text));
    let mut set =
        |name: HeaderName, value: &'static str| response.headers_mut().insert(name, HeaderValue::from_static(value));
    set(header::CONTENT_TYPE, media_type);
    set(header::CONTENT_SECURITY_POLICY, POLICY);
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::REFERRER_POLICY, "no-referrer");
    set(header::CACHE_CONTROL, "no-cache");
    response
}
