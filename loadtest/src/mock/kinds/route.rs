//! Which API a request is for, by its path.

use hyper::{HeaderMap, Method, Uri};

use super::Kind;

/// What is asked of an API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    /// To deliver a message.
    Message(Kind),
    /// An access token for further calls.
    Token(Kind),
}

/// `None`: a path of no API, where webhooks go.
pub(crate) fn route(method: &Method, uri: &Uri, headers: &HeaderMap) -> Option<Route> {
    let path = uri.path();
    if *method == Method::GET {
        return (path == "/cgi-bin/gettoken").then_some(Route::Token(Kind::WecomApp));
    }
    if *method != Method::POST {
        return None;
    }
    let mut places = [""; 6];
    let mut count = 0;
    for segment in path.split('/').skip(1) {
        *places.get_mut(count)? = segment;
        count += 1;
    }
    let kind = match &places[..count] {
        [""] => root(headers)?,
        ["v3", "mail", "send"] => Kind::Sendgrid,
        ["v3", _, "messages"] => Kind::Mailgun,
        ["v2", "email", "outbound-emails"] => Kind::Ses,
        ["2010-04-01", "Accounts", _, "Messages.json"] => Kind::TwilioSms,
        ["2010-04-01", "Accounts", _, "Calls.json"] => Kind::TwilioVoice,
        ["v1", "projects", _, "messages:send"] => Kind::Fcm,
        ["token"] => return Some(Route::Token(Kind::Fcm)),
        ["3", "device", _] => Kind::Apns,
        ["wp", ..] => Kind::WebPush,
        ["robot", "send"] => Kind::Dingtalk,
        ["cgi-bin", "webhook", "send"] => Kind::Wecom,
        ["cgi-bin", "message", "send"] => Kind::WecomApp,
        ["open-apis", "bot", "v2", "hook", _] => Kind::Feishu,
        ["services", ..] => Kind::Slack,
        _ => return None,
    };
    Some(Route::Message(kind))
}

/// Two APIs and webhooks share the root: one has a header of its own, one sends forms, a webhook sends JSON.
fn root(headers: &HeaderMap) -> Option<Kind> {
    if headers.contains_key("x-acs-action") {
        return Some(Kind::AliyunSms);
    }
    let kind = headers.get("content-type")?.to_str().ok()?;
    kind.starts_with("application/x-www-form-urlencoded").then_some(Kind::SnsSms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_no_api_has_are_webhooks() {
        let of = |method: Method, path: &'static str| route(&method, &Uri::from_static(path), &HeaderMap::new());
        for path in ["/", "/hook", "/hang", "/status/503", "/v3/mail", "/a/b/c/d/e/f/g/h", "/3/device"] {
            assert_eq!(of(Method::POST, path), None, "{path}");
        }
        assert_eq!(of(Method::GET, "/3/device/x"), None);
        assert_eq!(of(Method::POST, "/3/device/x"), Some(Route::Message(Kind::Apns)));
    }
}
