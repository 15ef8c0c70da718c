//! The words of the pages, in each language that they speak. `{category}`, `{channel}` and `{user}` stand for names.

mod ar;
mod de;
mod en;
mod zh;

use std::collections::BTreeMap;

use axum::http::{HeaderMap, header};

use crate::domain::Channel;

/// All that a page says in one language.
#[derive(Debug)]
pub(in crate::api) struct Words {
    /// A language tag of BCP 47.
    pub(in crate::api) language: &'static str,
    /// `ltr` or `rtl`.
    pub(in crate::api) direction: &'static str,
    /// By the channel's index: how something comes.
    pub(in crate::api) channels: [&'static str; 7],
    /// The heading of a link that leaves, and its button.
    pub(in crate::api) unsubscribe: &'static str,
    pub(in crate::api) question: &'static str,
    pub(in crate::api) question_address: &'static str,
    pub(in crate::api) question_mandatory: &'static str,
    pub(in crate::api) left_title: &'static str,
    pub(in crate::api) left: &'static str,
    pub(in crate::api) left_address: &'static str,
    pub(in crate::api) undo: &'static str,
    pub(in crate::api) back_title: &'static str,
    pub(in crate::api) back_address: &'static str,
    pub(in crate::api) to_choices: &'static str,
    pub(in crate::api) choices_title: &'static str,
    pub(in crate::api) choices: &'static str,
    pub(in crate::api) for_user: &'static str,
    pub(in crate::api) always: &'static str,
    pub(in crate::api) always_title: &'static str,
    pub(in crate::api) nothing_to_choose: &'static str,
    pub(in crate::api) save: &'static str,
    pub(in crate::api) leave_all: &'static str,
    pub(in crate::api) leave_all_hint: &'static str,
    pub(in crate::api) saved: &'static str,
    pub(in crate::api) unchanged: &'static str,
    /// What a change says: a category on a channel comes, or does not.
    pub(in crate::api) on: &'static str,
    pub(in crate::api) off: &'static str,
    pub(in crate::api) unknown_title: &'static str,
    pub(in crate::api) unknown: &'static str,
    pub(in crate::api) expired_title: &'static str,
    pub(in crate::api) expired: &'static str,
    pub(in crate::api) erased_title: &'static str,
    pub(in crate::api) erased: &'static str,
    pub(in crate::api) refused_title: &'static str,
    pub(in crate::api) refused: &'static str,
    pub(in crate::api) later_title: &'static str,
    pub(in crate::api) later: &'static str,
}

/// The first is for who speaks none of them.
pub(in crate::api) const ALL: [&Words; 4] = [&en::WORDS, &de::WORDS, &zh::WORDS, &ar::WORDS];

/// Languages of a header that are looked at.
const ASKED_MAX: usize = 32;

impl Words {
    /// In the language of somebody's locale, else in the first that their browser asks for and that is there.
    pub(super) fn of(locale: Option<&str>, headers: &HeaderMap) -> &'static Self {
        let asked = || {
            let header = headers.get(header::ACCEPT_LANGUAGE)?.to_str().ok()?;
            let mut asked: Vec<(f32, &str)> = header.split(',').take(ASKED_MAX).filter_map(weighed).collect();
            asked.sort_by(|(a, _), (b, _)| b.total_cmp(a));
            asked.into_iter().find_map(|(_, tag)| find(tag))
        };
        locale.and_then(find).or_else(asked).unwrap_or(ALL[0])
    }

    pub(super) fn channel(&self, channel: Channel) -> &'static str {
        self.channels[channel.index()]
    }

    /// What a text that was written in several languages says in this one, else in English.
    pub(super) fn pick<'a>(&self, texts: &'a BTreeMap<String, String>) -> Option<&'a str> {
        texts.get(self.language).or_else(|| texts.get("en")).map(String::as_str)
    }
}

/// The words of a language tag, by its first part.
fn find(tag: &str) -> Option<&'static Words> {
    let language = tag.split(['-', '_']).next()?;
    ALL.into_iter().find(|words| words.language.eq_ignore_ascii_case(language))
}

/// An element of Accept-Language (RFC 9110, 12.5.4) and its weight; `None`: it is not wanted, or is none.
fn weighed(element: &str) -> Option<(f32, &str)> {
    let (tag, weight) = element.split_once(';').unwrap_or((element, ""));
    let weight = match weight.trim().strip_prefix("q=") {
        Some(weight) => weight.parse::<f32>().ok().filter(|weight| (0.0..=1.0).contains(weight))?,
        None => 1.0,
    };
    (weight > 0.0).then_some((weight, tag.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_locale_decides_then_the_browser_then_english() {
        for (locale, asked, expected) in [
            (Some("de-AT"), "zh", "de"),
            (Some("zh_Hant"), "", "zh"),
            (Some("fr-FR"), "ar-EG, de;q=0.5", "ar"),
            (None, "fr, de;q=0.4, zh;q=0.9", "zh"),
            (None, "de;q=0, zh;q=0.1", "zh"),
            (None, "DE-de", "de"),
            (None, "fr", "en"),
            (None, "", "en"),
            (None, ";;,q=9,de;q=nan", "en"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_LANGUAGE, asked.parse().expect("a header"));
            assert_eq!(Words::of(locale, &headers).language, expected, "{locale:?} {asked}");
        }
    }

    #[test]
    fn every_language_names_what_a_sentence_is_about() {
        for words in ALL {
            for sentence in [words.question, words.left] {
                let names = ["{category}", "{channel}"].map(|name| sentence.matches(name).count());
                assert_eq!(names, [1, 1], "{}: {sentence}", words.language);
            }
            assert_eq!(words.for_user.matches("{user}").count(), 1, "{}", words.language);
            assert_eq!(words.question_mandatory.matches("{category}").count(), 1, "{}", words.language);
        }
    }
}
