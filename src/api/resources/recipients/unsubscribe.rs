//! `/u/{token}`: the link in a message that takes its reader off a list (RFC 8058). Reading it changes nothing, since scanners
//! follow links; posting to it does, with whatever body, and is answered at once without a redirect or a cookie.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode};

use super::form::write_choice;
use super::page::{escaped, later, page};
use super::reader::{Reader, token, unknown};
use super::words::Words;
use crate::api::body;
use crate::api::resources::receipts::look_early;
use crate::api::routes::Answer;
use crate::api::state::Api;
use crate::links::{Unsubscribe, Whom};

pub(in crate::api) const PATH: &str = "/u/{token}";

/// `List-Unsubscribe=One-Click`, as a form or in parts; what is larger is no mail client's.
const BODY_BYTES_MAX: usize = 16 * 1024;

/// Asks whether its reader wants no more.
pub(in crate::api) async fn show(
    State(api): State<Arc<Api>>,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Answer {
    let token = token(path);
    let strange = Words::of(None, &headers);
    let Some(said) = read(&api, &token) else { return Ok(unknown(strange)) };
    let Ok(reader) = Reader::of_message(&api, said.clone(), &headers).await else { return Ok(later(strange)) };
    if reader.is_erased {
        return Ok(reader.erased());
    }
    let words = reader.words;
    let leave = format!(
        "<form method=\"post\"><button type=\"submit\" class=\"primary\">{}</button></form>",
        escaped(words.unsubscribe)
    );
    let (question, leave) = match &said.whom {
        Whom::Email(_) => (escaped(words.question_address), leave),
        Whom::User(_) if is_mandatory(&api, &said.category) => {
            (reader.about(&api, words.question_mandatory, &said.category, said.channel), String::new())
        }
        Whom::User(_) => (reader.about(&api, words.question, &said.category, said.channel), leave),
    };
    let body = format!("<p>{question}</p>\n{leave}\n{}", to_choices(words, &token));
    Ok(page(StatusCode::OK, words, words.unsubscribe, &body))
}

/// One click: whatever the body says.
pub(in crate::api) async fn create(
    State(api): State<Arc<Api>>,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Answer {
    let token = token(path);
    let headers = request.headers().clone();
    let Some(said) = read(&api, &token) else { return Ok(unknown(Words::of(None, &headers))) };
    // What it says is known from the link; it is read so that the connection can be used again.
    let _body = body::read_of_stranger(&api, request, BODY_BYTES_MAX).await?;
    let noted = api.parts.receipts.unsubscribe(said.clone()).await?;
    look_early(&api, noted.early);
    // It is done: that a name cannot be read now must not look as if it were not.
    let Ok(reader) = Reader::of_message(&api, said.clone(), &headers).await else {
        let words = Words::of(None, &headers);
        return Ok(page(StatusCode::OK, words, words.left_title, ""));
    };
    let words = reader.words;
    let body = match &said.whom {
        Whom::User(_) if reader.is_erased => reader.about(&api, words.left, &said.category, said.channel),
        _ => left(&api, &reader, &said, &token),
    };
    Ok(page(StatusCode::OK, words, words.left_title, &body))
}

/// What somebody gets no more of, and the way back, as HTML.
pub(super) fn left(api: &Api, reader: &Reader, said: &Unsubscribe, token: &str) -> String {
    let words = reader.words;
    let (text, undone) = match &said.whom {
        Whom::User(_) => (
            reader.about(api, words.left, &said.category, said.channel),
            vec![write_choice(said.channel, &said.category)],
        ),
        Whom::Email(_) => (escaped(words.left_address), Vec::new()),
    };
    let undo = undo(words, token, &undone);
    format!("<p class=\"notice good\" role=\"status\">{text}</p>\n{undo}\n{}", to_choices(words, token))
}

/// A form that takes back what was just done: these choices come again.
pub(super) fn undo(words: &Words, token: &str, choices: &[String]) -> String {
    let fields =
        choices.iter().map(|choice| format!("<input type=\"hidden\" name=\"on\" value=\"{}\">", escaped(choice)));
    format!(
        "<form method=\"post\" action=\"../preferences/{}\">{}<button type=\"submit\" name=\"do\" value=\"subscribe\">{}\
         </button></form>",
        escaped(token),
        fields.collect::<String>(),
        escaped(words.undo)
    )
}

fn to_choices(words: &Words, token: &str) -> String {
    format!("<p><a href=\"../preferences/{}\">{}</a></p>", escaped(token), escaped(words.to_choices))
}

fn read(api: &Api, token: &str) -> Option<Unsubscribe> {
    api.parts.links.as_ref()?.read_unsubscribe(token)
}

/// One that is not there any more can be left: nobody knows what it was.
fn is_mandatory(api: &Api, category: &str) -> bool {
    api.parts.categories.get(category).is_some_and(|category| !category.opt_out)
}
