//! What is found out when a request is accepted, so that it does not fail when it is sent.

use super::{Part, RenderError, Renderer, merged};
use crate::domain::{Content, NotificationRequest};

/// What is wrong with a request's content, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{pointer}: {detail}")]
pub struct ContentProblem {
    /// A JSON pointer (RFC 6901) into the request.
    pub pointer: String,
    pub detail: String,
}

/// How deep the data may nest.
const DATA_DEPTH_MAX: usize = 64;

impl Renderer {
    /// Whether the request can be rendered: its template exists, its parts are templates, its data has what they need. All
    /// parts are rendered once; those without expressions cost nothing.
    pub fn check(&self, request: &NotificationRequest) -> Result<(), ContentProblem> {
        let data = request.data.trim_ascii_start();
        if !data.starts_with('{') {
            return Err(problem("/data", "must be an object"));
        }
        if is_deeper_than(data, DATA_DEPTH_MAX) {
            return Err(problem("/data", &format!("nested more than {DATA_DEPTH_MAX} deep")));
        }
        let alone = request.aggregate.as_ref().map(|aggregate| merged::alone(data, aggregate.actor.as_deref()));
        let rendered = match alone.transpose() {
            Ok(alone) => self.try_request(request, alone.as_deref().unwrap_or(data)),
            Err(error) => Err(error),
        };
        match rendered {
            Ok(_) => Ok(()),
            Err(error) => Err(locate(&error, &request.content)),
        }
    }
}

/// Finds the field that the caller has to mend.
fn locate(error: &RenderError, content: &Content) -> ContentProblem {
    let is_inline = matches!(content, Content::Inline { .. });
    let pointer = match error {
        RenderError::NoTemplate { .. }
        | RenderError::Inactive { .. }
        | RenderError::NoMessage { .. }
        | RenderError::Unusable { .. } => "/template".to_owned(),
        RenderError::MissingVariable { variable, .. }
        | RenderError::Required { variable }
        | RenderError::WrongType { variable, .. } => variable_pointer(variable),
        RenderError::Data { .. } => "/data".to_owned(),
        RenderError::Syntax { part, .. }
        | RenderError::TooLong { part, .. }
        | RenderError::TooMuchWork { part }
        | RenderError::TitleLines { part }
        | RenderError::Failed { part, .. }
            if is_inline =>
        {
            part_pointer(*part)
        }
        // The template is not the caller's to mend; what was put into it is.
        _ => "/data".to_owned(),
    };
    ContentProblem { pointer, detail: error.to_string() }
}

fn part_pointer(part: Part) -> String {
    format!("/content/{part}")
}

/// `user.items.[0]` is `/data/user/items/0`. A name that begins elsewhere than at the root only leads to the data.
fn variable_pointer(variable: &str) -> String {
    if variable.starts_with(['.', '@']) || variable.starts_with("this") {
        return "/data".to_owned();
    }
    let mut pointer = "/data".to_owned();
    for step in variable.split(['.', '/']) {
        let step = step.trim_start_matches('[').trim_end_matches(']');
        pointer.push('/');
        pointer.push_str(&step.replace('~', "~0").replace('/', "~1"));
    }
    pointer
}

fn problem(pointer: &str, detail: &str) -> ContentProblem {
    ContentProblem { pointer: pointer.to_owned(), detail: detail.to_owned() }
}

/// Counts the brackets outside texts, before anything goes down the stack for them.
fn is_deeper_than(json: &str, depth_max: usize) -> bool {
    let mut depth = 0usize;
    let mut is_text = false;
    let mut bytes = json.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' if is_text => _ = bytes.next(),
            b'"' => is_text = !is_text,
            b'{' | b'[' if !is_text => depth += 1,
            b'}' | b']' if !is_text => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > depth_max {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_is_counted_outside_texts() {
        assert!(!is_deeper_than(r#"{"a":[{"b":"[[[[{{{{\"[[[["}]}"#, 3));
        assert!(is_deeper_than(r#"{"a":[{"b":"[[[["}]}"#, 2));
        assert!(is_deeper_than(&"[".repeat(10_000), 64));
        assert!(!is_deeper_than(&"[]".repeat(10_000), 64));
    }

    #[test]
    fn a_variable_has_a_pointer_into_the_data() {
        for (variable, pointer) in [
            ("order_id", "/data/order_id"),
            ("user.name", "/data/user/name"),
            ("items.[0].a", "/data/items/0/a"),
            ("../name", "/data"),
            ("this.name", "/data"),
            ("@index", "/data"),
        ] {
            assert_eq!(variable_pointer(variable), pointer);
        }
    }
}
