//! Who opened a link, and what is known of them.

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::page::{escaped, later, sentence};
use super::words::Words;
use crate::api::problem::Problem;
use crate::api::state::Api;
use crate::domain::{Channel, Timestamp, User, UserKey};
use crate::links::{ChoicesLink, LinkError, Unsubscribe, Whom};

/// Whoever has the link in hand.
pub(super) struct Reader {
    pub(super) tenant: Box<str>,
    pub(super) whom: Whom,
    /// The message that the link stood in; `None`: it stood in none.
    pub(super) message: Option<Unsubscribe>,
    /// What is known; of who has no id, or was erased, nothing.
    pub(super) user: User,
    pub(super) is_erased: bool,
    pub(super) words: &'static Words,
}

/// What came of reading a link.
pub(super) enum Opened {
    Reader(Box<Reader>),
    /// The page that says why it leads nowhere.
    Closed(Response),
}

/// Reads a link to the choices: one of a message, or one that was made for it.
pub(super) async fn open(api: &Api, token: &str, headers: &HeaderMap) -> Opened {
    let strange = Words::of(None, headers);
    let links = api.parts.links.as_ref();
    let of_message = links.and_then(|links| links.read_unsubscribe(token));
    let reader = match (of_message, links) {
        (Some(said), _) => Reader::of_message(api, said, headers).await,
        (None, Some(links)) => match links.read_choices(token, api.parts.clock.now()) {
            Ok(link) => Reader::of_link(api, link, headers).await,
            Err(LinkError::Expired) => {
                return Opened::Closed(sentence(StatusCode::GONE, strange, strange.expired_title, strange.expired));
            }
            Err(LinkError::Unknown) => return Opened::Closed(unknown(strange)),
        },
        (None, None) => return Opened::Closed(unknown(strange)),
    };
    match reader {
        Ok(reader) if reader.is_erased => Opened::Closed(reader.erased()),
        Ok(reader) => Opened::Reader(Box::new(reader)),
        Err(_) => Opened::Closed(later(strange)),
    }
}

/// The token of an address; what cannot be read is the token of nothing.
pub(super) fn token(path: Result<Path<String>, PathRejection>) -> String {
    path.map(|Path(token)| token).unwrap_or_default()
}

/// The page of a link that was not made here.
pub(super) fn unknown(words: &Words) -> Response {
    sentence(StatusCode::NOT_FOUND, words, words.unknown_title, words.unknown)
}

impl Reader {
    pub(super) async fn of_message(api: &Api, said: Unsubscribe, headers: &HeaderMap) -> Result<Self, Problem> {
        let (tenant, whom) = (said.tenant.clone(), said.whom.clone());
        let (mut user, mut is_erased) = (User::default(), false);
        if let Whom::User(user_id) = &whom {
            user = known(api, &tenant, user_id).await?;
            // Seldom, so that the story of the message is seldom read.
            if user.erased_at.is_some() {
                let stories = api.parts.store.stories(&[said.task.position]).await?;
                let accepted_at = stories.into_iter().flatten().next().map(|story| story.plan.accepted_at);
                is_erased = user.was_erased_since(accepted_at);
            }
        }
        Ok(Self::new(tenant, whom, Some(said), user, is_erased, headers))
    }

    async fn of_link(api: &Api, link: ChoicesLink, headers: &HeaderMap) -> Result<Self, Problem> {
        let ChoicesLink { tenant, user_id, made_at, expires_at: _ } = link;
        let user = known(api, &tenant, &user_id).await?;
        let is_erased = user.was_erased_since(Some(made_at));
        Ok(Self::new(tenant, Whom::User(user_id), None, user, is_erased, headers))
    }

    fn new(
        tenant: Box<str>,
        whom: Whom,
        message: Option<Unsubscribe>,
        user: User,
        is_erased: bool,
        headers: &HeaderMap,
    ) -> Self {
        let locale = user.locale.as_deref().filter(|_| !is_erased);
        let words = Words::of(locale, headers);
        Self { tenant, whom, message, user, is_erased, words }
    }

    /// The page for somebody of whom nothing is kept.
    pub(super) fn erased(&self) -> Response {
        sentence(StatusCode::GONE, self.words, self.words.erased_title, self.words.erased)
    }

    pub(super) fn now_known(&mut self, user: User) {
        self.user = user;
    }

    /// A sentence about a category on a channel, as HTML.
    pub(super) fn about(&self, api: &Api, sentence: &str, category: &str, channel: Channel) -> String {
        let category = format!("<b>{}</b>", title(api, self.words, category));
        let channel = format!("<b>{}</b>", self.words.channel(channel));
        // The channel first: the other is not ours, and may hold the placeholder.
        sentence.replace("{channel}", &channel).replace("{category}", &category)
    }
}

/// With those of whom nothing is known but that they were erased.
async fn known(api: &Api, tenant: &str, user_id: &str) -> Result<User, Problem> {
    let key = UserKey { tenant: tenant.into(), user_id: user_id.into() };
    Ok(api.parts.store.users(&[key]).await?.into_iter().flatten().next().unwrap_or_default())
}

/// What a category is called for recipients, as HTML.
pub(super) fn title(api: &Api, words: &Words, category: &str) -> String {
    let called = api.parts.category_words.iter().find(|known| known.name == category);
    escaped(called.and_then(|known| words.pick(&known.title)).unwrap_or(category))
}

/// What stands below it, as HTML.
pub(super) fn description(api: &Api, words: &Words, category: &str) -> Option<String> {
    let called = api.parts.category_words.iter().find(|known| known.name == category)?;
    words.pick(&called.description).map(escaped)
}

/// Whose preferences they are; `None`: of who has no id.
pub(super) fn key(reader: &Reader) -> Option<UserKey> {
    let Whom::User(user_id) = &reader.whom else { return None };
    Some(UserKey { tenant: reader.tenant.clone(), user_id: user_id.clone() })
}

/// When a link that is made now ends.
pub(super) fn after(now: Timestamp, seconds: u64) -> Timestamp {
    Timestamp(now.millis().saturating_add(seconds.saturating_mul(1_000)))
}
