//! The work on campaigns, at each home: those that are open have their turns one after the other, a chunk at a time, so that a large
//! one does not hold up a small one.

mod chunks;
mod outcome;
mod pace;
mod removal;
mod running;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;

use self::removal::Removal;
use self::running::Running;
use super::rows;
use super::{Campaigns, Members};
use crate::brakes::Brakes;
use crate::clock::{Moment, SharedClock};
use crate::codec;
use crate::domain::{CampaignCommand, CampaignId};
use crate::homes::{Tenure, Turns, Wake, Work};
use crate::intake::Acceptor;
use crate::store::StoreError;
use crate::telemetry::{CounterMetric, Gauge, GaugeMetric};

/// Worry when it stands still while campaigns are open.
const HANDED_ON: CounterMetric<1> = CounterMetric::new(
    "fanfare_campaign_members_total",
    "Members of campaigns whose messages were handed on, by what began the campaign.",
    ["kind"],
);
/// Worry when it only grows.
const OPEN: GaugeMetric<1> =
    GaugeMetric::new("fanfare_open_campaigns", "Campaigns that are not over, by home.", ["home"]);
/// Worry about any: a campaign cannot be worked on.
const FAILED: CounterMetric<0> =
    CounterMetric::new("fanfare_campaign_errors_total", "Steps of campaigns that failed; they are tried again.", []);

/// How often a home looks for what is new and what somebody wants.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// A turn ends after this time, so that whoever wants the home back gets it.
const TURN: Duration = Duration::from_millis(400);
/// Open campaigns that are read at once.
const PAGE: usize = 1000;
/// The pause of a campaign whose step failed; it doubles up to the other.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// What the work is made of.
pub struct RunnerParts {
    pub campaigns: Arc<Campaigns>,
    pub acceptor: Arc<Acceptor>,
    pub members: Arc<dyn Members>,
    /// What was handed on is recalled by them where a campaign stops itself.
    pub brakes: Arc<Brakes>,
    pub clock: SharedClock,
    /// How long what is known of one is kept after it was over.
    pub kept_for: Duration,
}

/// The work on campaigns.
pub struct CampaignWork {
    parts: Arc<RunnerParts>,
}

impl CampaignWork {
    pub fn new(parts: RunnerParts) -> Self {
        Self { parts: Arc::new(parts) }
    }
}

#[async_trait]
impl Work for CampaignWork {
    fn kind(&self) -> &'static str {
        "campaigns"
    }

    async fn begin(&self, tenure: Tenure) -> Result<Box<dyn Turns>, StoreError> {
        let open = OPEN.with([&tenure.home.to_string()]);
        let parts = self.parts.clone();
        let removal = Removal::new(parts.campaigns.clone(), parts.clock.clone(), parts.kept_for);
        Ok(Box::new(AtHome { parts, running: BTreeMap::new(), tenure, looked_at: None, removal, open }))
    }

    fn wake(&self) -> &Wake {
        self.parts.campaigns.wake()
    }
}

/// The open campaigns of one home.
struct AtHome {
    parts: Arc<RunnerParts>,
    tenure: Tenure,
    running: BTreeMap<CampaignId, Turn>,
    looked_at: Option<Moment>,
    removal: Removal,
    open: Gauge,
}

/// A campaign and when it is its turn.
struct Turn {
    /// `None`: it is read anew.
    running: Option<Running>,
    at: Moment,
    pause: Duration,
}

#[async_trait]
impl Turns for AtHome {
    async fn turn(&mut self) -> Result<Duration, StoreError> {
        let began = self.parts.clock.moment();
        if self.looked_at.is_none_or(|at| began.since(at) >= LOOK_INTERVAL) {
            self.look().await?;
            self.looked_at = Some(began);
        }
        self.removal.step(&self.tenure).await;
        loop {
            let now = self.parts.clock.moment();
            let due = self.running.iter().filter(|(_, turn)| turn.at <= now);
            let mut due: Vec<(Moment, CampaignId)> = due.map(|(id, turn)| (turn.at, *id)).collect();
            // Whoever has waited longest: a turn may end before all of them had theirs.
            due.sort_unstable();
            if due.is_empty() {
                let next = self.running.values().map(|turn| turn.at.since(now)).min();
                return Ok(next.map_or(LOOK_INTERVAL, |next| next.min(LOOK_INTERVAL)));
            }
            for (_, id) in due {
                if !self.tenure.holds() || self.parts.clock.moment().since(began) >= TURN {
                    return Ok(Duration::ZERO);
                }
                self.step(id).await;
            }
        }
    }
}

impl AtHome {
    /// What is open, and what somebody wants of it.
    async fn look(&mut self) -> Result<(), StoreError> {
        let store = self.parts.campaigns.store().clone();
        let (part, mut after) = (rows::open_part(self.tenure.home), None::<Box<[u8]>>);
        let mut seen = BTreeSet::new();
        loop {
            let page = store.keyed_between(&part, after.as_deref(), None, PAGE).await?;
            let open: Vec<CampaignId> = page.iter().filter_map(|(name, _)| rows::read_id(name)).collect();
            let commands: Vec<_> = open.iter().map(|id| (rows::part(*id), Box::from(rows::COMMAND))).collect();
            let commands = store.keyed(&commands).await?;
            for (id, command) in open.into_iter().zip(commands) {
                seen.insert(id);
                self.hear(id, command.as_deref());
            }
            match page.last() {
                Some((name, _)) if page.len() == PAGE => after = Some(name.clone()),
                _ => break,
            }
        }
        self.running.retain(|id, _| seen.contains(id));
        self.open.set(self.running.len() as f64);
        Ok(())
    }

    /// What somebody wants of one that is open.
    fn hear(&mut self, id: CampaignId, command: Option<&[u8]>) {
        let now = self.parts.clock.moment();
        let turn = self.running.entry(id).or_insert(Turn { running: None, at: now, pause: FIRST_PAUSE });
        let command = match command.map(codec::decode_campaign_command) {
            None => CampaignCommand::Run,
            Some(Ok((command, _))) => command,
            // Its step fails at it too, and says so.
            Some(Err(_)) => return,
        };
        if let Some(running) = &mut turn.running
            && running.command != command
        {
            running.obey(command, now);
            turn.at = now;
        }
    }

    /// One step of one campaign. What fails there fails there alone.
    async fn step(&mut self, id: CampaignId) {
        let Some(turn) = self.running.get_mut(&id) else { return };
        let stepped = AssertUnwindSafe(stepped(&self.parts, &self.tenure, id, &mut turn.running)).catch_unwind().await;
        let now = self.parts.clock.moment();
        let failed = match stepped {
            Ok(Ok(pause)) => {
                (turn.at, turn.pause) = (now + pause, FIRST_PAUSE);
                if turn.running.as_ref().is_none_or(|running| running.progress.status.is_over()) {
                    self.running.remove(&id);
                }
                return;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it ended with a panic: please report this".to_owned(),
        };
        tracing::error!(campaign = %id, error = failed, "a campaign cannot go on: trying again");
        FAILED.with([]).increment(1);
        // What memory has may be ahead of the rows.
        turn.running = None;
        turn.at = now + turn.pause;
        turn.pause = (turn.pause * 2).min(PAUSE_MAX);
    }
}

/// Reads it if it must, and does a step; without one if there is nothing to be done at all.
async fn stepped(
    parts: &RunnerParts,
    tenure: &Tenure,
    id: CampaignId,
    running: &mut Option<Running>,
) -> Result<Duration, StoreError> {
    if running.is_none() {
        let store = parts.campaigns.store();
        let names = [rows::SPEC, rows::COMMAND].map(|name| (rows::part(id), Box::from(name)));
        let mut bodies = store.keyed(&names).await?.into_iter();
        let Some(spec) = bodies.next().flatten() else {
            // Whoever begins one writes first what it is: this is none.
            store.put_keyed(vec![rows::open_row(id, false)]).await?;
            return Ok(Duration::ZERO);
        };
        let command = bodies.next().flatten().map(|body| codec::decode_campaign_command(&body)).transpose()?;
        let command = command.map_or(CampaignCommand::Run, |(command, _)| command);
        let loaded = Running::load(parts, tenure, codec::decode_campaign(id, &spec)?, command).await?;
        if loaded.progress.status.is_over() {
            parts.campaigns.close(&loaded.campaign, &loaded.progress).await?;
        }
        *running = Some(loaded);
    }
    match running {
        Some(running) => running.step(parts).await,
        None => Ok(Duration::ZERO),
    }
}
