//! What the configuration says about planning.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{self, Config};
use crate::domain::{
    Address, Calendar, Categories, Category, Channel, NotificationRequest, QuietHours, User, Zone, millionths,
};

/// Planning's share of the configuration; the same for every request.
#[derive(Debug, Clone)]
pub struct Policy {
    /// How long a second notification with the same business key is a duplicate, unless the request says otherwise.
    pub dedup_window: Duration,
    /// How long a retry key answers the same.
    pub retry_window: Duration,
    /// By [`Channel::index`]: whether a provider serves the channel.
    pub has_provider: [bool; 7],
    /// Those of them that are served by what somebody configured: the others are for who names or prefers them.
    pub is_chosen: [bool; 7],
    /// By [`Channel::index`]: what a message costs with the cheapest provider of the channel, in millionths.
    pub costs: [u64; 7],
    /// Of the addresses of those channels.
    pub takers: Takers,
    pub categories: Categories,
    pub routing: RoutingPolicy,
    /// Of users without their own, in categories without their own; `None`: there are none.
    pub quiet_hours: Option<QuietHours>,
    pub calendars: Vec<Calendar>,
    /// Of users whose own is not known.
    pub zone: Zone,
    /// How many reminders of one type a user gets within the window of fatigue.
    pub reminders_max: u32,
    /// That window.
    pub fatigue_window: Duration,
    /// The most that a user gets in a day, of all categories that do not ignore caps; `None`: no bound.
    pub daily_cap: Option<u32>,
    /// How long others join a group, from its first on.
    pub aggregation_window: Duration,
    /// How many actors and items a merged message is told.
    pub shown_items: usize,
    /// As many close a group early; `None`: no bound.
    pub items_max: Option<u32>,
    /// Of users who chose none: 0 to 23.
    pub digest_hour: u8,
}

/// Which addresses some provider takes, on the channels whose providers do not all take the same: devices and chats.
#[derive(Clone, Default)]
pub struct Takers(Option<Arc<Takes>>);

type Takes = dyn Fn(Channel, &Address) -> bool + Send + Sync;

impl Takers {
    /// Those that `takes` says yes to; without it (the default) every address.
    pub fn new(takes: impl Fn(Channel, &Address) -> bool + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(takes)))
    }

    /// Whether a provider of the channel takes the address.
    pub fn take(&self, channel: Channel, address: &Address) -> bool {
        self.0.as_ref().is_none_or(|takes| takes(channel, address))
    }
}

impl fmt::Debug for Takers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.0.is_some() { "Takers(some)" } else { "Takers(all)" })
    }
}

/// Which channels the engine chooses from where none is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoutingPolicy {
    /// In this order, for what is critical.
    pub critical: Vec<Channel>,
    /// For the rest: push first, for users who are online.
    pub push_when_online: bool,
    /// Then the user's preferred channel.
    pub preferred_first: bool,
    /// Then these, the cheapest first.
    pub cheapest: Vec<Channel>,
    /// At last these, in this order.
    pub otherwise: Vec<Channel>,
}

impl RoutingPolicy {
    /// What costs the same stays in the order of the configuration, as does what no provider serves, at the end.
    fn new(routing: &config::Routing, costs: &[Option<f64>; 7]) -> Self {
        let channels = |names: &[config::ChannelName]| names.iter().map(|name| name.0).collect::<Vec<_>>();
        let mut cheapest = channels(&routing.cheapest);
        let cost = |channel: &Channel| costs[channel.index()].unwrap_or(f64::INFINITY);
        cheapest.sort_by(|a, b| cost(a).total_cmp(&cost(b)));
        Self {
            critical: channels(&routing.critical),
            push_when_online: routing.push_when_online,
            preferred_first: routing.preferred_first,
            cheapest,
            otherwise: channels(&routing.otherwise),
        }
    }
}

impl Policy {
    /// `costs`: by [`Channel::index`], what a message costs with the cheapest provider of the channel; `None`: it has none.
    pub fn new(config: &Config, costs: [Option<f64>; 7]) -> Self {
        Self {
            dedup_window: config.dedup.window,
            retry_window: config.dedup.idempotency,
            has_provider: costs.map(|cost| cost.is_some()),
            is_chosen: chosen(config, costs),
            costs: costs.map(|cost| millionths(cost.unwrap_or(0.0))),
            takers: Takers::default(),
            categories: config.categories().expect("a configuration without its default category is refused"),
            routing: RoutingPolicy::new(&config.routing, &costs),
            quiet_hours: config.usual_quiet_hours(),
            calendars: config.special_days(),
            zone: config.planning.timezone.0.clone(),
            reminders_max: config.fatigue.max,
            fatigue_window: config.fatigue.window,
            daily_cap: config.fatigue.daily_cap,
            aggregation_window: config.aggregation.window,
            shown_items: config.aggregation.shown_items,
            items_max: config.aggregation.max_items,
            digest_hour: config.aggregation.digest_hour,
        }
    }

    /// The same where the providers take only some of the addresses of their channels.
    pub fn with_takers(self, takers: Takers) -> Self {
        Self { takers, ..self }
    }

    pub(super) fn serves(&self, channel: Channel) -> bool {
        self.has_provider[channel.index()]
    }

    pub(super) fn category(&self, request: &NotificationRequest) -> &Category {
        self.categories.of(request.category.as_deref())
    }

    /// Where somebody's clock stands; a zone that is none counts as not known.
    pub(super) fn zone(&self, user: Option<&User>) -> Zone {
        let own = user.and_then(|user| user.timezone.as_deref()).and_then(Zone::parse);
        own.unwrap_or_else(|| self.zone.clone())
    }

    /// How long this request's business key lasts; zero: it is not held at all.
    pub(super) fn business_window(&self, request: &NotificationRequest) -> Duration {
        match request.dedup_window_seconds {
            Some(seconds) => Duration::from_secs(u64::from(seconds)),
            None => self.dedup_window,
        }
    }
}

/// Messages in the product have a place without being configured, which nobody may look at: the engine does not choose it by itself.
fn chosen(config: &Config, costs: [Option<f64>; 7]) -> [bool; 7] {
    let mut chosen = costs.map(|cost| cost.is_some());
    if config.providers.iter().any(|provider| provider.is_implied) {
        chosen[Channel::InApp.index()] = false;
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planning::testing::policy;

    #[test]
    fn channels_are_compared_by_what_they_cost_and_otherwise_by_the_order_of_the_configuration() {
        let config = crate::config::defaults();
        let check = |costs: [Option<f64>; 7], expected: [Channel; 3]| {
            assert_eq!(Policy::new(&config, costs).routing.cheapest, expected, "{costs:?}");
        };
        let mut costs = [Some(0.0); 7];
        check(costs, [Channel::Push, Channel::Email, Channel::Sms]);
        costs[Channel::Push.index()] = Some(0.02);
        costs[Channel::Sms.index()] = Some(0.01);
        check(costs, [Channel::Email, Channel::Sms, Channel::Push]);
        costs[Channel::Email.index()] = None;
        check(costs, [Channel::Sms, Channel::Push, Channel::Email]);
    }

    #[test]
    fn a_zone_that_is_not_known_is_the_configured_one() {
        let zone = |name: Option<&str>| {
            let user = User { timezone: name.map(Into::into), ..User::default() };
            policy().zone(Some(&user)).name().to_owned()
        };
        assert_eq!(zone(Some("Asia/Tokyo")), "Asia/Tokyo");
        assert_eq!(zone(Some("Mars/Olympus")), "UTC");
        assert_eq!(zone(None), "UTC");
        assert_eq!(policy().zone(None).name(), "UTC");
    }
}
