//! What goes wrong on demand, in the words of each API.

use super::*;

#[tokio::test]
async fn each_misbehaviour_is_told_in_the_words_of_the_api() {
    let cases = [
        (Kind::Sendgrid, ["503", "429", "400 errors", "202", "401 errors"]),
        (Kind::Ses, ["500", "429 rate exceeded", "400", "200 MessageId", "403"]),
        (Kind::Mailgun, ["500", "429", "400", "200 Queued", "401 Forbidden"]),
        (Kind::TwilioSms, ["503", "429 20429", "400 21612", "400 \"code\":21", "401 20003"]),
        (Kind::SnsSms, ["500 InternalError", "429 Throttled", "400 InvalidParameter", "400 EndpointDisabled", "403"]),
        (
            Kind::AliyunSms,
            ["200 isp.SYSTEM_ERROR", "400 Throttling.User", "200 isv.TEMPLATE", "200 isv.MOBILE_NUMBER", "200 RAM"],
        ),
        (Kind::Fcm, ["503 UNAVAILABLE", "429 QUOTA_EXCEEDED", "400 INVALID_ARGUMENT", "404 UNREGISTERED", "401"]),
        (Kind::Apns, ["503", "429 TooManyRequests", "400 BadCollapseId", "410 timestamp", "403 InvalidProviderToken"]),
        (Kind::WebPush, ["503", "429", "413", "4", "401"]),
        (Kind::Dingtalk, ["200 :-1", "200 130101", "200 40035", "200 300001", "200 310000"]),
        (Kind::Wecom, ["200 :-1", "200 45009", "200 40058", "200 93000", "200 60020"]),
        (Kind::Feishu, ["500", "200 11232", "200 9499", "200 19001", "200 19021"]),
        (Kind::Slack, ["500 rollup_error", "429", "400 invalid_payload", "4", "403 action_prohibited"]),
    ];
    let keys = ["error_rate", "throttle_rate", "reject_rate", "dead_rate", "unauthorized_rate"];
    for (kind, expected) in cases {
        for (key, expected) in keys.into_iter().zip(expected) {
            let mock = mock(&format!("--behave {}:{key}=1,retry_after_s=7", kind.name())).await;
            let got = deliver(&mock, kind, 1).await.expect("an answer");
            let said = format!("{} {}", got.status, got.text());
            assert!(expected.split(' ').all(|word| said.contains(word)), "{kind:?} {key}: {said}");
            if got.status == 429 {
                assert_eq!(got.headers["retry-after"], "7", "{kind:?}");
            }
            let is_taken = key == "dead_rate" && kind.tells_death_later();
            assert_eq!(mock.stats().http.accepted, u64::from(is_taken), "{kind:?} {key}");
        }
    }
}

#[tokio::test]
async fn garbage_floods_and_redirects_are_sent_on_demand() {
    for (keys, status, accepted, bytes) in [
        ("garbage_rate=1", 200, 1, 30..100),
        ("huge_rate=1", 200, 1, 100_000_000..110_000_000),
        ("redirect_rate=1", 302, 0, 0..1),
    ] {
        for kind in [Kind::Sendgrid, Kind::Apns] {
            let mock = mock("").await;
            behave(&mock, kind.name(), keys);
            let got = deliver(&mock, kind, 1).await.expect("an answer");
            assert_eq!((got.status, mock.stats().http.accepted), (status, accepted), "{kind:?} {keys}");
            assert!(bytes.contains(&got.body.len()), "{kind:?} {keys}: {}", got.body.len());
        }
    }
}

#[tokio::test]
async fn what_is_cut_off_was_taken_and_what_hangs_was_not() {
    for kind in [Kind::Sendgrid, Kind::Fcm] {
        let mock = mock("--reset-rate 1").await;
        assert!(deliver(&mock, kind, 1).await.is_none());
        assert_eq!((mock.stats().http.accepted, mock.stats().providers[kind.name()]["reset"]), (1, 1));
        behave(&mock, kind.name(), "reset_rate=0,hang_rate=1");
        let waited = std::time::Duration::from_millis(200);
        assert!(tokio::time::timeout(waited, deliver(&mock, kind, 2)).await.is_err(), "it hangs");
        assert_eq!((mock.stats().http.accepted, mock.stats().http.hung), (1, 1));
    }
}

#[tokio::test]
async fn a_seed_gives_the_same_answers_in_the_same_order() {
    let run = async |seed: u64, other_traffic: bool| {
        let options = format!("--seed {seed} --behave all:error_rate=0.3,throttle_rate=0.3,garbage_rate=0.2");
        let mock = mock(&options).await;
        let mut statuses = Vec::new();
        for number in 0..40 {
            if other_traffic {
                deliver(&mock, Kind::Fcm, number).await;
            }
            statuses.push(deliver(&mock, Kind::Sendgrid, number).await.map(|got| got.status));
        }
        statuses
    };
    let one = run(5, false).await;
    assert_eq!(one, run(5, true).await);
    assert_ne!(one, run(6, false).await);
}

#[tokio::test]
async fn one_kind_may_misbehave_alone_and_be_restored() {
    let mock = mock("").await;
    let control = async |query: &str, body: Value| {
        let request = Request::post(format!("/behaviour{query}")).header("host", "mock");
        send(&mock, request.body(Full::new(body.to_string().into())).expect("legal"), false)
            .await
            .expect("an answer")
            .status
    };
    assert_eq!(control("?kind=fcm", json!({"outage_after_s": 0})).await, 200);
    assert_eq!(deliver(&mock, Kind::Fcm, 1).await.expect("an answer").status, 503);
    assert_eq!(deliver(&mock, Kind::Apns, 1).await.expect("an answer").status, 200);
    assert_eq!(control("?kind=fcm", json!({"outage_after_s": null})).await, 200);
    assert_eq!(deliver(&mock, Kind::Fcm, 1).await.expect("an answer").status, 200);
    assert_eq!(control("?kind=nobody", json!({})).await, 400);
    assert_eq!(control("", json!({"dead_pattern": "@load.example"})).await, 200);
    assert_eq!(deliver(&mock, Kind::Sendgrid, 1).await.expect("an answer").status, 202);
    assert_eq!(mock.stats().providers["sendgrid"]["dead"], 1);
}
