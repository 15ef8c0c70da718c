use Channel::*;

use super::*;
use crate::domain::{NotificationRequest, Recipient, UserEntry};
use crate::planning::CandidateFacts;
use crate::planning::testing::{NOW, known, policy, request};

/// In-app and voice have no provider. Pass is noted for nobody: what is expected are the skips.
fn check(
    request: &NotificationRequest,
    facts: &CandidateFacts,
    expected: Result<&[Channel], SkipReason>,
    skips: &[(Step, Option<Channel>, &str)],
) {
    let mut policy = policy();
    policy.has_provider[InApp.index()] = false;
    policy.has_provider[Voice.index()] = false;
    let case = Case::new(request, facts, &policy, NOW);
    let mut decisions = Vec::new();
    let ways = route(&case, &mut decisions);
    assert_eq!(has_way(&case), ways.is_ok(), "{request:?}");
    let ways = ways.map(|ways| ways.into_iter().map(|(channel, _)| channel).collect::<Vec<_>>());
    assert_eq!(ways, expected.map(<[Channel]>::to_vec), "{request:?}");
    let skipped = |decision: &Decision| match &decision.verdict {
        Verdict::Skip(reason) => Some((decision.step, decision.channel, reason.name())),
        _ => None,
    };
    assert_eq!(decisions.iter().filter_map(skipped).collect::<Vec<_>>(), skips, "{request:?}");
}

/// To an e-mail address and a URL, on these channels.
fn on(channels: &[Channel]) -> NotificationRequest {
    let to = Recipient {
        email: Some("alice@example.com".into()),
        url: Some("https://hooks.example.com/a".into()),
        ..Recipient::default()
    };
    NotificationRequest { to, user_id: Some("alice".into()), channels: channels.to_vec(), ..request() }
}

/// To a user by id alone.
fn to_user(category: &str) -> NotificationRequest {
    NotificationRequest { to: Recipient::default(), category: Some(category.into()), ..on(&[]) }
}

fn nothing() -> CandidateFacts {
    CandidateFacts::default()
}

fn switched_off(channel: Channel) -> UserEntry {
    UserEntry::Preference { category: "social".into(), channel, enabled: Some(false) }
}

fn addresses() -> [UserEntry; 2] {
    [UserEntry::Email(Some("a@example.com".into())), UserEntry::Phone(Some("+15550100".into()))]
}

#[test]
fn every_named_channel_that_has_a_provider_and_an_address_gets_a_message_in_the_order_named() {
    check(&on(&[Webhook, Email]), &nothing(), Ok(&[Webhook, Email]), &[]);
}

#[test]
fn the_gates_of_a_channel_are_noted_in_their_order() {
    let (request, facts, policy) = (on(&[Email]), nothing(), policy());
    let mut decisions = Vec::new();
    route(&Case::new(&request, &facts, &policy, NOW), &mut decisions).expect("a way");
    let steps: Vec<Step> = decisions.iter().map(|decision| decision.step).collect();
    assert_eq!(steps, [Step::Routing, Step::Consent, Step::Address, Step::Suppression]);
}

#[test]
fn a_named_channel_without_an_address_or_a_provider_is_left_out_and_the_others_go() {
    let skips = [(Step::Address, Some(Sms), "no_address"), (Step::Routing, Some(InApp), "no_provider")];
    check(&on(&[Sms, InApp, Email]), &nothing(), Ok(&[Email]), &skips);
}

#[test]
fn where_no_named_channel_remains_the_reason_is_that_of_the_first() {
    let (sms, voice) = ((Step::Address, Some(Sms), "no_address"), (Step::Routing, Some(Voice), "no_provider"));
    check(&on(&[Sms, Voice]), &nothing(), Err(SkipReason::NoAddress), &[sms, voice]);
    check(&on(&[Voice, Sms]), &nothing(), Err(SkipReason::NoProvider), &[voice, sms]);
}

#[test]
fn a_channel_named_twice_gets_one_message() {
    check(&on(&[Email, Email]), &nothing(), Ok(&[Email]), &[]);
}

#[test]
fn where_none_is_named_the_engine_takes_the_first_that_reaches_the_user() {
    check(&on(&[]), &nothing(), Ok(&[Email]), &[(Step::Address, Some(Push), "no_address")]);
    let (push, email) = ((Step::Address, Some(Push), "no_address"), (Step::Address, Some(Email), "no_address"));
    let phone = known([UserEntry::Phone(Some("+15550100".into()))]);
    check(&to_user("social"), &phone, Ok(&[Sms]), &[push, email]);
}

#[test]
fn a_channel_that_was_switched_off_gives_way_to_the_next() {
    let facts = known(addresses().into_iter().chain([switched_off(Email)]));
    let skips = [(Step::Address, Some(Push), "no_address"), (Step::Consent, Some(Email), "no_consent")];
    check(&to_user("social"), &facts, Ok(&[Sms]), &skips);
    check(&to_user("security"), &facts, Ok(&[Email]), &skips[..1]);
}

#[test]
fn a_suppressed_address_gives_way_to_the_next_channel() {
    let facts = CandidateFacts { suppressed: [true, false], ..known(addresses()) };
    let skips = [(Step::Address, Some(Push), "no_address"), (Step::Suppression, Some(Email), "suppressed")];
    check(&to_user("social"), &facts, Ok(&[Sms]), &skips);
}

#[test]
fn where_the_engine_finds_no_way_the_reason_says_what_stood_in_it() {
    let none = |channel| (Step::Address, Some(channel), "no_address");
    let [push, email, sms, hook] = [Push, Email, Sms, Webhook].map(none);
    let all = |reason: &'static str| (Step::Routing, None, reason);
    let unknown = [push, email, sms, hook, all("no_address")];
    check(&to_user("social"), &nothing(), Err(SkipReason::NoAddress), &unknown);
    let facts = CandidateFacts { suppressed: [true, false], ..known([UserEntry::Email(Some("a@example.com".into()))]) };
    let suppressed = [push, (Step::Suppression, Some(Email), "suppressed"), sms, hook, all("suppressed")];
    check(&to_user("social"), &facts, Err(SkipReason::Suppressed), &suppressed);
}

#[test]
fn an_address_that_nobody_delivers_to_is_a_missing_provider() {
    let mut policy = policy();
    policy.has_provider = [false; 7];
    let (request, facts) = (on(&[]), nothing());
    let way = route(&Case::new(&request, &facts, &policy, NOW), &mut Vec::new());
    assert_eq!(way, Err(SkipReason::NoProvider));
}

#[test]
fn suppressions_are_asked_for_of_the_addresses_that_may_be_used_alone() {
    let check = |channels: &[Channel], expected: &[&str]| {
        let request = NotificationRequest { to: Recipient::default(), ..on(channels) };
        let (facts, policy) = (known(addresses()), policy());
        let found: Vec<&str> = suppressible(&Case::new(&request, &facts, &policy, NOW)).map(|(_, text)| text).collect();
        assert_eq!(found, expected, "{channels:?}");
    };
    check(&[Email], &["a@example.com"]);
    check(&[Voice], &["+15550100"]);
    check(&[Push, InApp], &[]);
    check(&[], &["a@example.com", "+15550100"]);
}
