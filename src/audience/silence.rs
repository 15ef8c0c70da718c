//! Says when an event type that should be heard of fell silent.

use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Definitions, RuleBook};
use crate::clock::{Moment, SharedClock};
use crate::telemetry::{Gauge, GaugeMetric};

/// Alert on the minimum over the nodes: an event comes to one of them.
const SILENT: GaugeMetric<1> = GaugeMetric::new(
    "fanfare_event_type_silent",
    "1 while this process has not heard of an event type for as long as its `silent_after` says.",
    ["type"],
);

/// How often it is looked.
const INTERVAL: Duration = Duration::from_secs(10);

/// When this process heard of which type last; in memory only.
pub struct Heard {
    clock: SharedClock,
    last: Mutex<HashMap<Box<str>, Moment>>,
}

impl Heard {
    pub(super) fn since_now(clock: SharedClock) -> Arc<Self> {
        Arc::new(Self { clock, last: Mutex::default() })
    }

    /// An event of the type came, of whichever tenant. Only of types that are declared, so that they are few.
    pub(super) fn note(&self, event_type: &str) {
        let now = self.clock.moment();
        let mut last = self.lock();
        match last.get_mut(event_type) {
            Some(at) => *at = now,
            None => drop(last.insert(event_type.into(), now)),
        }
    }

    pub(super) fn last(&self, event_type: &str) -> Option<Moment> {
        self.lock().get(event_type).copied()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Moment>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps the metric, for ever. `tenants`: those whose types are looked at.
pub async fn watch_silence(definitions: Arc<Definitions>, heard: Arc<Heard>, tenants: Vec<Box<str>>) {
    let mut watch = Watch::default();
    loop {
        // Nobody else would notice that the watching had ended: the gauges would stay where they were.
        let looked = catch_unwind(AssertUnwindSafe(|| {
            let books: Vec<Arc<RuleBook>> = tenants.iter().map(|tenant| definitions.book(tenant)).collect();
            let types = books.iter().flat_map(|book| book.event_types());
            watch.look(limits(types.map(|known| (known.name.clone(), known.silent_after))), &heard);
        }));
        if looked.is_err() {
            tracing::error!("looking for event types that fell silent failed inside: please report this");
        }
        heard.clock.sleep(INTERVAL).await;
    }
}

/// The types that should be heard of, with the shortest time that a tenant gives them.
fn limits(types: impl Iterator<Item = (Box<str>, Option<Duration>)>) -> BTreeMap<Box<str>, Duration> {
    let mut limits: BTreeMap<Box<str>, Duration> = BTreeMap::new();
    for (name, limit) in types {
        if let Some(limit) = limit {
            limits.entry(name).and_modify(|shortest| *shortest = limit.min(*shortest)).or_insert(limit);
        }
    }
    limits
}

/// The types that are watched: since when, and their gauges.
#[derive(Default)]
struct Watch(HashMap<Box<str>, (Moment, Gauge)>);

impl Watch {
    fn look(&mut self, limits: BTreeMap<Box<str>, Duration>, heard: &Heard) {
        let now = heard.clock.moment();
        self.0.retain(|name, (_, gauge)| {
            let is_watched = limits.contains_key(name);
            if !is_watched {
                gauge.set(0.0);
            }
            is_watched
        });
        for (name, limit) in limits {
            let gauge = || (now, SILENT.with([&name]));
            let (since, gauge) = self.0.entry(name.clone()).or_insert_with(gauge);
            let last = heard.last(&name).map_or(*since, |last| last.max(*since));
            gauge.set(if now.since(last) >= limit { 1.0 } else { 0.0 });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::domain::Timestamp;
    use crate::telemetry;

    fn shown(name: &str) -> Option<f64> {
        let page = telemetry::install().render();
        let prefix = format!("fanfare_event_type_silent{{type=\"{name}\"}} ");
        page.lines().find_map(|line| line.strip_prefix(&prefix)).map(|value| value.parse().expect("a number"))
    }

    #[test]
    fn a_type_is_silent_from_its_time_without_an_event_until_the_next_one() {
        telemetry::install();
        let clock = ManualClock::starting_at(Timestamp(0));
        let heard = Heard::since_now(clock.clone());
        let mut watch = Watch::default();
        let hour = || BTreeMap::from([("test.hourly".into(), Duration::from_secs(3600))]);
        watch.look(hour(), &heard);
        assert_eq!(shown("test.hourly"), Some(0.0), "the process has just started");
        clock.advance(Duration::from_secs(3599));
        watch.look(hour(), &heard);
        assert_eq!(shown("test.hourly"), Some(0.0));
        clock.advance(Duration::from_secs(1));
        watch.look(hour(), &heard);
        assert_eq!(shown("test.hourly"), Some(1.0));
        heard.note("test.hourly");
        watch.look(hour(), &heard);
        assert_eq!(shown("test.hourly"), Some(0.0));
        clock.advance(Duration::from_secs(3600));
        watch.look(hour(), &heard);
        assert_eq!(shown("test.hourly"), Some(1.0));
        watch.look(BTreeMap::new(), &heard);
        assert_eq!(shown("test.hourly"), Some(0.0), "nobody waits for it any more");
    }

    #[test]
    fn the_shortest_time_counts() {
        let types = [("a", Some(7200)), ("a", Some(3600)), ("b", None)];
        let limits = limits(types.into_iter().map(|(name, limit)| (name.into(), limit.map(Duration::from_secs))));
        assert_eq!(limits.into_iter().collect::<Vec<_>>(), [("a".into(), Duration::from_secs(3600))]);
    }
}
