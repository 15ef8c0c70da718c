//! Which endpoint an address belongs to, as a number small enough to travel with every task.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::domain::Address;

/// A hash of the origin (scheme, host and port; RFC 6454) of a URL, never 0; 0 for every other address. Two origins with the
/// same number share their limits and their breaker, which is a nuisance at worst.
pub(super) fn of(address: &Address) -> u32 {
    let Address::Url(url) = address else { return 0 };
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
    fn what_is_no_url_has_no_endpoint() {
        assert_eq!(of(&Address::Email("a@example.com".into())), 0);
        assert_eq!(of(&Address::Provider), 0);
    }
}
