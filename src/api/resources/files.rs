//! Files that are part of the binary. In: what was asked for, and what the caller has. Out: the file. Promise: a page asks no other host
//! but those of its policy, and is shown in no page of others unless it says so.

use axum::body::Body;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;

use crate::api::problem::Problem;
use crate::api::routes::Answer;

/// A file in the binary.
pub(in crate::api) struct File {
    /// The last segment of its address.
    pub(in crate::api) name: &'static str,
    media_type: &'static str,
    pub(in crate::api) text: &'static str,
    /// Changes when the text does.
    tag: u64,
    policy: &'static str,
    loaded_by: LoadedBy,
}

/// Whose pages may load a file (the Fetch standard, 3.7: cross-origin resource policy).
#[derive(Clone, Copy, PartialEq, Eq)]
enum LoadedBy {
    Ours,
    /// And frames of ours whose origin is nobody's.
    Frames,
    All,
}

/// For how long a file for all is taken as it is before it is asked about again, in seconds: pages of others load it often.
const FOR_ALL_CACHE: &str = "public, max-age=300, must-revalidate";

/// The file with this name.
pub(super) fn find(files: &'static [File], path: Result<Path<String>, PathRejection>, headers: &HeaderMap) -> Answer {
    let Path(name) = path.map_err(|_| Problem::not_found())?;
    let file = files.iter().find(|file| file.name == name).ok_or_else(Problem::not_found)?;
    Ok(file.answer(headers))
}

impl File {
    pub(super) const fn html(name: &'static str, policy: &'static str, text: &'static str) -> Self {
        Self::new(name, "text/html; charset=utf-8", policy, text)
    }

    pub(super) const fn style(name: &'static str, policy: &'static str, text: &'static str) -> Self {
        Self::new(name, "text/css; charset=utf-8", policy, text)
    }

    pub(super) const fn script(name: &'static str, policy: &'static str, text: &'static str) -> Self {
        Self::new(name, "text/javascript; charset=utf-8", policy, text)
    }

    /// The same, which pages of other origins may load.
    pub(super) const fn for_all(self) -> Self {
        Self { loaded_by: LoadedBy::All, ..self }
    }

    /// The same, which frames without an origin may load.
    pub(super) const fn for_frames(self) -> Self {
        Self { loaded_by: LoadedBy::Frames, ..self }
    }

    const fn new(name: &'static str, media_type: &'static str, policy: &'static str, text: &'static str) -> Self {
        Self { name, media_type, text, tag: hash(text.as_bytes()), policy, loaded_by: LoadedBy::Ours }
    }

    /// The file, or 304 to who has it. Pages are kept nowhere; what they are made of is kept, and asked about each time, so that a
    /// new version of the binary is seen at once.
    pub(super) fn answer(&self, headers: &HeaderMap) -> Response {
        let tag = format!("\"{:016x}\"", self.tag);
        let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        let is_known = known.flat_map(|tags| tags.split(',')).any(|known| known.trim().trim_start_matches("W/") == tag);
        let mut response = Response::new(if is_known { Body::empty() } else { Body::from(self.text) });
        if is_known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        }
        let is_page = self.media_type.starts_with("text/html");
        let mut set = |name: HeaderName, value: &'static str| {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        };
        set(header::CONTENT_TYPE, self.media_type);
        set(header::CONTENT_SECURITY_POLICY, self.policy);
        set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
        set(header::REFERRER_POLICY, "no-referrer");
        let is_for_all = self.loaded_by == LoadedBy::All;
        if is_for_all {
            set(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*");
        }
        let loaded_by = if self.loaded_by == LoadedBy::Ours { "same-origin" } else { "cross-origin" };
        set(HeaderName::from_static("cross-origin-resource-policy"), loaded_by);
        let kept = if is_page { "no-store" } else { "no-cache" };
        set(header::CACHE_CONTROL, if is_for_all { FOR_ALL_CACHE } else { kept });
        if let Ok(tag) = HeaderValue::try_from(tag) {
            response.headers_mut().insert(header::ETAG, tag);
        }
        response
    }
}

/// FNV-1a, which can be reckoned while compiling.
const fn hash(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut index = 0;
    while index < bytes.len() {
        hash = (hash ^ bytes[index] as u64).wrapping_mul(0x0100_0000_01b3);
        index += 1;
    }
    hash
}
