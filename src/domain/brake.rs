//! Brakes: what somebody stopped by hand, and what that means for a message.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::{CampaignId, Channel, Content, NotificationRequest, Plan, Timestamp};

/// By what messages are stopped. The numbers are those of the rows and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BrakeKind {
    Category = 0,
    Template = 1,
    Channel = 2,
    Provider = 3,
    Campaign = 4,
}

impl BrakeKind {
    pub const ALL: [BrakeKind; 5] = [Self::Category, Self::Template, Self::Channel, Self::Provider, Self::Campaign];

    pub fn from_index(index: usize) -> Option<Self> {
        Self::ALL.get(index).copied()
    }

    pub fn name(self) -> &'static str {
        ["category", "template", "channel", "provider", "campaign"][self as usize]
    }

    /// Whether it names a way to the user and not what is said: the other channels of a fallback are not meant.
    pub fn is_way(self) -> bool {
        matches!(self, Self::Channel | Self::Provider)
    }
}

/// Which messages: all of a tenant's of one category, template, channel, provider or campaign.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BrakeScope {
    pub tenant: Box<str>,
    pub kind: BrakeKind,
    pub name: Box<str>,
}

/// What a brake does. The numbers are those of the rows and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BrakeEffect {
    /// They wait until it is taken off.
    Pause = 0,
    /// Those that were accepted until it was put on are cancelled.
    Recall = 1,
}

impl BrakeEffect {
    pub fn from_index(index: usize) -> Option<Self> {
        [Self::Pause, Self::Recall].get(index).copied()
    }
}

/// One brake; of each scope and effect there is one, written over when it changes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Brake {
    pub scope: BrakeScope,
    pub effect: BrakeEffect,
    /// Whether it is on; one that was taken off is kept, so that it is known that something may have been held.
    pub is_on: bool,
    /// When it was put on or taken off.
    pub at: Timestamp,
    /// Why, for people.
    pub reason: Option<Box<str>>,
}

/// What the brakes say of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrakeVerdict {
    Go,
    /// It waits, and for what.
    Held(BrakeKind),
    /// It is taken back, and by what.
    Recalled(BrakeKind),
}

/// The longest that a message is held, whatever its expiry says: rows are kept for tasks that end within this time.
pub const HOLD_MAX: Duration = Duration::from_secs(30 * 86_400);

/// Until when a message is held at the most: until it is worth nothing any more.
pub fn held_until(expires_at: Option<Timestamp>, now: Timestamp) -> Timestamp {
    let longest = now + HOLD_MAX;
    expires_at.map_or(longest, |expires_at| expires_at.min(longest))
}

/// What must be known of the configuration to judge.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BrakeNames {
    pub categories: Vec<Box<str>>,
    /// Of messages that name none.
    pub default_category: Box<str>,
    /// By [`Channel::index`]: who serves the channel.
    pub providers: [Vec<Box<str>>; 7],
}

/// Of one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Stopped {
    is_paused: bool,
    recalled: Option<Timestamp>,
}

/// By [`BrakeKind`], then by name.
type OfTenant = [HashMap<Box<str>, Stopped>; BrakeKind::ALL.len()];

/// All brakes at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrakeSet {
    names: Arc<BrakeNames>,
    number: u64,
    /// As they were read.
    brakes: Vec<Brake>,
    by_tenant: HashMap<Box<str>, OfTenant>,
}

/// What is to be known of a message.
struct Message<'a> {
    category: Option<&'a str>,
    content: &'a Content,
    campaign: Option<CampaignId>,
    accepted_at: Timestamp,
}

impl BrakeSet {
    /// `number`: larger the later it was read, in one process.
    pub fn new(brakes: Vec<Brake>, number: u64, names: Arc<BrakeNames>) -> Self {
        let mut by_tenant: HashMap<Box<str>, OfTenant> = HashMap::new();
        for brake in brakes.iter().filter(|brake| brake.is_on) {
            let of_tenant = by_tenant.entry(brake.scope.tenant.clone()).or_default();
            let stopped = of_tenant[brake.scope.kind as usize].entry(brake.scope.name.clone()).or_default();
            match brake.effect {
                BrakeEffect::Pause => stopped.is_paused = true,
                BrakeEffect::Recall => stopped.recalled = stopped.recalled.max(Some(brake.at)),
            }
        }
        Self { names, number, brakes, by_tenant }
    }

    pub fn number(&self) -> u64 {
        self.number
    }

    /// As they were read, those as well that were taken off.
    pub fn brakes(&self) -> &[Brake] {
        &self.brakes
    }

    /// Whether none is on.
    pub fn is_empty(&self) -> bool {
        self.by_tenant.is_empty()
    }

    /// Whether something was recalled then or later.
    pub fn is_any_recalled_since(&self, since: Timestamp) -> bool {
        self.brakes.iter().any(|brake| brake.is_on && brake.effect == BrakeEffect::Recall && brake.at >= since)
    }

    /// Whether something of the tenant's was recalled at `since` or later, and before `until`.
    pub fn is_recalled_between(&self, tenant: &str, since: Timestamp, until: Timestamp) -> bool {
        let is_in = |at: Timestamp| since <= at && at < until;
        let of_tenant = self.by_tenant.get(tenant).into_iter().flatten().flat_map(HashMap::values);
        of_tenant.filter_map(|stopped| stopped.recalled).any(is_in)
    }

    /// Whether one is on that may stop something of the tenant.
    pub fn concerns(&self, tenant: &str) -> bool {
        self.by_tenant.contains_key(tenant)
    }

    /// Of a request, whatever channels it takes.
    pub fn judge_request(&self, request: &NotificationRequest) -> BrakeVerdict {
        let Some(of_tenant) = self.by_tenant.get(&request.tenant) else { return BrakeVerdict::Go };
        let category = request.category.as_deref();
        let NotificationRequest { content, campaign, accepted_at, .. } = request;
        let (campaign, accepted_at) = (*campaign, *accepted_at);
        self.judge_kind(of_tenant, &Message { category, content, campaign, accepted_at })
    }

    /// Of what goes through a channel, by the channel and its providers alone.
    pub fn judge_channel(&self, tenant: &str, channel: Channel, accepted_at: Timestamp) -> BrakeVerdict {
        let Some(of_tenant) = self.by_tenant.get(tenant) else { return BrakeVerdict::Go };
        self.judge_way(of_tenant, channel, None, accepted_at)
    }

    /// Of a planned message on a channel: with a provider, or with whichever the channel has. Where the channel has several, the
    /// brakes of all of them must be on.
    pub fn judge(&self, plan: &Plan, channel: Channel, provider: Option<&str>) -> BrakeVerdict {
        let Some(of_tenant) = self.by_tenant.get(&plan.tenant) else { return BrakeVerdict::Go };
        let (category, accepted_at) = (plan.category.as_deref(), plan.accepted_at);
        let both = [
            self.judge_kind(
                of_tenant,
                &Message { category, content: &plan.content, campaign: plan.campaign, accepted_at },
            ),
            self.judge_way(of_tenant, channel, provider, accepted_at),
        ];
        stronger(both)
    }

    /// Whether nothing of the tenant goes to the provider now.
    pub fn pauses_provider(&self, tenant: &str, provider: &str) -> bool {
        self.by_tenant.get(tenant).is_some_and(|of_tenant| find(of_tenant, BrakeKind::Provider, provider).is_paused)
    }

    fn judge_kind(&self, of_tenant: &OfTenant, message: &Message<'_>) -> BrakeVerdict {
        let category = message.category.unwrap_or(&self.names.default_category);
        let category = verdict(of_tenant, BrakeKind::Category, category, message.accepted_at);
        let template = match message.content {
            Content::Template { code } => verdict(of_tenant, BrakeKind::Template, code, message.accepted_at),
            Content::Inline { .. } => BrakeVerdict::Go,
        };
        let campaigns = &of_tenant[BrakeKind::Campaign as usize];
        // Its name is made only where there is one to compare it with.
        let campaign = message.campaign.filter(|_| !campaigns.is_empty()).map_or(BrakeVerdict::Go, |id| {
            // Whatever is still handed on before its owner hears of it is meant as well.
            verdict(of_tenant, BrakeKind::Campaign, &id.to_string(), Timestamp(0))
        });
        stronger([campaign, stronger([category, template])])
    }

    fn judge_way(
        &self,
        of_tenant: &OfTenant,
        channel: Channel,
        provider: Option<&str>,
        accepted_at: Timestamp,
    ) -> BrakeVerdict {
        let of_channel = verdict(of_tenant, BrakeKind::Channel, channel.name(), accepted_at);
        let of = |name: &str| verdict(of_tenant, BrakeKind::Provider, name, accepted_at);
        let all = &self.names.providers[channel.index()];
        let of_provider = match provider {
            Some(name) => of(name),
            None if all.is_empty() => BrakeVerdict::Go,
            None if all.iter().all(|name| matches!(of(name), BrakeVerdict::Recalled(_))) => {
                BrakeVerdict::Recalled(BrakeKind::Provider)
            }
            None if all.iter().all(|name| find(of_tenant, BrakeKind::Provider, name).is_paused) => {
                BrakeVerdict::Held(BrakeKind::Provider)
            }
            None => BrakeVerdict::Go,
        };
        stronger([of_channel, of_provider])
    }
}

fn find(of_tenant: &OfTenant, kind: BrakeKind, name: &str) -> Stopped {
    of_tenant[kind as usize].get(name).copied().unwrap_or_default()
}

fn verdict(of_tenant: &OfTenant, kind: BrakeKind, name: &str, accepted_at: Timestamp) -> BrakeVerdict {
    let stopped = find(of_tenant, kind, name);
    if stopped.recalled.is_some_and(|recalled| accepted_at <= recalled) {
        return BrakeVerdict::Recalled(kind);
    }
    if stopped.is_paused { BrakeVerdict::Held(kind) } else { BrakeVerdict::Go }
}

/// What is recalled is so whatever else holds it. Of two of a kind the first counts: what is said comes before the way.
fn stronger(verdicts: [BrakeVerdict; 2]) -> BrakeVerdict {
    let recalled = verdicts.into_iter().find(|verdict| matches!(verdict, BrakeVerdict::Recalled(_)));
    let held = || verdicts.into_iter().find(|verdict| *verdict != BrakeVerdict::Go);
    recalled.or_else(held).unwrap_or(BrakeVerdict::Go)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::conformance::{plan, shard};

    const AT: Timestamp = Timestamp(1_000);

    fn set(brakes: &[(BrakeKind, &str, BrakeEffect, bool)]) -> BrakeSet {
        let mut providers: [Vec<Box<str>>; 7] = Default::default();
        providers[Channel::Email.index()] = vec!["one".into(), "two".into()];
        let names = BrakeNames { categories: Vec::new(), default_category: "transactional".into(), providers };
        let brakes = brakes.iter().map(|(kind, name, effect, is_on)| Brake {
            scope: BrakeScope { tenant: "default".into(), kind: *kind, name: (*name).into() },
            effect: *effect,
            is_on: *is_on,
            at: AT,
            reason: None,
        });
        BrakeSet::new(brakes.collect(), 1, Arc::new(names))
    }

    #[track_caller]
    fn check(brakes: &[(BrakeKind, &str, BrakeEffect, bool)], accepted_at: u64, expected: BrakeVerdict) {
        let mut plan = plan(super::super::Position::new(shard(0), 1));
        plan.tenant = "default".into();
        plan.category = None;
        plan.content = Content::Template { code: "welcome".into() };
        plan.accepted_at = Timestamp(accepted_at);
        assert_eq!(set(brakes).judge(&plan, Channel::Email, None), expected, "{brakes:?}");
        plan.tenant = "other".into();
        assert_eq!(set(brakes).judge(&plan, Channel::Email, None), BrakeVerdict::Go, "another tenant's");
    }

    #[test]
    fn a_pause_holds_what_it_names_as_long_as_it_is_on() {
        use BrakeEffect::Pause;
        use BrakeKind::*;
        for (kind, name) in [(Category, "transactional"), (Template, "welcome"), (Channel, "email")] {
            check(&[(kind, name, Pause, true)], 2_000, BrakeVerdict::Held(kind));
            check(&[(kind, name, Pause, false)], 2_000, BrakeVerdict::Go);
            check(&[(kind, "something else", Pause, true)], 2_000, BrakeVerdict::Go);
        }
    }

    #[test]
    fn a_channel_waits_for_its_providers_only_when_all_of_them_are_paused() {
        use BrakeEffect::Pause;
        use BrakeKind::Provider;
        check(&[(Provider, "one", Pause, true)], 2_000, BrakeVerdict::Go);
        let both = [(Provider, "one", Pause, true), (Provider, "two", Pause, true)];
        check(&both, 2_000, BrakeVerdict::Held(Provider));
        assert!(set(&both).pauses_provider("default", "one"));
        assert!(!set(&both).pauses_provider("other", "one"));
    }

    #[test]
    fn a_recall_takes_what_was_accepted_until_then_and_nothing_after_it() {
        use BrakeEffect::{Pause, Recall};
        use BrakeKind::Category;
        let recall = (Category, "transactional", Recall, true);
        check(&[recall], 1_000, BrakeVerdict::Recalled(Category));
        check(&[recall], 1_001, BrakeVerdict::Go);
        let paused = (Category, "transactional", Pause, true);
        check(&[paused, recall], 1_000, BrakeVerdict::Recalled(Category));
        let way = (BrakeKind::Channel, "email", Recall, true);
        check(&[way], 1_000, BrakeVerdict::Recalled(BrakeKind::Channel));
        check(&[way, recall], 1_000, BrakeVerdict::Recalled(Category));
        check(&[way, paused], 1_000, BrakeVerdict::Recalled(BrakeKind::Channel));
        check(&[paused, recall], 1_001, BrakeVerdict::Held(Category));
    }
}
