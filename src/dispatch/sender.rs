//! The sender actor: carries out jobs, many at a time, and reports what came of them.
//!
//! Started and watched by its channel actor. The jobs run in one driver task that the actor owns; the driver's end is the
//! actor's failure, and the channel's with it. A job's panic is caught where it happens and is an answer in doubt.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, pending};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use ractor::{Actor, ActorProcessingErr, ActorRef, MessagingErr};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::channel::ChannelMessage;
use super::metrics::SendMetrics;
use super::promises::PromiseMetrics;
use super::ready::{DispatchHandle, Payload, Ready};
use super::stopped::stops;
use super::tracking::Tracking;
use crate::brakes::Brakes;
use crate::clock::{Moment, SharedClock};
use crate::config::Promises;
use crate::domain::{Address, BrakeVerdict, Channel, Message, Outcome, Plan, Priority, Timestamp, Whose};
use crate::links::{Links, Unsubscribe, Whom};
use crate::outcomes::{Answer, AnswerKind, Deliveries, SettlerHandle};
use crate::ownership::{Begin, Ownership, WRITE_WAIT_MAX};
use crate::planning::{People, Policy};
use crate::providers::{Attachments, Fetched, SharedProvider};
use crate::rendering::Renderer;
use crate::store::SharedStore;
use crate::telemetry::{InMailbox, Mailboxes};

/// What senders work with.
#[derive(Clone)]
pub struct SenderContext {
    pub clock: SharedClock,
    pub store: SharedStore,
    pub ownership: Arc<Ownership>,
    pub renderer: Arc<Renderer>,
    pub attachments: Arc<Attachments>,
    pub settler: SettlerHandle,
    pub dispatch: Arc<DispatchHandle>,
    pub brakes: Arc<Brakes>,
    /// Within how long a message is to be with its provider.
    pub promises: Promises,
    /// How many attempts may follow the first.
    pub retries: usize,
    /// By which what waited is looked at again.
    pub policy: Arc<Policy>,
    pub people: Arc<People>,
    /// How many actors and items a merged message is told.
    pub shown_items: usize,
    /// Whom others are told through, if there are any.
    pub deliveries: Option<Arc<Deliveries>>,
    /// Who makes the links in messages; `None`: there are none.
    pub links: Option<Arc<Links>>,
    /// Which mails say when they are opened, and which of their links were followed.
    pub tracking: Arc<Tracking>,
}

/// One task with the provider it goes to. It holds one of the provider's slots.
pub(super) struct Job {
    pub(super) ready: Ready,
    pub(super) provider_index: usize,
    pub(super) provider: SharedProvider,
    pub(super) provider_name: Arc<str>,
    pub(super) timeout: Duration,
    pub(super) probe: Probe,
    /// When the provider was asked; until then, when it was handed out.
    pub(super) began: Moment,
}

/// Whether a job probes an open breaker: of its provider, and of its endpoint.
#[derive(Debug, Clone, Copy)]
pub(super) struct Probe {
    pub(super) of_provider: bool,
    pub(super) of_endpoint: bool,
}

/// A job that ended, as its channel needs to know it.
pub struct Finished {
    pub(super) provider_index: usize,
    pub(super) endpoint: u32,
    pub(super) priority: Priority,
    /// Since when the task had been ready.
    pub(super) ready_since: Timestamp,
    pub(super) verdict: Verdict,
    pub(super) probe: Probe,
    pub(super) began: Moment,
    /// What is worth another provider.
    pub(super) leftover: Option<Leftover>,
}

/// A task that was certainly not sent and goes back to its channel, content and all.
pub(super) enum Leftover {
    /// With the answer that stands if there is no other provider.
    Refused(Ready, Answer),
    /// The provider was paused for it after it was chosen, and was not asked.
    Unasked(Ready),
}

/// What a job says of its provider.
#[derive(Debug, Clone, Copy)]
pub(super) enum Verdict {
    /// It is there, and took or refused the message.
    Answered,
    /// It is there, and says that it cannot now.
    Failing,
    /// It could not be reached, or did not answer in time.
    Silent,
    /// It does not accept our credentials or settings.
    Misconfigured,
    /// Its rate is exceeded: it asks for a pause, and may say how long.
    Throttled(Option<Duration>),
    /// It was not asked.
    NotSent,
}

pub(super) enum SenderMessage {
    Work(Vec<Job>, InMailbox),
    DriverEnded,
}

#[derive(Debug)]
pub(super) struct SenderActor;

pub(super) struct SenderState {
    jobs: mpsc::Sender<Vec<Job>>,
    driver: AbortHandle,
}

impl Actor for SenderActor {
    type Msg = SenderMessage;
    type State = SenderState;
    /// The slots bound the jobs that can be under way.
    type Arguments = (SenderContext, ActorRef<ChannelMessage>, usize);

    async fn pre_start(
        &self,
        myself: ActorRef<SenderMessage>,
        (context, channel, slots): Self::Arguments,
    ) -> Result<SenderState, ActorProcessingErr> {
        let (jobs, receiver) = mpsc::channel(slots);
        let driver = Driver {
            context: Arc::new(context),
            channel,
            mailboxes: Mailboxes::of("channel"),
            metrics: SendMetrics::default(),
            promises: PromiseMetrics::default(),
            answers: Vec::new(),
            finished: Vec::new(),
        };
        // The runtime's budget of operations for one task would be spent by the first of many sends; the driver gives way by itself.
        let running = tokio::spawn(tokio::task::coop::unconstrained(driver.run(receiver)));
        let handle = running.abort_handle();
        tokio::spawn(async move {
            let _ = running.await;
            let _ = myself.cast(SenderMessage::DriverEnded);
        });
        Ok(SenderState { jobs, driver: handle })
    }

    async fn handle(
        &self,
        _: ActorRef<SenderMessage>,
        message: SenderMessage,
        state: &mut SenderState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            SenderMessage::Work(jobs, waiting) => {
                state.jobs.send(jobs).await.map_err(|_| "the driver ended")?;
                drop(waiting);
                Ok(())
            }
            SenderMessage::DriverEnded => Err("the driver ended".into()),
        }
    }

    async fn post_stop(&self, _: ActorRef<SenderMessage>, state: &mut SenderState) -> Result<(), ActorProcessingErr> {
        state.driver.abort();
        Ok(())
    }
}

impl Drop for SenderState {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// What a flight comes to; boxed, since most of the flights' memory would be that of the rare large answers.
type Landed = Box<Landing>;

struct Landing {
    finished: Finished,
    answer: Option<Answer>,
    /// When the provider was asked, if it was.
    asked: Option<Timestamp>,
}

impl Landing {
    /// When the provider was asked, and what it answered; none if it was not asked.
    fn asked(&self) -> Option<(Timestamp, &Answer)> {
        let refused = match &self.finished.leftover {
            Some(Leftover::Refused(_, answer)) => Some(answer),
            _ => None,
        };
        Some((self.asked?, self.answer.as_ref().or(refused)?))
    }
}

struct Driver {
    context: Arc<SenderContext>,
    channel: ActorRef<ChannelMessage>,
    mailboxes: Mailboxes,
    metrics: SendMetrics,
    promises: PromiseMetrics,
    /// Of flights that landed while the answers before them could not be handed over.
    answers: Vec<Answer>,
    finished: Vec<Finished>,
}

/// Waits until answers are handed over, and then knows which jobs ended with them.
type Submitting = BoxFuture<'static, Vec<Finished>>;

impl Driver {
    /// The slots of jobs are given back when their answers are handed over. Until then the other flights go on.
    async fn run(mut self, mut jobs: mpsc::Receiver<Vec<Job>>) {
        let mut flights = FuturesUnordered::new();
        let mut arrived: Vec<Vec<Job>> = Vec::new();
        let mut submitting: Option<Submitting> = None;
        loop {
            tokio::select! {
                count = jobs.recv_many(&mut arrived, 256) => {
                    if count == 0 {
                        return;
                    }
                }
                Some(first) = flights.next(), if !flights.is_empty() => {
                    self.land(first);
                    while let Some(Some(next)) = flights.next().now_or_never() {
                        self.land(next);
                    }
                }
                finished = until_submitted(&mut submitting), if submitting.is_some() => {
                    submitting = None;
                    if self.report(finished).is_err() {
                        return;
                    }
                }
            }
            for job in arrived.drain(..).flatten() {
                flights.push(carry_out(self.context.clone(), job));
            }
            if submitting.is_none() && !self.finished.is_empty() {
                let finished = std::mem::take(&mut self.finished);
                if let Err(answers) = self.submit() {
                    let settler = self.context.settler.clone();
                    let submit = async move {
                        settler.submit(answers).await;
                        finished
                    };
                    submitting = Some(submit.boxed());
                } else if self.report(finished).is_err() {
                    return;
                }
            }
            tokio::task::yield_now().await;
        }
    }

    fn land(&mut self, landing: Landed) {
        let landing: Landing = *landing;
        if let Some((asked, answer)) = landing.asked() {
            self.metrics.observe(answer, asked);
            self.context.dispatch.receipts().answered(answer);
        }
        // What was refused may still go to another provider.
        if let Some(answer) = &landing.answer {
            self.promises.observe(answer, landing.finished.ready_since, &self.context);
        }
        self.finished.push(landing.finished);
        self.answers.extend(landing.answer);
    }

    fn submit(&mut self) -> Result<(), Vec<Answer>> {
        match std::mem::take(&mut self.answers) {
            answers if answers.is_empty() => Ok(()),
            answers => self.context.settler.try_submit(answers),
        }
    }

    /// An error: the channel is gone.
    fn report(&self, finished: Vec<Finished>) -> Result<(), MessagingErr<ChannelMessage>> {
        self.channel.cast(ChannelMessage::Finished(finished, self.mailboxes.enter()))
    }
}

async fn until_submitted(submitting: &mut Option<Submitting>) -> Vec<Finished> {
    match submitting {
        Some(submitting) => submitting.await,
        None => pending().await,
    }
}

/// One job from the last check to the answer.
async fn carry_out(context: Arc<SenderContext>, mut job: Job) -> Landed {
    let task = job.ready.task;
    // Before anything is decided: it may take long. Held until the provider has them, since they have a bounded share of memory.
    let fetched = files(&context, &job.ready).await;
    // Who is not sure to have its shards until the answer is written waits until it is.
    let room = job.timeout + WRITE_WAIT_MAX;
    context.ownership.standing().until_holds(&*context.clock, room).await;
    let payload = match job.ready.payload.take() {
        Some(payload) if context.ownership.begin(task) == Begin::Yes => payload,
        // The task moved on while its handle waited; whoever moved it on, or cancels it, has it.
        _ => return landed(not_sent(&job), None),
    };
    let plan = payload.plan.clone();
    let now = context.clock.now();
    let answer = |kind: AnswerKind| Answer {
        task,
        attempt: job.ready.attempt,
        plan: plan.clone(),
        was_scheduled: job.ready.scheduled,
        provider: job.provider_name.clone(),
        asked_at: now,
        at: context.clock.now(),
        kind,
    };
    if plan.expires_at.is_some_and(|expires_at| expires_at <= now) {
        return landed(not_sent(&job), Some(answer(AnswerKind::Expired)));
    }
    // The last look: it may have been put on since the job was handed out.
    let brakes = context.brakes.set();
    match stops(&brakes, &plan, job.ready.channel, Some(&job.provider_name), now) {
        // Held, it would wait for a brake to change though another provider may have it now.
        Some(AnswerKind::Held { .. }) if brakes.judge(&plan, job.ready.channel, None) == BrakeVerdict::Go => {
            return landed(unasked(job, payload), None);
        }
        Some(kind) => return landed(not_sent(&job), Some(answer(kind))),
        None => {}
    }
    let mut fetched = match fetched {
        Ok(fetched) => fetched,
        // That is nothing the provider, or another one, can help.
        Err(outcome) => return landed(not_sent(&job), Some(answer(AnswerKind::Outcome(outcome)))),
    };
    // A content that makes rendering panic costs its own notification: were it let through, each restart would meet it again.
    let rendered = catch_unwind(AssertUnwindSafe(|| {
        crate::rendering::message(&plan, usize::from(task.ordinal), job.ready.attempt, &context.renderer)
    }));
    let mut message = match rendered.map(|rendered| rendered.map_err(|error| error.to_string())) {
        Ok(Ok(mut message)) => {
            message.unsubscribe = unsubscribe_link(&context, &plan, usize::from(task.ordinal));
            track(&context, &mut message, &plan);
            message
        }
        failed => {
            let error = failed.ok().and_then(Result::err).unwrap_or_else(|| "rendering failed on it".into());
            let outcome = Outcome::BadRequest { reason: format!("cannot render: {error}").into() };
            return landed(not_sent(&job), Some(answer(AnswerKind::Outcome(outcome))));
        }
    };
    message.attachments = std::mem::take(&mut fetched.files);
    // The time before is ours, and not the provider's.
    job.began = context.clock.moment();
    let sending = AssertUnwindSafe(job.provider.send(&message)).catch_unwind();
    let outcome = match tokio::time::timeout(job.timeout, sending).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_)) => Outcome::Unknown { reason: "the provider's adapter failed".into() },
        Err(_) => Outcome::Unknown { reason: format!("no answer within {:?}", job.timeout).into() },
    };
    let answer = answer(AnswerKind::Outcome(outcome));
    let mut landed = land(job, payload, answer);
    landed.asked = Some(now);
    landed
}

/// The files that go with a message; only mails have any.
async fn files(context: &SenderContext, ready: &Ready) -> Result<Fetched, Outcome> {
    match &ready.payload {
        Some(payload) if ready.channel == Channel::Email => {
            context.attachments.fetch(&payload.plan.delivery.attachments).await
        }
        _ => Ok(Fetched::default()),
    }
}

/// Puts in what counts opens and clicks, after the text was made that has none of it. A mail without it is as good.
fn track(context: &SenderContext, message: &mut Message, plan: &Plan) {
    let links = context.links.as_deref();
    let category = context.policy.categories.of(plan.category.as_deref());
    let now = context.clock.now();
    let tracking = AssertUnwindSafe(|| context.tracking.put_in(message, plan, category, links, now));
    if catch_unwind(tracking).is_err() {
        tracing::error!(task = %plan.id(), "a mail could not be tracked");
    }
}

/// The link that takes a mail's reader off its list; `None`: nobody can switch such messages off.
fn unsubscribe_link(context: &SenderContext, plan: &Plan, ordinal: usize) -> Option<Box<str>> {
    let links = context.links.as_ref()?;
    let category = context.policy.categories.of(plan.category.as_deref());
    let Address::Email(address) = &plan.tasks().get(ordinal)?.address else { return None };
    if !category.opt_out {
        return None;
    }
    let whom = plan.user_id.clone().map_or_else(|| Whom::Email(address.clone()), Whom::User);
    let (tenant, category) = (plan.tenant.clone(), category.name.clone());
    let said = Unsubscribe { tenant, whom, category, channel: Channel::Email, task: plan.task_id(ordinal) };
    links.unsubscribe(&said).map(Into::into)
}

/// Sorts an answer: what another provider may still do goes back to the channel, the rest is settled.
fn land(mut job: Job, payload: Box<Payload>, answer: Answer) -> Landed {
    let AnswerKind::Outcome(outcome) = &answer.kind else { return landed(not_sent(&job), Some(answer)) };
    let (verdict, refused) = match outcome {
        Outcome::Accepted { .. } | Outcome::DeadRecipient { .. } | Outcome::BadRequest { .. } => {
            (Verdict::Answered, false)
        }
        Outcome::Unknown { .. } => (Verdict::Silent, false),
        Outcome::Transient { unreachable: true, .. } => (Verdict::Silent, true),
        Outcome::Transient { .. } => (Verdict::Failing, true),
        Outcome::Config { .. } => (Verdict::Misconfigured, true),
        // The limit of one recipient says nothing of the provider, and another one may have another limit.
        Outcome::Throttled { whose: Whose::Recipient, .. } => (Verdict::Answered, true),
        Outcome::Throttled { retry_after, .. } => (Verdict::Throttled(*retry_after), true),
    };
    let mut finished = finished(&job, verdict);
    if !refused {
        return landed(finished, Some(answer));
    }
    job.ready.payload = Some(payload);
    finished.leftover = Some(Leftover::Refused(job.ready, answer));
    landed(finished, None)
}

fn landed(finished: Finished, answer: Option<Answer>) -> Landed {
    Box::new(Landing { finished, answer, asked: None })
}

fn not_sent(job: &Job) -> Finished {
    finished(job, Verdict::NotSent)
}

fn unasked(mut job: Job, payload: Box<Payload>) -> Finished {
    let mut finished = not_sent(&job);
    job.ready.payload = Some(payload);
    finished.leftover = Some(Leftover::Unasked(job.ready));
    finished
}

fn finished(job: &Job, verdict: Verdict) -> Finished {
    Finished {
        provider_index: job.provider_index,
        endpoint: job.ready.endpoint,
        priority: job.ready.priority(),
        ready_since: job.ready.since,
        verdict,
        probe: job.probe,
        began: job.began,
        leftover: None,
    }
}
