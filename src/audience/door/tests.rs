use std::sync::Mutex;

use async_trait::async_trait;

use super::*;
use crate::audience::Refusal;
use crate::audience::testing::{OneTemplate, categories, definition, event};
use crate::domain::{CampaignId, Channel, DefinitionKind, Priority, SubscriptionChannel};
use crate::intake::fakes::{FakeLog, FakeStore, StoppedClock};
use crate::intake::{AcceptedKeys, campaign_key};
use crate::subscriptions::Wish;

fn book() -> Arc<RuleBook> {
    let contents: Arc<dyn ContentCheck> = Arc::new(OneTemplate);
    let rule = |name, body| definition(DefinitionKind::Rule, name, body);
    let definitions = [
        definition(DefinitionKind::EventType, "a.b", "{}"),
        rule(
            "1-fails",
            r#"{"event": "a.b", "when": {"field": "never", "exists": true}, "send": {"template": "welcome"}}"#,
        ),
        rule("2-list", r#"{"event": "a.b", "audience": ["bo", "cy"], "send": {"template": "welcome"}}"#),
        rule("3-gone", r#"{"event": "a.b", "send": {"template": "gone"}}"#),
        rule("4-user", r#"{"event": "a.b", "send": {"template": "welcome"}}"#),
    ];
    Arc::new(RuleBook::new("default", &definitions, &contents))
}

fn said(taken: &Taken) -> Vec<String> {
    let Taken::Used(applied) = taken else { return Vec::new() };
    let said = applied.iter().map(|applied| match &applied.outcome {
        RuleOutcome::Made { id, repeated } => {
            format!("{} {}{}", applied.rule, id.0.offset, if *repeated { "again" } else { "" })
        }
        RuleOutcome::ConditionFails => applied.rule.to_string(),
        RuleOutcome::FannedOut { id } => format!("{} {id}", applied.rule),
        RuleOutcome::NobodyFollows => format!("{} nobody", applied.rule),
        RuleOutcome::Impossible(problems) => format!("{} {}", applied.rule, problems[0].pointer),
    });
    said.collect()
}

#[tokio::test]
async fn answers_stand_where_their_events_and_rules_stood_and_an_event_that_comes_again_makes_nothing() {
    let log = FakeLog::open();
    let clock = StoppedClock::at("2026-11-22T12:00:00Z");
    let keys = Arc::<AcceptedKeys>::default();
    let acceptor = Acceptor::new(log.clone(), Arc::new(FakeStore::default()), clock.clone(), keys);
    let (book, categories) = (book(), categories());
    let rulings = Rulings { contents: &OneTemplate, categories: &categories };
    let named = |id: &str, event_type: &str| DomainEvent { id: id.into(), ..event(event_type, r#"{"name":"x"}"#) };
    let events = vec![named("1", "a.b"), named("2", "a.c"), named("1", "a.b"), named("3", "a.b")];
    let subscriptions = Subscriptions::new(Arc::new(FakeStore::default()), clock);
    let tellers = || Tellers::new(&subscriptions, &NoFanOuts);
    let answers = taken(events, |_| book.clone(), rulings, &acceptor, tellers()).await.expect("accepted");
    assert_eq!(said(&answers[0]), ["1-fails", "2-list 0", "2-list 1", "3-gone /send/template", "4-user 2"]);
    assert!(matches!(&answers[1], Taken::Refused(Refusal::UnknownType { near: Some(near), .. }) if **near == *"a.b"));
    assert_eq!(
        said(&answers[2]),
        ["1-fails", "2-list 0again", "2-list 1again", "3-gone /send/template", "4-user 2again"]
    );
    assert_eq!(said(&answers[3]), ["1-fails", "2-list 3", "2-list 4", "3-gone /send/template", "4-user 5"]);
    assert_eq!(log.len(), 6);
    let changed = DomainEvent { data: r#"{"name":"y"}"#.into(), ..named("3", "a.b") };
    let again = taken(vec![changed], |_| book.clone(), rulings, &acceptor, tellers()).await.expect("accepted");
    assert_eq!(said(&again[0])[1], "2-list 3again");
    assert_eq!(log.len(), 6);
}

/// Notes what was begun.
/// Where there are no campaigns.
struct NoFanOuts;

#[async_trait]
impl FanOuts for NoFanOuts {
    async fn begin(&self, _: FanOut) -> Result<CampaignId, AcceptError> {
        unreachable!("nobody here has many followers")
    }
}

#[derive(Default)]
struct Noted(Mutex<Vec<FanOut>>);

#[async_trait]
impl FanOuts for Noted {
    async fn begin(&self, fan_out: FanOut) -> Result<CampaignId, AcceptError> {
        let id = fan_out.id();
        self.0.lock().expect("not poisoned").push(fan_out);
        Ok(id)
    }
}

struct Fans {
    log: Arc<FakeLog>,
    acceptor: Acceptor,
    subscriptions: Arc<Subscriptions>,
    noted: Noted,
    book: Arc<RuleBook>,
}

impl Fans {
    fn new() -> Self {
        let (log, clock) = (FakeLog::open(), StoppedClock::at("2026-11-22T12:00:00Z"));
        let store = Arc::new(FakeStore::default());
        let acceptor = Acceptor::new(log.clone(), store.clone(), clock.clone(), Arc::<AcceptedKeys>::default());
        let contents: Arc<dyn ContentCheck> = Arc::new(OneTemplate);
        let rule = r#"{"event": "a.b", "audience": "subscribers", "send": {"template": "welcome"}}"#;
        let definitions =
            [definition(DefinitionKind::EventType, "a.b", "{}"), definition(DefinitionKind::Rule, "fans", rule)];
        let book = Arc::new(RuleBook::new("default", &definitions, &contents));
        Self { log, acceptor, subscriptions: Subscriptions::new(store, clock), noted: Noted::default(), book }
    }

    async fn follow(&self, users: impl IntoIterator<Item = (String, SubscriptionChannel, bool)>) {
        let wishes =
            users.into_iter().map(|(user, channel, is_active)| Wish { user_id: user.into(), channel, is_active });
        self.subscriptions.put_many("default", "show", wishes.collect()).await.expect("put");
    }

    async fn take(&self, event: DomainEvent) -> Vec<String> {
        let categories = categories();
        let rulings = Rulings { contents: &OneTemplate, categories: &categories };
        let tellers = Tellers::new(&self.subscriptions, &self.noted);
        let answers = taken(vec![event], |_| self.book.clone(), rulings, &self.acceptor, tellers).await;
        said(&answers.expect("accepted")[0])
    }
}

fn about_the_show() -> DomainEvent {
    DomainEvent { subject: Some("show".into()), ..event("a.b", r#"{"name":"x"}"#) }
}

#[tokio::test]
async fn each_active_follower_is_told_once_on_the_channel_of_their_choice() {
    let fans = Fans::new();
    assert_eq!(fans.take(about_the_show()).await, ["fans nobody"]);
    let all = [
        ("a".to_owned(), SubscriptionChannel::Email, true),
        ("b".to_owned(), SubscriptionChannel::App, true),
        ("c".to_owned(), SubscriptionChannel::None, true),
        ("d".to_owned(), SubscriptionChannel::Sms, false),
    ];
    fans.follow(all).await;
    assert_eq!(fans.take(about_the_show()).await.len(), 2);
    assert_eq!(fans.log.len(), 2);
    let again = fans.take(about_the_show()).await;
    assert!(again.len() == 2 && again.iter().all(|one| one.ends_with("again")), "{again:?}");
    assert_eq!(fans.log.len(), 2);
    let nowhere = DomainEvent { subject: None, ..about_the_show() };
    assert_eq!(fans.take(nowhere).await, ["fans /subject"]);
}

#[tokio::test]
async fn many_followers_are_one_campaign_whose_messages_have_the_keys_of_those_told_at_once() {
    let fans = Fans::new();
    fans.follow([("a".to_owned(), SubscriptionChannel::Email, true)]).await;
    assert_eq!(fans.take(about_the_show()).await, ["fans 0"]);
    fans.follow((0..500).map(|number| (format!("user-{number}"), SubscriptionChannel::Sms, true))).await;
    let campaign = fans.take(about_the_show()).await;
    assert_eq!(campaign, fans.take(about_the_show()).await);
    let begun = fans.noted.0.lock().expect("not poisoned").clone();
    assert_eq!(begun.len(), 2);
    assert_eq!((begun[0].id(), &begun[0].message), (begun[1].id(), &begun[1].message));
    assert_eq!(campaign, [format!("fans {}", begun[0].id())]);
    let message = &begun[0].message;
    assert_eq!(message.priority, Priority::High, "its category is critical: so many would delay what is");
    assert!(message.user_id.is_none() && message.idempotency.is_none() && message.channels.is_empty());
    // The campaign comes to the one who was told before it.
    let to_a = NotificationRequest {
        user_id: Some("a".into()),
        channels: vec![Channel::Email],
        idempotency: Some(campaign_key("default", begun[0].id(), "a")),
        campaign: Some(begun[0].id()),
        ..message.clone()
    };
    assert!(fans.acceptor.accept(vec![to_a]).await.expect("accepted")[0].repeated);
    assert_eq!(fans.log.len(), 1);
    let mut other = begun[0].clone();
    other.event_source = Some("elsewhere".into());
    assert_ne!(other.id(), begun[0].id());
}

#[tokio::test]
async fn few_followers_have_business_keys_of_their_own_and_the_priority_of_the_rule() {
    let fans = Fans::new();
    fans.follow(["a", "b"].map(|user| (user.to_owned(), SubscriptionChannel::Email, true))).await;
    let categories = categories();
    let rulings = Rulings { contents: &OneTemplate, categories: &categories };
    let draft = fans.book.apply(&about_the_show(), rulings).expect("valid").remove(0);
    let Drafted::ForFollowers(message) = draft.outcome else { panic!("{draft:?}") };
    let message = NotificationRequest { dedup_key: Some("k".into()), ..*message };
    let fan_out = FanOut::new(&about_the_show(), "show", "fans", message);
    let told = Tellers::new(&fans.subscriptions, &fans.noted).tell(fan_out).await.expect("told");
    let Told::Requests(requests) = told else { panic!("two are few") };
    let mut keys: Vec<&str> = requests.iter().filter_map(|request| request.dedup_key.as_deref()).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["k\na", "k\nb"]);
    assert!(requests.iter().all(|request| request.priority == Priority::Critical));
}
