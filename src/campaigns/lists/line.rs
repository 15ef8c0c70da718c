//! A member of a list as somebody wrote it: each is checked as the recipient of a request is, before anything is kept of it.

use serde_json::value::RawValue;

use super::ListMember;
use crate::config::nearest;
use crate::domain::Recipient;
use crate::intake::{FieldProblem, addresses, json_fields_once, json_object, limits};

/// The fields of a member that say who it is.
pub(super) const WHO: [&str; 6] = ["user_id", "email", "phone", "push_token", "url", "chat"];

/// Reads a line of NDJSON: an object of [`WHO`] and `data`. On failure everything that is wrong with it.
pub fn read_member(text: &str) -> Result<ListMember, Vec<FieldProblem>> {
    let mut fields = json_fields_once(text).map_err(|problem| vec![problem])?;
    let mut problems = Vec::new();
    let mut said: [Option<Box<str>>; 6] = Default::default();
    for (name, place) in WHO.into_iter().zip(&mut said) {
        let Some(raw) = fields.remove(name) else { continue };
        match serde_json::from_str::<Option<Box<str>>>(raw.get()) {
            Ok(text) => *place = text,
            Err(_) => problems.push(FieldProblem::new(format!("/{name}"), "must be a text")),
        }
    }
    let data = fields.remove("data").filter(|raw: &&RawValue| raw.get() != "null");
    let data = data.map(|raw| json_object("/data", Some(raw))).transpose();
    let data = data.unwrap_or_else(|problem| {
        problems.push(problem);
        None
    });
    for name in fields.keys() {
        let known: Vec<&str> = WHO.into_iter().chain(["data"]).collect();
        let hint = nearest(name, &known).map(|near| format!(": did you mean `{near}`?")).unwrap_or_default();
        problems
            .push(FieldProblem::of_field(name, format!("is no field that is known here{hint}: put it into `data`")));
    }
    checked(said, data, problems)
}

/// A member of what stands in the fields of [`WHO`], in their order.
pub(super) fn checked(
    said: [Option<Box<str>>; 6],
    data: Option<Box<str>>,
    mut problems: Vec<FieldProblem>,
) -> Result<ListMember, Vec<FieldProblem>> {
    let was_read = problems.is_empty();
    for (name, text) in WHO.into_iter().zip(&said) {
        let Some(text) = text else { continue };
        let outcome = match name {
            "user_id" => line(text, limits::USER_ID_BYTES_MAX),
            "email" => addresses::email(text).map_err(str::to_owned),
            "phone" => addresses::phone(text).map_err(str::to_owned),
            "push_token" => addresses::push_token(text).map_err(str::to_owned),
            "url" => addresses::url(text).map_err(str::to_owned),
            _ => line(text, limits::CHAT_BYTES_MAX),
        };
        problems.extend(outcome.err().map(|detail| FieldProblem::new(format!("/{name}"), detail)));
    }
    if was_read && said.iter().all(Option::is_none) {
        problems.push(FieldProblem::new("", format!("says of nobody: it needs one of {}", WHO.join(", "))));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let [user_id, email, phone, push_token, url, chat] = said;
    Ok(ListMember { user_id, to: Recipient { email, phone, push_token, url, chat }, data })
}

fn line(text: &str, bytes_max: usize) -> Result<(), String> {
    if text.is_empty() || text.len() > bytes_max {
        return Err(format!("must have 1 to {bytes_max} bytes"));
    }
    addresses::one_line(text).map_err(str::to_owned)
}
