//! Which mails are tracked, and what is put into them for it, right before they are sent.
//!
//! In: a rendered message and its plan. Out: the HTML part with links and a pixel that are counted. Promise: a category or a tenant that
//! says no is never tracked; nothing but the HTML part of a mail is touched.

use std::collections::HashMap;

use crate::config;
use crate::domain::{Category, Channel, Message, Plan, Timestamp};
use crate::links::{Links, TrackedMail};
use crate::rendering::{MakeLink, TRACK_ATTRIBUTE, Tracks, track};

/// What is noted of a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tracked {
    pub opens: bool,
    pub clicks: bool,
}

/// What one of many says, where it says something.
#[derive(Debug, Clone, Copy, Default)]
struct Said {
    opens: Option<bool>,
    clicks: Option<bool>,
}

/// What is configured of tracking.
#[derive(Debug)]
pub struct Tracking {
    usual: Tracked,
    categories: HashMap<Box<str>, Said>,
    tenants: HashMap<Box<str>, Said>,
}

impl Tracking {
    pub fn new(config: &config::Config) -> Self {
        let categories = config.categories.iter().map(|category| {
            let said = Said { opens: category.track_opens, clicks: category.track_clicks };
            (category.name.as_str().into(), said)
        });
        let tenants = config.tracking.tenants.iter();
        let tenants =
            tenants.map(|tenant| (tenant.tenant.as_str().into(), Said { opens: tenant.opens, clicks: tenant.clicks }));
        Self {
            usual: Tracked { opens: config.tracking.opens, clicks: config.tracking.clicks },
            categories: categories.collect(),
            tenants: tenants.collect(),
        }
    }

    /// What is noted of a tenant's mails of a category.
    pub fn of(&self, tenant: &str, category: &Category) -> Tracked {
        let tenant = self.tenants.get(tenant).copied().unwrap_or_default();
        let own = self.categories.get(&category.name).copied().unwrap_or_default();
        let decide = |usual: bool, tenant: Option<bool>, own: Option<bool>| {
            // Who may not switch a category off could not object to being looked at either.
            tenant != Some(false) && own.unwrap_or(category.opt_out && tenant.unwrap_or(usual))
        };
        Tracked {
            opens: decide(self.usual.opens, tenant.opens, own.opens),
            clicks: decide(self.usual.clicks, tenant.clicks, own.clicks),
        }
    }

    /// Puts into a mail what counts its opens and clicks.
    pub(super) fn put_in(
        &self,
        message: &mut Message,
        plan: &Plan,
        category: &Category,
        links: Option<&Links>,
        now: Timestamp,
    ) {
        let Some(html) = message.parts.html.as_deref().filter(|_| message.channel == Channel::Email) else { return };
        let Tracked { opens, clicks } = match links {
            Some(_) => self.of(&plan.tenant, category),
            None => Tracked { opens: false, clicks: false },
        };
        if !opens && !clicks && !html.contains(TRACK_ATTRIBUTE) {
            return;
        }
        let mail = TrackedMail { tenant: plan.tenant.clone(), task: message.task, made_at: now };
        let link = |ordinal: u16, target: &str| {
            links.filter(|links| !links.is_own(target)).and_then(|links| links.click(&mail, ordinal, target))
        };
        let pixel = links.filter(|_| opens).and_then(|links| links.open(&mail));
        let link: Option<MakeLink<'_>> = if clicks { Some(&link) } else { None };
        message.parts.html = Some(track(html, &Tracks { pixel, link }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Secret, load_from};
    use crate::domain::{
        Address, Content, Disposition, Parts, Position, Priority, Routing, ShardId, Source, TaskId, TaskSpec,
    };

    fn config(text: &str) -> config::Config {
        load_from(Some(("test.toml", text)), []).expect("valid").config
    }

    fn of(config: &config::Config, tenant: &str, category: &str) -> (bool, bool) {
        let categories = config.categories().expect("the default is there");
        let tracked = Tracking::new(config).of(tenant, categories.get(category).expect("it is there"));
        (tracked.opens, tracked.clicks)
    }

    #[test]
    fn what_may_be_switched_off_is_tracked_unless_somebody_says_otherwise() {
        let usual = config("");
        assert_eq!(of(&usual, "default", "marketing"), (true, true));
        assert_eq!(of(&usual, "default", "transactional"), (false, false), "nobody can switch it off");
        assert_eq!(of(&config("[tracking]\nopens = false"), "default", "marketing"), (false, true));
        let tenants = "[[tracking.tenants]]\ntenant = \"acme\"\nopens = false\n[[tracking.tenants]]\ntenant = \"default\"\nclicks = true\n[tracking]\nclicks = false";
        let tenants = config(tenants);
        assert_eq!(of(&tenants, "acme", "marketing"), (false, false));
        assert_eq!(of(&tenants, "default", "marketing"), (true, true));
        assert_eq!(of(&tenants, "default", "security"), (false, false), "a tenant's yes is no category's");
        let category = "[[categories]]\nname = \"transactional\"\nopt_out = false\ntrack_clicks = true\n[[categories]]\nname = \
                        \"news\"\ntrack_opens = false\n[[tracking.tenants]]\ntenant = \"acme\"\nclicks = false";
        let category = config(category);
        assert_eq!(of(&category, "default", "transactional"), (false, true));
        assert_eq!(of(&category, "default", "news"), (false, true));
        assert_eq!(of(&category, "acme", "transactional"), (false, false), "a tenant's no is for all of its mails");
    }

    #[test]
    fn values_that_make_no_sense_are_refused_at_start() {
        let check = |text: &str, expected: &str| {
            let error = load_from(Some(("test.toml", text)), []).expect_err(text).to_string();
            assert!(error.contains(expected), "{error}");
        };
        check("[tracking.machines]\nuser_agents = [\"\"]", "3 characters");
        check("[tracking.machines]\nuser_agents = [\"Mozilla\"]", "every browser");
        check("[tracking.machines]\nwithin = \"1h\"", "5m");
        check("[tracking]\nopen = true", "tracking.open");
        check("[[tracking.tenants]]\ntenant = \"a\"\n[[tracking.tenants]]\ntenant = \"a\"", "twice");
        let loaded = load_from(Some(("test.toml", "[[tracking.tenants]]\ntenant = \"acme\"\nopens = false")), [])
            .expect("legal");
        assert!(loaded.warnings.iter().any(|warning| warning.contains("acme")), "{:?}", loaded.warnings);
    }

    fn message(html: Option<&str>, channel: Channel) -> (Message, Plan) {
        let shard = ShardId { generation: 0, lane: Priority::Normal, partition: 0 };
        let position = Position::new(shard, 7);
        let address = Address::Email("alice@example.com".into());
        let plan = Plan {
            position,
            tenant: "default".into(),
            user_id: Some("u1".into()),
            category: Some("marketing".into()),
            source: Source::Http,
            routing: Routing::All,
            accepted_at: Timestamp(1_000),
            expires_at: None,
            content: Content::Template { code: "welcome".into() },
            data: "{}".into(),
            metadata: "{}".into(),
            decisions: Vec::new(),
            disposition: Disposition::Tasks(vec![TaskSpec {
                channel,
                address: address.clone(),
                due: None,
                endpoint: 0,
            }]),
            claims: Vec::new(),
            group: None,
            presentation: Default::default(),
            delivery: Default::default(),
            campaign: None,
            personal: Default::default(),
        };
        let parts = Parts { title: "Hi".into(), body: "Hi".into(), html: html.map(Into::into), ..Parts::default() };
        let message = Message {
            task: TaskId { position, ordinal: 0 },
            attempt: 1,
            channel,
            priority: Priority::Normal,
            tenant: "default".into(),
            user_id: Some("u1".into()),
            category: Some("marketing".into()),
            address,
            template: None,
            parts,
            attachments: Vec::new(),
            unsubscribe: None,
            collapse_key: None,
            data: "{}".into(),
            metadata: "{}".into(),
            accepted_at: Timestamp(1_000),
            due: Timestamp(1_000),
            expires_at: None,
        };
        (message, plan)
    }

    #[test]
    fn only_the_html_of_mails_is_touched_and_our_own_links_stay() {
        let config = config("");
        let (tracking, categories) = (Tracking::new(&config), config.categories().expect("the default is there"));
        let links = Links::new("https://n.example", &Secret::new("a".repeat(40)), &[]).expect("long enough");
        let put_in = |html: Option<&str>, channel, category: &str| {
            let (mut message, plan) = message(html, channel);
            let category = categories.get(category).expect("it is there");
            tracking.put_in(&mut message, &plan, category, Some(&links), Timestamp(5_000));
            assert_eq!(message.parts.body, "Hi");
            message.parts.html
        };
        let html = "<a href=\"https://n.example/u/abc\">leave</a><a href=\"https://shop.example\">x</a>";
        let tracked = put_in(Some(html), Channel::Email, "marketing").expect("it is there");
        assert!(
            tracked.starts_with("<a href=\"https://n.example/u/abc\">leave</a><a href=\"https://n.example/t/c/"),
            "{tracked}"
        );
        let token = tracked.split("/t/c/").nth(1).and_then(|rest| rest.split('"').next()).expect("a token");
        let click = links.read_click(token).expect("signed here");
        assert_eq!((click.ordinal, &*click.target, click.mail.made_at), (1, "https://shop.example/", Timestamp(5_000)));
        let token = tracked.split("/t/o/").nth(1).and_then(|rest| rest.split('"').next()).expect("a pixel");
        assert_eq!(links.read_open(token), Some(click.mail));
        assert_eq!(put_in(Some(html), Channel::Email, "security").as_deref(), Some(html));
        assert_eq!(put_in(Some(html), Channel::Chat, "marketing").as_deref(), Some(html));
        assert_eq!(put_in(None, Channel::Email, "marketing"), None);
        let marked = "<a data-fanfare-track=\"off\" href=\"https://shop.example\">x</a>";
        let sent = put_in(Some(marked), Channel::Email, "security");
        assert_eq!(sent.as_deref(), Some("<a href=\"https://shop.example\">x</a>"));
    }
}
