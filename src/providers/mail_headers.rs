//! The headers that every automatic mail carries, whoever sends it: how its recipient gets off the list with one click (RFC 2369,
//! RFC 8058), which list that is (RFC 2919), that no human wrote it (RFC 3834), and what complaints are counted by (Feedback-ID).

use crate::domain::Message;

/// The category of a message that names none.
const CATEGORY_USUAL: &str = "notifications";
/// Google asks for a sender of 5 to 15 characters (<https://support.google.com/a/answer/6254652>).
const SENDER_MIN: usize = 5;
const SENDER_MAX: usize = 15;
/// A name that is longer is cut: with the rest of its line it must stay far below 998 characters (RFC 5322 section 2.1.1).
const WORD_MAX: usize = 64;
/// The longest value of List-Unsubscribe: with its name it stays below the 870 characters that SES allows, and so below the 998 of a
/// line (RFC 5322 section 2.1.1).
const VALUE_MAX: usize = 850;
/// A longer address to unsubscribe at does not fit in between `<` and `>`.
const LINK_MAX: usize = VALUE_MAX - 2;

const HTTPS: &str = "https://";

/// Their names and values, in order. Values are printable ASCII in one line: they can be written as they are, and nothing that
/// came with a message can begin another header. `mailto` is an address that takes unsubscriptions by mail.
pub(super) fn extra_headers(message: &Message, sender_host: &str, mailto: Option<&str>) -> Vec<(&'static str, String)> {
    let category = word(message.category.as_deref().unwrap_or(CATEGORY_USUAL));
    let mut headers = Vec::with_capacity(5);
    if let Some(link) = message.unsubscribe.as_deref().filter(|link| is_link(link)) {
        let by_mail = mailto.map(|address| address.strip_prefix("mailto:").unwrap_or(address));
        let both = by_mail.filter(|address| is_link(address)).map(|address| format!("<{link}>, <mailto:{address}>"));
        // Where both are too long, the link is the one that works with one click.
        let both = both.filter(|both| both.len() <= VALUE_MAX);
        headers.push(("List-Unsubscribe", both.unwrap_or_else(|| format!("<{link}>"))));
        // RFC 8058 section 3.1: the link must be HTTPS.
        if link.get(..HTTPS.len()).is_some_and(|scheme| scheme.eq_ignore_ascii_case(HTTPS)) {
            headers.push(("List-Unsubscribe-Post", "List-Unsubscribe=One-Click".into()));
        }
        headers.push(("List-Id", format!("<{}.{}>", category.to_ascii_lowercase(), word(sender_host))));
    }
    let (tenant, sender) = (word(&message.tenant), sender(sender_host));
    headers.push(("Feedback-ID", format!("{category}:{tenant}:{}:{sender}", message.priority)));
    headers.push(("Auto-Submitted", "auto-generated".into()));
    headers
}

/// What can stand between `<` and `>`.
fn is_link(text: &str) -> bool {
    let is_safe = |byte: u8| byte.is_ascii_graphic() && !b"<>\",".contains(&byte);
    !text.is_empty() && text.len() <= LINK_MAX && text.bytes().all(is_safe)
}

/// A name without what separates names.
fn word(text: &str) -> String {
    let letter = |letter: char| if letter.is_ascii_alphanumeric() || "._-".contains(letter) { letter } else { '-' };
    text.chars().take(WORD_MAX).map(letter).collect()
}

/// The same for all mails of a host.
fn sender(host: &str) -> String {
    let mut sender: String = host.chars().filter(char::is_ascii_alphanumeric).take(SENDER_MAX).collect();
    if sender.len() < SENDER_MIN {
        sender.push_str("-mail");
    }
    sender
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Address, Channel};
    use crate::providers::testing;

    fn message(unsubscribe: Option<&str>) -> Message {
        Message {
            unsubscribe: unsubscribe.map(Into::into),
            ..testing::message(Channel::Email, Address::Email("alice@example.com".into()))
        }
    }

    #[test]
    fn what_can_be_switched_off_says_how_with_one_click() {
        let message = Message { category: Some("Weekly news".into()), ..message(Some("https://n.example.com/u/abc")) };
        let headers = extra_headers(&message, "shop.example.com", Some("mailto:off@example.com"));
        let expected = [
            ("List-Unsubscribe", "<https://n.example.com/u/abc>, <mailto:off@example.com>"),
            ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
            ("List-Id", "<weekly-news.shop.example.com>"),
            ("Feedback-ID", "Weekly-news:default:normal:shopexamplecom"),
            ("Auto-Submitted", "auto-generated"),
        ];
        assert_eq!(headers, expected.map(|(name, value)| (name, value.to_owned())));
    }

    #[test]
    fn what_cannot_be_switched_off_says_only_that_it_is_automatic_and_what_it_is() {
        let headers = extra_headers(&message(None), "a.io", None);
        let expected = [("Feedback-ID", "transactional:default:normal:aio-mail"), ("Auto-Submitted", "auto-generated")];
        assert_eq!(headers, expected.map(|(name, value)| (name, value.to_owned())));
    }

    #[test]
    fn one_click_is_promised_over_https_only() {
        let names = |link: &str| {
            let headers = extra_headers(&message(Some(link)), "shop.example.com", None);
            headers.into_iter().map(|(name, _)| name).take(2).collect::<Vec<_>>()
        };
        assert_eq!(names("HTTPS://n.example.com/u/abc"), ["List-Unsubscribe", "List-Unsubscribe-Post"]);
        assert_eq!(names("http://n.example.com/u/abc"), ["List-Unsubscribe", "List-Id"]);
    }

    #[test]
    fn what_is_too_long_with_a_mail_address_goes_without_it() {
        let value = |length: usize, mailto: &str| {
            let link = format!("https://n.example.com/u/{}", "x".repeat(length - "https://n.example.com/u/".len()));
            let headers = extra_headers(&message(Some(&link)), "shop.example.com", Some(mailto));
            headers.into_iter().find(|(name, _)| *name == "List-Unsubscribe").map(|(_, value)| value)
        };
        let both = value(822, "off@example.com").expect("it fits");
        assert!(both.len() == 850 && both.ends_with(", <mailto:off@example.com>"), "{}", both.len());
        let alone = value(848, "off@example.com").expect("it fits");
        assert!(alone.len() == 850 && !alone.contains("mailto"));
        assert_eq!(value(849, "off@example.com"), None, "a link that does not fit is none");
    }

    #[test]
    fn nothing_in_a_message_can_begin_another_header() {
        let link = "https://n.example.com/u/a>\r\nBcc: <x@example.com";
        let category = "a\r\nBcc: x@example.com:b<>ü";
        let message = Message { category: Some(category.into()), tenant: "t\n:u".into(), ..message(Some(link)) };
        let headers = extra_headers(&message, "shop.example.com", Some("a@example.com>\r\nBcc: b"));
        assert!(!headers.iter().any(|(name, _)| *name == "List-Unsubscribe"), "{headers:?}");
        for (name, value) in headers {
            assert!(value.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{name}: {value:?}");
        }
    }
}
