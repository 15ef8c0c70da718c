//! The channel actor: owns the lanes and the provider slots of one channel and class.
//!
//! Started and watched by the channels' supervisor; it starts and watches its sender actors. What it has in memory may be
//! lost: a new incarnation waits until every answer is settled and then takes up again, from the store, what the ownership
//! registry says is in hand. If a sender fails the channel fails with it, for the same reason.

mod choosing;
mod waking;

use std::collections::{HashSet, VecDeque};

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, SupervisionEvent};
use tokio::runtime::Handle;

use self::choosing::Chosen;
use super::aside::Aside;
use super::breaker::BreakerRule;
use super::endpoints::Endpoints;
use super::lanes::{Lanes, Sharing};
use super::load::{LOAD_MAX, load};
use super::metrics::ChannelMetrics;
use super::promises::PromiseMetrics;
use super::ready::{Class, Ready};
use super::sender::{Finished, Job, Leftover, Probe, SenderActor, SenderContext, SenderMessage, Verdict};
use super::slots::{ProviderLimits, ProviderSlots};
use super::stopped::{sort, unasked};
use super::take_up::take_up;
use crate::clock::Moment;
use crate::config;
use crate::coordination::SharedCoordination;
use crate::domain::{Channel, Outcome, Priority, Timestamp};
use crate::outcomes::{Answer, AnswerKind};
use crate::providers::SharedProvider;
use crate::telemetry::InMailbox;

/// One channel of one class.
#[derive(Debug, Default)]
pub struct ChannelActor;

/// What a channel actor is started with.
#[derive(Clone)]
pub struct ChannelArguments {
    pub channel: Channel,
    pub class: Class,
    pub providers: Vec<(SharedProvider, ProviderLimits)>,
    pub settings: config::Dispatch,
    pub coordination: SharedCoordination,
    pub context: SenderContext,
    /// Not the first of its kind in this process: there may be tasks in hand that the one before lost.
    pub reborn: bool,
}

pub enum ChannelMessage {
    /// Tasks that may be sent now; each is tracked and counted in the backlog.
    Ready(Vec<Ready>, InMailbox),
    /// Jobs of a sender that ended.
    Finished(Vec<Finished>, InMailbox),
    /// Handles of a lane whose contents were read.
    Loaded(Priority, Vec<Ready>),
    /// The same of tasks that wait for their endpoint; how many of each lane were taken out to be read.
    LoadedParked(u32, [usize; 4], Vec<Ready>),
    /// A breaker, a pause or a rate may let something through now.
    Wake(Moment),
    /// Hand out nothing more; answer when nothing is in flight.
    Drain(RpcReplyPort<()>),
}

pub struct ChannelState {
    arguments: ChannelArguments,
    lanes: Lanes,
    /// Tasks that a provider refused and that wait for room with another one, each with the answer that stands if there is none
    /// in the end. At most as many as there are slots.
    refused: VecDeque<(Ready, Answer)>,
    /// Tasks whose providers have no room while others have.
    aside: Aside,
    /// Whether a task was met that only some of the providers take.
    has_partial_takers: bool,
    sharing: Sharing,
    rule: BreakerRule,
    providers: Vec<ProviderSlots>,
    endpoints: Endpoints,
    senders: Vec<ActorRef<SenderMessage>>,
    next_sender: usize,
    in_flight: [usize; 4],
    /// Endpoints whose next tasks are being read from the store.
    loading_parked: HashSet<u32>,
    /// The earliest wake-up that is under way.
    wake_at: Option<Moment>,
    draining: Option<Vec<RpcReplyPort<()>>>,
    /// When what a former incarnation lost was taken up.
    taken_up: Option<Timestamp>,
    metrics: ChannelMetrics,
    promises: PromiseMetrics,
}

/// Tasks that brakes or a second look stop which are settled together.
const STOPPED_MAX: usize = 512;

/// Tasks that are passed over because the providers with room are paused for their tenant. Each is judged anew whenever something
/// is handed out, in less than a microsecond: this is a page of those that are loaded together, and a quarter of a millisecond.
const PASSED_MAX: usize = 512;

/// One for each thread of the runtime, up to this many: each carries out many jobs at a time, and no two of its jobs at the same
/// instant.
const SENDERS_MAX: usize = 16;

impl Actor for ChannelActor {
    type Msg = ChannelMessage;
    type State = ChannelState;
    type Arguments = ChannelArguments;

    async fn pre_start(
        &self,
        myself: ActorRef<ChannelMessage>,
        arguments: ChannelArguments,
    ) -> Result<ChannelState, ActorProcessingErr> {
        let settings = &arguments.settings;
        let rule = BreakerRule::of(settings.breaker_failures, settings.breaker_pause);
        let providers: Vec<ProviderSlots> = arguments
            .providers
            .iter()
            .map(|(provider, limits)| {
                let shared = arguments.context.dispatch.shared(provider.name());
                ProviderSlots::new(provider.clone(), *limits, arguments.class, settings.critical_share, shared)
            })
            .collect();
        let slots: usize = providers.iter().map(ProviderSlots::slots).sum();
        let mut senders = Vec::new();
        let threads = Handle::current().metrics().num_workers();
        for _ in 0..threads.min(SENDERS_MAX).min(slots) {
            let context = (arguments.context.clone(), myself.clone(), slots);
            let (sender, _) = Actor::spawn_linked(None, SenderActor, context, myself.get_cell()).await?;
            senders.push(sender);
        }
        let metrics =
            ChannelMetrics::new(arguments.channel, arguments.class, &providers, arguments.context.dispatch.circuits());
        arguments.context.dispatch.install(arguments.channel, arguments.class, myself.clone());
        Ok(ChannelState {
            lanes: Lanes::default(),
            refused: VecDeque::new(),
            aside: Aside::default(),
            has_partial_takers: false,
            sharing: Sharing { weights: settings.weights, ageing: settings.ageing },
            rule,
            endpoints: Endpoints::new(endpoint_in_flight(arguments.channel, settings, slots), rule),
            providers,
            senders,
            next_sender: 0,
            in_flight: [0; 4],
            loading_parked: HashSet::new(),
            wake_at: None,
            draining: None,
            metrics,
            promises: PromiseMetrics::default(),
            taken_up: None,
            arguments,
        })
    }

    async fn post_start(
        &self,
        myself: ActorRef<ChannelMessage>,
        state: &mut ChannelState,
    ) -> Result<(), ActorProcessingErr> {
        if state.arguments.reborn {
            let arguments = &state.arguments;
            let lost = take_up(&arguments.context, arguments.channel, arguments.class).await?;
            lost.into_iter().for_each(|ready| state.lanes.push(ready));
            state.taken_up = Some(arguments.context.clock.now());
            state.hand_out(&myself).await;
        }
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<ChannelMessage>,
        message: ChannelMessage,
        state: &mut ChannelState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ChannelMessage::Ready(ready, _) => state.push(ready),
            ChannelMessage::Finished(finished, _) => state.finish(finished, &myself).await,
            ChannelMessage::Loaded(lane, loaded) => state.lanes.end_loading(lane, loaded),
            ChannelMessage::LoadedParked(endpoint, taken, loaded) => {
                state.loading_parked.remove(&endpoint);
                state.lanes.park_again(endpoint, taken, loaded);
                state.unpark(endpoint, &myself);
            }
            ChannelMessage::Wake(at) => state.wake(at, &myself),
            ChannelMessage::Drain(reply) => state.draining.get_or_insert_default().push(reply),
        }
        state.hand_out(&myself).await;
        state.answer_drain();
        state.metrics.observe(&state.lanes, &state.aside, &state.in_flight, &state.providers);
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<ChannelMessage>,
        event: SupervisionEvent,
        _: &mut ChannelState,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorFailed(_, reason) => Err(format!("a sender failed: {reason}").into()),
            SupervisionEvent::ActorTerminated(..) => Err("a sender ended".into()),
            _ => Ok(()),
        }
    }
}

/// What may be under way to one endpoint. Browsers have a handful of push services, so that one of them may take half of the slots.
fn endpoint_in_flight(channel: Channel, settings: &config::Dispatch, slots: usize) -> usize {
    match channel {
        Channel::Push => settings.endpoint_in_flight.max(slots / 2),
        _ => settings.endpoint_in_flight,
    }
}

impl ChannelState {
    fn push(&mut self, ready: Vec<Ready>) {
        for mut ready in ready {
            // It may have been taken up as well: then one of the two handles is old when its turn comes, and only the row tells.
            if self.taken_up.is_some_and(|taken_up| ready.since <= taken_up) {
                ready.payload = None;
            }
            self.lanes.push(ready);
        }
    }

    /// Gives jobs to senders while there are tasks, slots and tokens.
    async fn hand_out(&mut self, myself: &ActorRef<ChannelMessage>) {
        if self.draining.is_some() || self.senders.is_empty() {
            return;
        }
        let (now, moment) = (self.arguments.context.clock.now(), self.arguments.context.clock.moment());
        let mut jobs: Vec<Vec<Job>> = (0..self.senders.len()).map(|_| Vec::new()).collect();
        let brakes = self.arguments.context.brakes.set();
        if !self.refused.is_empty() {
            self.hand_out_refused((moment, now), &brakes, &mut jobs).await;
        }
        self.bring_back((moment, now));
        let (mut stopped, mut passed, mut set_aside) = (Vec::new(), Vec::new(), 0);
        while passed.len() < PASSED_MAX
            && set_aside < PASSED_MAX
            && self.lanes.has_queued()
            && self.may_find_room(moment)
        {
            let Some(ready) = self.lanes.pop(now, &self.sharing) else { break };
            if !self.endpoints.allows(ready.endpoint, moment) {
                self.lanes.park(ready);
                continue;
            }
            if ready.is_to_be_read(now) {
                self.load(ready, now, myself);
                continue;
            }
            let since = ready.since;
            let ready = match sort(&self.arguments.context, &brakes, ready) {
                Ok(ready) => ready,
                Err(answer) => {
                    answer.iter().for_each(|answer| self.promises.observe(answer, since, &self.arguments.context));
                    stopped.extend(answer);
                    if stopped.len() >= STOPPED_MAX {
                        self.arguments.context.settler.submit(std::mem::take(&mut stopped)).await;
                    }
                    continue;
                }
            };
            match self.provider((moment, now), &brakes, &ready).await {
                Chosen::Provider(index) => self.assign(ready, index, moment, &mut jobs),
                Chosen::NoToken => self.lanes.push_front(ready),
                // Others, whose providers are not paused, are behind it.
                Chosen::NotNow => passed.push(ready),
                Chosen::Aside(takers) => {
                    set_aside += 1;
                    self.aside.push(takers, ready);
                }
                Chosen::Nobody => stopped.extend(self.untaken(&ready)),
            }
        }
        if set_aside >= PASSED_MAX {
            // There may be others behind it; what is in the mailbox comes first.
            let _ = myself.cast(ChannelMessage::Wake(moment));
        }
        for ready in passed.into_iter().rev() {
            self.lanes.push_front(ready);
        }
        for (sender, jobs) in self.senders.iter().zip(jobs) {
            if !jobs.is_empty() {
                // A closed mailbox means that the sender failed, and this actor with it in a moment.
                let _ = sender.cast(SenderMessage::Work(jobs, self.metrics.senders.enter()));
            }
        }
        if !stopped.is_empty() {
            self.arguments.context.settler.submit(stopped).await;
        }
        self.arrange_wake(myself, moment);
    }

    /// Has the contents of a lane's next tasks read; the lane waits until they are here.
    fn load(&mut self, first: Ready, now: Timestamp, myself: &ActorRef<ChannelMessage>) {
        let lane = first.priority();
        self.lanes.push_front(first);
        let handles = self.lanes.begin_loading(lane, LOAD_MAX, now);
        let (context, myself) = (self.arguments.context.clone(), myself.clone());
        tokio::spawn(async move {
            let loaded = load(&context, handles).await;
            // A closed mailbox means a restart: the tasks are tracked, and the new actor takes them up.
            let _ = myself.cast(ChannelMessage::Loaded(lane, loaded));
        });
    }

    /// The answer that ends a task which nobody takes, if nobody else has it: the configuration changed since it was planned.
    fn untaken(&self, ready: &Ready) -> Option<Answer> {
        let plan = ready.payload.as_ref()?.plan.clone();
        let reason = "no provider of the channel takes this address any more".into();
        let kind = AnswerKind::Outcome(Outcome::BadRequest { reason });
        let answer = unasked(&self.arguments.context, ready, plan, kind)?;
        self.promises.observe(&answer, ready.since, &self.arguments.context);
        Some(answer)
    }

    /// A job for the next sender.
    fn assign(&mut self, ready: Ready, index: usize, began: Moment, jobs: &mut [Vec<Job>]) {
        let provider = &mut self.providers[index];
        let of_provider = provider.begin(ready.endpoint);
        let probe = Probe { of_provider, of_endpoint: self.endpoints.begin(ready.endpoint) };
        self.in_flight[ready.priority().index()] += 1;
        let job = Job {
            ready,
            provider_index: index,
            provider: provider.provider.clone(),
            provider_name: provider.name.clone(),
            timeout: provider.limits.timeout,
            probe,
            began,
        };
        jobs[self.next_sender].push(job);
        self.next_sender = (self.next_sender + 1) % self.senders.len();
    }

    async fn finish(&mut self, finished: Vec<Finished>, myself: &ActorRef<ChannelMessage>) {
        let now = self.arguments.context.clock.moment();
        let mut given_up = Vec::new();
        for done in finished {
            self.in_flight[done.priority.index()] -= 1;
            let own_endpoint = done.endpoint != 0;
            let well = match done.verdict {
                // An endpoint has messages of its own only: that it cannot now is between it and their schedule.
                Verdict::Answered | Verdict::Failing => Some(true),
                // Of an endpoint it is the endpoint that refuses us: a browser's push service our key, a chat its own hook.
                Verdict::Silent | Verdict::Misconfigured => Some(false),
                Verdict::Throttled(_) | Verdict::NotSent => None,
            };
            let well = (well, done.probe.of_endpoint);
            self.endpoints.end(done.endpoint, well, now, |endpoint| self.lanes.has_parked(endpoint));
            self.providers[done.provider_index].end(&done, &self.rule, now);
            if own_endpoint {
                self.unpark(done.endpoint, myself);
            }
            match done.leftover {
                Some(Leftover::Refused(ready, answer)) => {
                    self.fail_over(ready, answer, done.provider_index, now, &mut given_up);
                }
                Some(Leftover::Unasked(ready)) => {
                    self.arguments.context.ownership.put_back(ready.task);
                    self.lanes.push_front(ready);
                }
                None => {}
            }
        }
        if !given_up.is_empty() {
            self.arguments.context.settler.submit(given_up).await;
        }
    }

    fn answer_drain(&mut self) {
        if self.in_flight.iter().all(|count| *count == 0)
            && let Some(replies) = &mut self.draining
        {
            for reply in replies.drain(..) {
                let _ = reply.send(());
            }
        }
    }
}
