//! Which endpoint an address belongs to, as a number small enough to travel with every task.

use std::borrow::Cow;

use serde::Deserialize;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::domain::Address;

/// What is read of a browser's subscription (Push API, `PushSubscription.toJSON`).
#[derive(Deserialize)]
struct Subscription<'a> {
    #[serde(borrow)]
    endpoint: Cow<'a, str>,
}

/// A hash of the origin of a URL, also of that in a browser's subscription, never 0; 0 for every other address. Two origins with
/// the same number share their limits and their breaker, which is a nuisance at worst.
pub(super) fn of(address: &Address) -> u32 {
    match address {
        Address::Url(url) => of_url(url),
        Address::PushToken(token) | Address::Device(_, token) if token.starts_with('{') => {
            serde_json::from_str::<Subscription<'_>>(token).map_or(0, |subscription| of_url(&subscription.endpoint))
        }
        _ => 0,
    }
}

/// Of its scheme, host and port (RFC 6454).
fn of_url(url: &str) -> u32 {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    // A backslash ends the authority as a slash does (WHATWG URL, "authority state").
    let authority = &rest[..rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len())];
    let host = authority.rfind('@').map_or(authority, |at| &authority[at + 1..]);
    let is_plain = scheme.eq_ignore_ascii_case("http");
    let host = host.strip_suffix(if is_plain { ":80" } else { ":443" }).unwrap_or(host);
    let seed = u64::from(is_plain);
    let hash = if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        xxh3_64_with_seed(host.to_ascii_lowercase().as_bytes(), seed)
    } else {
        xxh3_64_with_seed(host.as_bytes(), seed)
    };
    (hash as u32).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Platform;

    fn endpoint(url: &str) -> u32 {
        of(&Address::Url(url.into()))
    }

    #[test]
    fn urls_of_one_origin_have_one_endpoint() {
        let origin = endpoint("https://hooks.example.com/a");
        for url in [
            "https://hooks.example.com",
            "https://hooks.example.com:443/b?c=d",
            "HTTPS://Hooks.Example.com/a",
            "https://user:secret@hooks.example.com/",
            "https://hooks.example.com#top",
            "https://hooks.example.com\\@elsewhere.example.com/",
        ] {
            assert_eq!(endpoint(url), origin, "{url}");
        }
    }

    #[test]
    fn urls_of_other_origins_have_other_endpoints() {
        let origin = endpoint("https://hooks.example.com/a");
        for url in
            ["http://hooks.example.com/a", "https://hooks.example.com:444/a", "https://other.example.com/a", "", "://"]
        {
            assert_ne!(endpoint(url), origin, "{url}");
            assert_ne!(endpoint(url), 0, "{url}");
        }
    }

    #[test]
    fn subscriptions_of_browsers_have_the_endpoint_of_their_push_service() {
        let origin = endpoint("https://push.example.com");
        let token = r#"{"keys":{"p256dh":"k","auth":"a"},"endpoint":"https:\/\/push.example.com/send/1"}"#;
        assert_eq!(of(&Address::Device(Platform::Web, token.into())), origin);
        assert_eq!(of(&Address::PushToken(token.replace("/1", "/2").into())), origin);
        assert_ne!(of(&Address::PushToken(token.replace("push.", "other.").into())), origin);
        for token in ["{", "{}", "a1b2", r#"{"endpoint":7}"#] {
            assert_eq!(of(&Address::Device(Platform::Web, token.into())), 0, "{token}");
            assert_eq!(of(&Address::PushToken(token.into())), 0, "{token}");
        }
    }

    #[test]
    fn what_is_no_url_has_no_endpoint() {
        assert_eq!(of(&Address::Email("a@example.com".into())), 0);
        assert_eq!(of(&Address::Provider), 0);
    }
}
