//! The frame of a page, and what its head says.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;

use super::words::Words;

/// A page asks no other host, runs no script, sends its forms here only, and is shown in no other.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Makes a page of a title, which is text, and a body, which is HTML.
pub(super) fn page(status: StatusCode, words: &Words, title: &str, body: &str) -> Response {
    let (language, direction) = (words.language, words.direction);
    // Relative, so that it is found below whatever path the outside knows us by.
    let html = format!(
        "<!doctype html>\n<html lang=\"{language}\" dir=\"{direction}\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"robots\" content=\"noindex\">\n\
         <title>{title}</title>\n<link rel=\"stylesheet\" href=\"../pages/recipient.css\">\n</head>\n<body>\n<main>\n\
         <h1>{title}</h1>\n{body}\n</main>\n</body>\n</html>\n",
        title = escaped(title)
    );
    let mut response = Response::new(Body::from(html));
    *response.status_mut() = status;
    let mut set =
        |name: HeaderName, value: &'static str| response.headers_mut().insert(name, HeaderValue::from_static(value));
    set(header::CONTENT_TYPE, "text/html; charset=utf-8");
    set(header::CONTENT_LANGUAGE, language);
    set(header::CONTENT_SECURITY_POLICY, POLICY);
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    // The link is a key: it stays out of other sites' logs, caches and search engines.
    set(header::REFERRER_POLICY, "no-referrer");
    set(header::CACHE_CONTROL, "no-store");
    set(HeaderName::from_static("x-robots-tag"), "noindex");
    response
}

/// A page with nothing but a sentence.
pub(super) fn sentence(status: StatusCode, words: &Words, title: &str, text: &str) -> Response {
    page(status, words, title, &format!("<p>{}</p>", escaped(text)))
}

/// Nothing could be read or written; a person sees this in the place of a problem in JSON.
pub(super) fn later(words: &Words) -> Response {
    let mut response = sentence(StatusCode::SERVICE_UNAVAILABLE, words, words.later_title, words.later);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    response
}

/// Text as HTML, also between quotes.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            letter => escaped.push(letter),
        }
    }
    escaped
}
