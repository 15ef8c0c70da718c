//! Every gate and every rule of routing, as a table: what is known of a user and what happened before, what is asked for through the
//! API, and what the API then says became of it, why, and through which channels it went.

use std::sync::Arc;
use std::time::Duration;

use axum::http::Method;
use fanfare::config::{self, Config};
use fanfare::domain::{Channel, Outcome};
use serde_json::{Value, json};

use crate::world::{Place, Script, TestProvider, World, on_both};

on_both! {
    each_rule_of_routing_finds_the_channels
    each_gate_lets_pass_or_skips_or_holds
    what_is_held_goes_on_when_its_time_has_come
    a_token_that_is_dead_is_not_used_again
}

const HOUR: Duration = Duration::from_secs(3600);

/// One line of the table. `$me` is a word that no other line and no other test has; a name after `$` is a category of the test.
struct Line {
    name: &'static str,
    /// What is known of the user.
    contact: Value,
    /// What happens first.
    before: Vec<(Method, &'static str, Value)>,
    /// The mails that are refused.
    refused: usize,
    /// What is asked for; of several the last one counts.
    requests: Vec<Value>,
    /// What happens then.
    then: Vec<Then>,
    status: &'static str,
    /// What one of the gates said.
    why: &'static str,
    through: &'static [Channel],
}

enum Then {
    Call(Method, &'static str, Value),
    Pass(Duration),
}

fn line(name: &'static str, contact: Value, request: Value) -> Line {
    let (before, requests, then) = (Vec::new(), vec![request], Vec::new());
    Line { name, contact, before, refused: 0, requests, then, status: "sent", why: "", through: &[] }
}

impl Line {
    fn before(mut self, method: Method, path: &'static str, body: Value) -> Self {
        self.before.push((method, path, body));
        self
    }

    fn has_device(self, path: &'static str, token: &str) -> Self {
        self.before(
            Method::PUT,
            path,
            json!({"platform": "android", "token": format!("$me-{token}{}", "f".repeat(150))}),
        )
    }

    fn again(mut self) -> Self {
        self.requests.extend(self.requests.last().cloned());
        self
    }

    fn then(mut self, then: Then) -> Self {
        self.then.push(then);
        self
    }

    fn through(mut self, channels: &'static [Channel]) -> Self {
        self.through = channels;
        self
    }

    fn ends(mut self, status: &'static str, why: &'static str) -> Self {
        (self.status, self.why) = (status, why);
        self
    }
}

struct Table {
    world: World,
    mails: Arc<TestProvider>,
    providers: Vec<Arc<TestProvider>>,
}

impl Table {
    /// With categories of its own: of one a day pays for one mail, one is to be stopped by hand, one waits for confirmations.
    async fn open(place: Place) -> Self {
        let mails = TestProvider::with_cost("mails", &[Channel::Email], 0.25);
        let pushes = TestProvider::new("pushes", &[Channel::Push]);
        let others = [("texts", Channel::Sms, 0.5), ("calls", Channel::Voice, 0.75)];
        let others = others.map(|(name, channel, cost)| TestProvider::with_cost(name, &[channel], cost));
        let providers = [mails.clone(), pushes].into_iter().chain(others).collect::<Vec<_>>();
        let config = configured(&place);
        Self { world: World::start_with(place, config, providers.clone()).await, mails, providers }
    }

    /// The text with the words of a line in it.
    fn own(&self, line: &str, text: &str) -> String {
        // Short, since it is a part of addresses.
        let number = line.bytes().fold(7u32, |number, byte| number.wrapping_mul(31).wrapping_add(byte.into()));
        let me = self.world.place.own(&format!("u{number:x}")).to_lowercase();
        let category = |name: &str| category(&self.world.place, name);
        text.replace("$me", &me)
            .replace("$paid", &category("paid"))
            .replace("$stopped", &category("stopped"))
            .replace("$confirmed", &category("confirmed"))
    }

    async fn ask(&self, line: &str, method: Method, path: &str, body: &Value) -> Value {
        let body: Value = serde_json::from_str(&self.own(line, &body.to_string())).expect("still JSON");
        let body = Some(&body).filter(|body| !body.is_null());
        self.world.ask(method, &self.own(line, path), body).await
    }

    async fn check(&self, line: Line) {
        let Line { name, contact, before, refused, requests, then, status, why, through } = line;
        self.ask(name, Method::PUT, "/v1/users/$me", &contact).await;
        for (method, path, body) in &before {
            self.ask(name, method.clone(), path, body).await;
        }
        let no = || Script::Answer(Outcome::BadRequest { reason: "wrong".into() });
        self.mails.script((0..refused).map(|_| no()));
        let mut id = String::new();
        for (number, mut request) in requests.into_iter().enumerate() {
            request["user_id"] = "$me".into();
            request["content"] = json!({"title": "Hello", "body": "{{text}}"});
            request["data"]["text"] = number.into();
            let answer = self.ask(name, Method::POST, "/v1/notifications", &request).await;
            id = answer["id"].as_str().expect("an id").to_owned();
            // One after the other, so that it is known which comes first.
            let is_under_way =
                |told: &Value| ["accepted", "pending", "sending"].iter().any(|one| told["status"] == *one);
            self.when(name, &id, |told| !is_under_way(told)).await;
        }
        for then in &then {
            match then {
                Then::Call(method, path, body) => {
                    self.ask(name, method.clone(), &path.replace("$id", &id), body).await;
                }
                Then::Pass(time) => self.world.advance(*time).await,
            }
        }
        let told = self.when(name, &id, |told| told["status"] == status).await;
        let said = said(&told);
        assert!(why.is_empty() || said.iter().any(|one| one == why), "{name}: {why} is not in {said:?}");
        let went = || {
            let taken = self.providers.iter().flat_map(|provider| provider.taken());
            let own = taken.filter(|message| message.task.notification().to_string() == id);
            own.map(|message| message.channel).collect::<Vec<_>>()
        };
        let reached = self.world.in_time(async || (went() == through).then_some(())).await;
        assert!(reached.is_some(), "{name}: it went through {:?}, not {through:?}: {told}", went());
    }

    /// What the API says of a notification once that is so.
    async fn when(&self, line: &str, id: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        let path = format!("/v1/notifications/{id}");
        let reached = self.world.in_time(async || {
            last = self.world.ask(Method::GET, &path, None).await;
            (last.get("status").is_some() && is_so(&last)).then_some(())
        });
        assert!(reached.await.is_some(), "{line}: it stays {last}");
        last
    }
}

fn category(place: &Place, name: &str) -> String {
    place.own(name).to_lowercase()
}

fn configured(place: &Place) -> Config {
    let mut config = config::defaults();
    config.log.partitions = 1;
    let social = config.categories.iter().find(|category| category.name == "social").expect("shipped").clone();
    let own = |name: &str| config::Category { name: category(place, name), ..social.clone() };
    let paid = config::Category { budget_per_day: Some(0.25), ..own("paid") };
    let confirmed = config::Category { confirm_within: Some(HOUR), ..own("confirmed") };
    config.categories.extend([paid, confirmed, own("stopped")]);
    let calendar = "name = \"here\"\nlocales = [\"de\"]\ndays = [\"11-21\"]";
    config.calendars = vec![toml::from_str(calendar).expect("a calendar")];
    config
}

/// What each step said, in order: `quiet_hours hold`, `consent(email) skip no_consent`.
fn said(told: &Value) -> Vec<String> {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let text = |one: &Value| {
        let channel = one["channel"].as_str().map_or(String::new(), |channel| format!("({channel})"));
        format!("{}{channel} {} {}", word(&one["step"]), word(&one["outcome"]), word(&one["reason"])).trim().to_owned()
    };
    told["decisions"].as_array().into_iter().flatten().map(text).collect()
}

fn everything() -> Value {
    json!({"email": "$me@example.com", "phone": "+4930123456"})
}

fn mail() -> Value {
    json!({"email": "$me@example.com"})
}

fn social() -> Value {
    json!({"category": "social"})
}

async fn each_rule_of_routing_finds_the_channels(place: Place) {
    use Channel::{Email, Push, Sms, Voice};
    let table = Table::open(place).await;
    let phone = || "/v1/users/$me/devices/phone";
    let tablet = || "/v1/users/$me/devices/tablet";
    let critical = || json!({"category": "social", "priority": "critical"});
    let on = |channels: &[&str], routing: &str| json!({"category": "social", "channels": channels, "routing": routing});
    let prefers = |channel: &str| json!({"preferred_channel": channel});
    let preferences = "/v1/users/$me/preferences";
    let lines = [
        line("a named channel", everything(), on(&["sms"], "all")).through(&[Sms]),
        line("all that are named", everything(), on(&["sms", "email"], "all")).through(&[Email, Sms]),
        line("one that is named without an address", mail(), on(&["sms", "email"], "all"))
            .ends("sent", "address(sms) skip no_address")
            .through(&[Email]),
        line("critical goes by text", everything(), critical()).through(&[Sms]),
        line("or is called", everything(), critical())
            .before(
                Method::PUT,
                preferences,
                json!({"preferences": [{"category": "social", "channel": "sms", "enabled": false}]}),
            )
            .through(&[Voice]),
        line("or is pushed", mail(), critical()).has_device(phone(), "a").through(&[Push]),
        line("the preferred before the cheapest", everything(), social())
            .has_device(phone(), "a")
            .before(Method::PUT, preferences, prefers("sms"))
            .through(&[Sms]),
        line("the cheapest is a push", everything(), social()).has_device(phone(), "a").through(&[Push]),
        line("then a mail", everything(), social()).through(&[Email]),
        line("then a text", json!({"phone": "+4930123456"}), social()).through(&[Sms]),
        line("to each device", mail(), social())
            .has_device(phone(), "a")
            .has_device(tablet(), "b")
            .through(&[Push, Push]),
        line("nowhere to go", json!({"locale": "de"}), social()).ends("skipped", "address(email) skip no_address"),
        line("the first that works", everything(), on(&["email", "sms"], "fallback")).through(&[Email]),
        {
            let refused = line("the next where one fails", everything(), on(&["email", "sms"], "fallback"));
            Line { refused: 1, ..refused }.through(&[Email, Sms])
        },
        line("not one that is suppressed", everything(), social())
            .before(Method::POST, "/v1/suppressions", json!({"email": "$me@example.com", "reason": "hard_bounce"}))
            .ends("sent", "suppression(email) skip suppressed")
            .through(&[Sms]),
    ];
    for line in lines {
        table.check(line).await;
    }
    table.world.balances().await;
}

async fn each_gate_lets_pass_or_skips_or_holds(place: Place) {
    use Channel::Email;
    let table = Table::open(place).await;
    let of = |category: &str| json!({"category": category});
    let asleep = || json!({"email": "$me@example.com", "timezone": "Pacific/Gambier"});
    let german = || json!({"email": "$me@example.com", "locale": "de-DE"});
    let later = || json!({"category": "social", "delay_seconds": 3600});
    let preferences = "/v1/users/$me/preferences";
    let off = json!({"preferences": [{"category": "social", "channel": "email", "enabled": false}]});
    let lines = [
        line("cancelled", mail(), later())
            .then(Then::Call(Method::DELETE, "/v1/notifications/$id", Value::Null))
            .ends("cancelled", ""),
        line(
            "expired while it would be held",
            asleep(),
            json!({"category": "social", "expires_at": "2026-11-21T13:00:00Z"}),
        )
        .ends("expired", "expiry skip expired"),
        line("the same key twice", mail(), json!({"category": "social", "dedup_key": "$me"}))
            .again()
            .ends("skipped", "dedup skip duplicate"),
        line("switched off", mail(), social())
            .before(Method::PUT, preferences, off)
            .ends("skipped", "consent(email) skip no_consent"),
        line("suppressed", mail(), social())
            .before(Method::POST, "/v1/suppressions", json!({"email": "$me@example.com", "reason": "complaint"}))
            .ends("skipped", "suppression(email) skip suppressed"),
        line("a second reminder", mail(), of("reminder")).again().ends("skipped", "fatigue skip fatigue"),
        line("the third of marketing", mail(), of("marketing")).again().again().through(&[Email]),
        line("the fourth of marketing", mail(), of("marketing"))
            .again()
            .again()
            .again()
            .ends("skipped", "caps skip daily_cap"),
        line("at night", asleep(), social()).ends("scheduled", "quiet_hours hold"),
        line("at night but urgent", asleep(), of("security")).ends("sent", "quiet_hours pass").through(&[Email]),
        line("in hours of their own", mail(), social())
            .before(Method::PUT, preferences, json!({"quiet_hours": {"from": "11:00", "to": "13:00"}}))
            .ends("scheduled", "quiet_hours hold"),
        line("on a special day", german(), of("marketing")).ends("scheduled", "holidays hold"),
        line("on a special day that it is not for", german(), social()).ends("sent", "holidays pass").through(&[Email]),
        line("paid for", mail(), of("$paid")).ends("sent", "budget pass").through(&[Email]),
        line("not paid for today", mail(), of("$paid")).ends("scheduled", "budget hold"),
        line("not paid for in time", mail(), json!({"category": "$paid", "expires_at": "2026-11-21T18:00:00Z"}))
            .ends("skipped", "budget skip budget"),
        line("at a time", mail(), later()).ends("scheduled", "send_time hold"),
        line("paused", mail(), of("$stopped"))
            .before(Method::POST, "/v1/brakes", brake("pause"))
            .ends("scheduled", "brakes hold"),
        line("recalled", mail(), of("$stopped"))
            .before(Method::POST, "/v1/brakes", brake("recall"))
            .ends("cancelled", "brakes skip cancelled"),
        line("merged", mail(), json!({"category": "social", "aggregate": {"key": "a"}}))
            .again()
            .ends("merged", "aggregation merge"),
    ];
    for line in lines {
        table.check(line).await;
    }
    table.world.balances().await;
}

fn brake(action: &str) -> Value {
    json!({"action": action, "scope": {"category": "$stopped"}})
}

/// Each line moves the clock on.
async fn what_is_held_goes_on_when_its_time_has_come(place: Place) {
    use Channel::{Email, Sms};
    let table = Table::open(place).await;
    let asleep = || json!({"email": "$me@example.com", "timezone": "Pacific/Gambier"});
    let resume = || Then::Call(Method::POST, "/v1/brakes", brake("resume"));
    let unless = || json!({"category": "$confirmed", "channels": ["email", "sms"], "routing": "fallback"});
    let burst = || json!({"category": "social", "aggregate": {"key": "a"}});
    let lines = [
        line("paused and resumed", mail(), json!({"category": "$stopped"}))
            .before(Method::POST, "/v1/brakes", brake("pause"))
            .then(resume())
            .ends("sent", "brakes hold")
            .through(&[Email]),
        line("erased meanwhile", mail(), json!({"category": "social", "delay_seconds": 3600}))
            .then(Then::Call(Method::DELETE, "/v1/users/$me", Value::Null))
            .then(Then::Pass(HOUR))
            .ends("cancelled", ""),
        line("not confirmed in time", everything(), unless()).then(Then::Pass(HOUR)).through(&[Email, Sms]),
        line("alone in its window", mail(), burst()).then(Then::Pass(Duration::from_secs(300))).through(&[Email]),
        // It is five past two, and five past five in the morning there.
        line("until the morning", asleep(), social()).then(Then::Pass(3 * HOUR)).through(&[Email]),
    ];
    for line in lines {
        table.check(line).await;
    }
    table.world.balances().await;
}

async fn a_token_that_is_dead_is_not_used_again(place: Place) {
    let table = Table::open(place).await;
    let name = "dead";
    table.ask(name, Method::PUT, "/v1/users/$me", &mail()).await;
    let device = json!({"platform": "android", "token": format!("$me{}", "f".repeat(150))});
    table.ask(name, Method::PUT, "/v1/users/$me/devices/phone", &device).await;
    table.providers[1].script([Script::Answer(Outcome::dead("gone"))]);
    let request =
        |body: &str| json!({"user_id": "$me", "category": "social", "content": {"title": "Hello", "body": body}});
    let id = |answer: &Value| answer["id"].as_str().expect("an id").to_owned();
    let first = id(&table.ask(name, Method::POST, "/v1/notifications", &request("a")).await);
    table.when(name, &first, |told| told["status"] == "failed").await;
    // It is noted beside everything else.
    let noted = table.world.in_time(async || {
        let listed = table.ask(name, Method::GET, "/v1/users/$me/devices", &Value::Null).await;
        (!listed.to_string().contains("\"active\":true")).then_some(())
    });
    assert!(noted.await.is_some());
    let second = id(&table.ask(name, Method::POST, "/v1/notifications", &request("b")).await);
    let told = table.when(name, &second, |told| told["status"] == "sent").await;
    assert_eq!(table.mails.taken().len(), 1, "by mail: {told}");
}
