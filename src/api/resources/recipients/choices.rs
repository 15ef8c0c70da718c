//! `/preferences/{token}`: the page where somebody chooses what they get, and by which way. It is reached by the link of a message, or
//! by one that the tenant asked for. It works without script: a form goes out, and a page that says what was saved comes back.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::changes::{Switch, changes, consents};
use super::form::{Action, Form, write_choice};
use super::page::{escaped, later, page, sentence};
use super::reader::{Opened, Reader, description, key, open, title, token};
use super::unsubscribe::{left, undo};
use crate::api::body;
use crate::api::problem::Problem;
use crate::api::profile::Preferences;
use crate::api::resources::preferences;
use crate::api::resources::receipts::look_early;
use crate::api::routes::Answer;
use crate::api::state::Api;
use crate::domain::{AddressKind, Category, Channel, SuppressedAddress, SuppressionCause};
use crate::links::Whom;

pub(in crate::api) const PATH: &str = "/preferences/{token}";

/// Of a form: every choice twice, with names of the usual length.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// What somebody may choose, and how it stands.
pub(in crate::api) async fn show(
    State(api): State<Arc<Api>>,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Answer {
    let token = token(path);
    let reader = match open(&api, &token, &headers).await {
        Opened::Reader(reader) => reader,
        Opened::Closed(page) => return Ok(page),
    };
    Ok(match shown(&api, &reader, &token, "").await {
        Ok(page) => page,
        Err(_) => later(reader.words),
    })
}

/// Saves what was chosen. That the token stands in the address is what allows it: another site does not know it.
pub(in crate::api) async fn change(
    State(api): State<Arc<Api>>,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Answer {
    let token = token(path);
    let headers = request.headers().clone();
    let mut reader = match open(&api, &token, &headers).await {
        Opened::Reader(reader) => reader,
        Opened::Closed(page) => return Ok(page),
    };
    let words = reader.words;
    let (_, body, _memory) = body::read_of_stranger(&api, request, BODY_BYTES_MAX).await?;
    let Some(form) = Form::read(&body) else {
        return Ok(sentence(StatusCode::BAD_REQUEST, words, words.refused_title, words.refused));
    };
    let saved = match &reader.whom {
        Whom::User(_) => save(&api, &mut reader, &form, &token).await,
        Whom::Email(_) => save_address(&api, &reader, form.action, &token).await,
    };
    let page = match saved {
        Ok(Saved::Page(page)) => Ok(page),
        Ok(Saved::Notice(notice)) => shown(&api, &reader, &token, &notice).await,
        Err(problem) => Err(problem),
    };
    Ok(page.unwrap_or_else(|_| later(words)))
}

enum Saved {
    Page(Response),
    /// HTML that stands above the choices.
    Notice(String),
}

async fn save(api: &Api, reader: &mut Reader, form: &Form, token: &str) -> Result<Saved, Problem> {
    let changed = changes(form, &api.parts.categories, &reader.user);
    if let Some(key) = key(reader).filter(|_| !changed.is_empty()) {
        let switches = changed.iter().map(|(category, channel, on)| (category.clone(), *channel, Some(*on)));
        let said = Preferences::of(switches.collect());
        let consents = consents(&changed, &api.parts.categories, &reader.user, api.parts.clock.now());
        let user = preferences::save_with(api, &key, &said, consents).await?;
        reader.now_known(user);
    }
    Ok(Saved::Notice(notice(api, reader, &changed, token)))
}

/// Of who has no id the whole address is left alone, or is not. What is suppressed for another reason than that somebody asked for
/// it stays so: that is not theirs to say.
async fn save_address(api: &Api, reader: &Reader, action: Action, token: &str) -> Result<Saved, Problem> {
    let words = reader.words;
    let Some(said) = &reader.message else { return Ok(Saved::Notice(String::new())) };
    match action {
        Action::Leave | Action::LeaveAll => {
            let noted = api.parts.receipts.unsubscribe(said.clone()).await?;
            look_early(api, noted.early);
            Ok(Saved::Page(page(StatusCode::OK, words, words.left_title, &left(api, reader, said, token))))
        }
        Action::Subscribe => {
            let Whom::Email(address) = &said.whom else { return Ok(Saved::Notice(String::new())) };
            let address = SuppressedAddress::new(&reader.tenant, AddressKind::Email, address);
            let held = api.parts.users.suppressions(std::slice::from_ref(&address)).await?.pop().flatten();
            if held.is_none_or(|held| held.cause != SuppressionCause::OptOut) {
                return Ok(Saved::Notice(String::new()));
            }
            api.parts.users.write_suppressions(vec![(address, None)]).await?;
            let text = format!("<p class=\"notice good\" role=\"status\">{}</p>", escaped(words.back_address));
            Ok(Saved::Page(page(StatusCode::OK, words, words.back_title, &text)))
        }
        Action::Save => Ok(Saved::Notice(String::new())),
    }
}

/// What was saved, with the way back from what was left. Of ways that are not served nobody has to read.
fn notice(api: &Api, reader: &Reader, changed: &[Switch], token: &str) -> String {
    let words = reader.words;
    if changed.is_empty() {
        return format!("<p class=\"notice\" role=\"status\">{}</p>", escaped(words.unchanged));
    }
    let served = served(api, reader);
    let mut lines = String::new();
    for (category, channel, on) in changed.iter().filter(|(_, channel, _)| served.contains(channel)) {
        let (title, way) = (title(api, words, category), escaped(words.channel(*channel)));
        let became = escaped(if *on { words.on } else { words.off });
        lines.push_str(&format!("<li><b>{title}</b> · {way}: {became}</li>"));
    }
    let left = changed.iter().filter(|(_, _, on)| !on);
    let back: Vec<String> = left.map(|(category, channel, _)| write_choice(*channel, category)).collect();
    let undo = if back.is_empty() { String::new() } else { undo(words, token, &back) };
    format!(
        "<div class=\"notice good\" role=\"status\"><p><b>{}</b></p><ul>{lines}</ul>{undo}</div>",
        escaped(words.saved)
    )
}

/// The page with all choices, below what was just done.
async fn shown(api: &Api, reader: &Reader, token: &str, notice: &str) -> Result<Response, Problem> {
    let words = reader.words;
    let body = match &reader.whom {
        Whom::User(user_id) => {
            // Set apart from the text around it, in whatever direction it is written.
            let user = format!("<bdi>{}</bdi>", escaped(user_id));
            let user = escaped(words.for_user).replace("{user}", &user);
            format!("<p class=\"soft\">{user}</p>\n{notice}\n{}", all_choices(api, reader))
        }
        Whom::Email(address) => format!("{notice}\n{}", of_address(api, reader, address, token).await?),
    };
    Ok(page(StatusCode::OK, words, words.choices_title, &body))
}

fn all_choices(api: &Api, reader: &Reader) -> String {
    let words = reader.words;
    let served = served(api, reader);
    let all = api.parts.categories.all();
    let choosable: String = all.iter().filter(|one| one.opt_out).map(|one| choice(api, reader, one, &served)).collect();
    let fixed: String = all.iter().filter(|one| !one.opt_out).map(|one| always(api, reader, one)).collect();
    let form = if choosable.is_empty() {
        format!("<p>{}</p>", escaped(words.nothing_to_choose))
    } else {
        format!(
            "<p>{}</p>\n<form method=\"post\">\n{choosable}\
             <p class=\"actions\"><button type=\"submit\" name=\"do\" value=\"save\" class=\"primary\">{}</button></p>\n\
             <div class=\"leave\"><p class=\"soft\" id=\"leave-hint\">{}</p>\
             <button type=\"submit\" name=\"do\" value=\"leave_all\" class=\"danger\" aria-describedby=\"leave-hint\">{}\
             </button></div>\n</form>",
            escaped(words.choices),
            escaped(words.save),
            escaped(words.leave_all_hint),
            escaped(words.leave_all),
        )
    };
    let fixed = match fixed.is_empty() {
        true => String::new(),
        false => {
            format!("\n<section class=\"fixed\"><h2>{}</h2><ul>{fixed}</ul></section>", escaped(words.always_title))
        }
    };
    form + &fixed
}

fn choice(api: &Api, reader: &Reader, category: &Category, served: &[Channel]) -> String {
    let words = reader.words;
    let mut boxes = String::new();
    for channel in served {
        let value = escaped(&write_choice(*channel, &category.name));
        let is_on = category.is_for(&reader.user, *channel);
        let checked = if is_on { " checked" } else { "" };
        boxes.push_str(&format!(
            "<input type=\"hidden\" name=\"shown\" value=\"{value}\"><label><input type=\"checkbox\" name=\"on\" \
             value=\"{value}\"{checked}><span>{}</span></label>\n",
            escaped(words.channel(*channel))
        ));
    }
    format!(
        "<fieldset><legend>{}</legend>{}<div class=\"ways\">\n{boxes}</div></fieldset>\n",
        title(api, words, &category.name),
        described(api, reader, category)
    )
}

fn always(api: &Api, reader: &Reader, category: &Category) -> String {
    format!(
        "<li><b>{}</b> <span class=\"badge\">{}</span>{}</li>",
        title(api, reader.words, &category.name),
        escaped(reader.words.always),
        described(api, reader, category)
    )
}

fn described(api: &Api, reader: &Reader, category: &Category) -> String {
    let text = description(api, reader.words, &category.name);
    text.map(|text| format!("<p class=\"soft\">{text}</p>")).unwrap_or_default()
}

/// Of who has no id: whether this address gets anything.
async fn of_address(api: &Api, reader: &Reader, address: &str, token: &str) -> Result<String, Problem> {
    let words = reader.words;
    let key = SuppressedAddress::new(&reader.tenant, AddressKind::Email, address);
    let held = api.parts.users.suppressions(std::slice::from_ref(&key)).await?.pop().flatten();
    let now = api.parts.clock.now();
    Ok(match held.filter(|held| held.holds(now)) {
        None => format!(
            "<p>{}</p>\n<form method=\"post\"><button type=\"submit\" name=\"do\" value=\"leave\" class=\"primary\">{}\
             </button></form>",
            escaped(words.question_address),
            escaped(words.unsubscribe)
        ),
        Some(held) => {
            let back = held.cause == SuppressionCause::OptOut;
            let undo = if back { undo(words, token, &[]) } else { String::new() };
            format!("<p>{}</p>\n{undo}", escaped(words.left_address))
        }
    })
}

/// The ways by which something can come: those that have a provider, and the one of the message.
fn served(api: &Api, reader: &Reader) -> Vec<Channel> {
    let of_message = reader.message.as_ref().map(|said| said.channel);
    let is_served = |channel: &Channel| {
        Some(*channel) == of_message || api.parts.providers.iter().any(|one| one.channels().contains(channel))
    };
    Channel::ALL.into_iter().filter(is_served).collect()
}
