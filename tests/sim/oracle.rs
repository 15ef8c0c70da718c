//! Judges a world: what was lost, what was sent twice and why, and whether what is stored is true.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fanfare::domain::{BLOCK_OFFSETS, Disposition, EventKind, Position, Routing, SkipReason, Story, TaskId, TaskState};
use fanfare::store::{Cursors, TimerKey, timer_bucket};

use super::cells::{NEVER, Quorum};
use super::groups::Sends;
use super::variant::Variant;
use super::world::{Sent, World};

/// What came of a world.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Records that were not sent and should have been.
    pub lost: Vec<String>,
    /// Sent again without a reason.
    pub unexplained: Vec<String>,
    /// Anything else that should not be.
    pub broken: Vec<String>,
    pub records: usize,
    pub sends: usize,
    /// Sent again because an answer was in doubt, or because the node that sent it stood still, was killed or could not write.
    pub explained: usize,
    /// Nodes that stopped by themselves.
    pub gave_up: usize,
    /// Virtual seconds that the world lasted.
    pub seconds: f64,
}

impl Verdict {
    pub fn is_well(&self) -> bool {
        self.lost.is_empty() && self.unexplained.is_empty() && self.broken.is_empty()
    }

    /// What a broken variant must show.
    pub fn is_caught(&self) -> bool {
        !self.lost.is_empty() || !self.unexplained.is_empty()
    }
}

/// Follows one world.
pub struct Oracle {
    pub(super) world: Arc<World>,
    /// All records, in the order in which they were appended.
    pub records: Vec<Position>,
    pub cancels_asked: BTreeSet<Position>,
    pub gave_up: usize,
    /// Those of the records that were seen to be done.
    done: BTreeSet<Position>,
}

const QUORUM: Quorum = [0, 1];

impl Oracle {
    pub fn new(world: Arc<World>) -> Self {
        Self { world, records: Vec::new(), cancels_asked: BTreeSet::new(), gave_up: 0, done: BTreeSet::new() }
    }

    pub(super) fn story(&self, position: Position) -> Option<Story> {
        self.world.tables().story(position, QUORUM, self.world.now())
    }

    /// Whether nothing is left to do.
    pub fn is_settled(&mut self) -> bool {
        for position in &self.records {
            if self.done.contains(position) {
                continue;
            }
            let is_done =
                self.story(*position).is_some_and(|story| !story.states().iter().any(|state| state.is_open()));
            if !is_done {
                return false;
            }
            self.done.insert(*position);
        }
        true
    }

    /// Whether the cursors are true: no open task is below them that no timer above them brings back.
    pub fn look(&self) {
        let now = self.world.now();
        let committed: BTreeMap<_, u64> =
            self.world.topics.all().iter().map(|(shard, topic)| (*shard, topic.committed)).collect();
        for position in &self.records {
            let cursors =
                self.world.tables().cursors.get(&position.shard).and_then(|cell| cell.read(QUORUM, now)).copied();
            let cursors = cursors.unwrap_or_default();
            let Some(story) = self.story(*position) else {
                if position.offset < committed.get(&position.shard).copied().unwrap_or_default() {
                    self.world.broke(format!("{position:?} is committed and not planned"));
                }
                continue;
            };
            for (ordinal, state) in story.states().into_iter().enumerate() {
                self.look_at(story.plan.task_id(ordinal), state, cursors);
            }
        }
    }

    fn look_at(&self, task: TaskId, state: TaskState, cursors: Cursors) {
        let is_found_by = match state {
            TaskState::Pending { .. } if task.position.offset / BLOCK_OFFSETS >= cursors.task_block => true,
            TaskState::Pending { attempt } => {
                self.has_timer(task, TimerKey::TURN, cursors) || self.has_timer(task, attempt, cursors)
            }
            TaskState::Scheduled { attempt, .. } => {
                self.has_timer(task, attempt, cursors) || self.has_timer(task, TimerKey::HELD, cursors)
            }
            _ => true,
        };
        // No lease can keep out what was on its way already: there the owner at the time has the task in hand, and the audit finds
        // it after that one's end.
        let is_late = self.world.late.lock().expect("one thread").contains(&task);
        if !is_found_by && !is_late {
            self.world.broke(format!("{task:?} is {state:?}, and {cursors:?} passed it"));
        }
    }

    fn has_timer(&self, task: TaskId, attempt: u8, cursors: Cursors) -> bool {
        let (tables, now) = (self.world.tables(), self.world.now());
        let shard = task.position.shard;
        let rows = tables.timers.range((shard, TimerKey::default())..);
        rows.take_while(|((of, _), _)| *of == shard).any(|((_, key), cell)| {
            (key.offset, key.ordinal, key.attempt) == (task.position.offset, task.ordinal, attempt)
                && timer_bucket(key.due) >= cursors.timer_bucket
                && cell.read(QUORUM, now).is_some()
        })
    }

    /// To be asked once the world has ended.
    pub fn verdict(&self) -> Verdict {
        let sent = self.world.sent.lock().expect("one thread").clone();
        let mut by_task = Sends::new();
        for one in &sent {
            by_task.entry(one.task).or_default().push(one.clone());
        }
        let mut verdict = Verdict {
            records: self.records.len(),
            sends: sent.len(),
            gave_up: self.gave_up,
            seconds: self.world.now().as_secs_f64(),
            broken: self.world.broken.lock().expect("one thread").clone(),
            ..Verdict::default()
        };
        for position in &self.records {
            if let Err(why) = self.judge(*position, &by_task, 0) {
                verdict.lost.push(format!("{}@{}: {why}", position.shard, position.offset));
            }
        }
        for (task, sends) in &by_task {
            self.judge_sends(*task, sends, &mut verdict);
        }
        self.judge_cancellations(&sent, &mut verdict);
        self.judge_messages(&by_task, &mut verdict);
        self.judge_taken_out(&by_task, &mut verdict);
        verdict
    }

    /// An error: it was lost, and how.
    fn judge(&self, position: Position, by_task: &Sends, depth: usize) -> Result<(), String> {
        let Some(story) = self.story(position) else { return Err("it was never planned".into()) };
        let was_asked_off = self.cancels_asked.contains(&position);
        match &story.plan.disposition {
            // What went out before another plan took the place of its own is not lost.
            Disposition::Skipped(_) if by_task.contains_key(&story.plan.task_id(0)) => return Ok(()),
            Disposition::Skipped(SkipReason::Cancelled) if was_asked_off => return Ok(()),
            Disposition::Skipped(SkipReason::Duplicate { .. }) if depth > self.records.len() => {
                return Err("it is a duplicate of itself".into());
            }
            Disposition::Skipped(SkipReason::Duplicate { of }) => {
                let judged = self.judge(of.0, by_task, depth + 1);
                return judged.map_err(|why| format!("a duplicate of {}@{}: {why}", of.0.shard, of.0.offset));
            }
            Disposition::Skipped(SkipReason::Expired) if self.may_expire(&story) => return Ok(()),
            Disposition::Skipped(reason) => return Err(format!("it was skipped: {reason:?}")),
            Disposition::Merged { into } => return self.judge_merged(&story, *into, by_task),
            Disposition::Tasks(_) => {}
        }
        if story.plan.is_leader() && !was_asked_off {
            self.judge_own_message(position, by_task)?;
        }
        let taken = |ordinal: usize| by_task.contains_key(&story.plan.task_id(ordinal));
        let states = story.states();
        if story.plan.routing == Routing::Fallback && (0..states.len()).any(taken) {
            return Ok(());
        }
        for (ordinal, state) in states.into_iter().enumerate() {
            let ended = match state {
                _ if taken(ordinal) => true,
                TaskState::Cancelled => was_asked_off,
                TaskState::Expired => self.may_expire(&story),
                TaskState::Failed { .. } | TaskState::Unknown { .. } => true,
                _ => false,
            };
            if !ended {
                return Err(format!("its task {ordinal} is {} and was not sent", state.name()));
            }
        }
        Ok(())
    }

    /// Whether it was asked for until a time that has come.
    pub(super) fn may_expire(&self, story: &Story) -> bool {
        // Who is gone has a clock that stands still.
        let hosts = self.world.hosts.lock().expect("one thread");
        let now = hosts.iter().map(|host| host.now()).max();
        story.plan.expires_at.is_some_and(|expires_at| now.is_some_and(|now| expires_at <= now))
    }

    fn judge_sends(&self, task: TaskId, sends: &[Sent], verdict: &mut Verdict) {
        let recorded_at = self.world.tables().event_durable_at(task, EventKind::Sent);
        let hosts = self.world.hosts.lock().expect("one thread").clone();
        let now = self.world.now();
        for (index, one) in sends.iter().enumerate() {
            if !one.had_lease && !one.delayed && self.world.variant != Variant::NoLease {
                verdict.broken.push(format!("{task:?} was sent without its lease: {one:?}"));
            }
            if one.recognised || index == 0 {
                continue;
            }
            let tables = self.world.tables();
            let since = tables.held_since(task.position.shard, &hosts[one.host].name, one.at).unwrap_or_default();
            drop(tables);
            let could_know = recorded_at < since;
            let is_excused = |before: &Sent| {
                before.in_doubt || hosts[before.host].was_in_trouble(before.at, one.at.min(recorded_at))
            };
            if one.delayed || (!could_know && sends[..index].iter().all(is_excused)) {
                verdict.explained += 1;
            } else {
                let times = sends.iter().map(|one| (one.host, one.at.as_secs_f64())).collect::<Vec<_>>();
                verdict.unexplained.push(format!("{task:?} at {times:?}, recorded at {recorded_at:?}"));
            }
        }
        let is_taken = self.story(task.position).and_then(|story| story.state(usize::from(task.ordinal)));
        let is_excused = |one: &Sent| one.in_doubt || hosts[one.host].was_in_trouble(one.at, now);
        if !is_taken.is_some_and(TaskState::is_taken) && !sends.iter().all(is_excused) {
            verdict.broken.push(format!("{task:?} was sent, and is {is_taken:?}"));
        }
    }

    fn judge_cancellations(&self, sent: &[Sent], verdict: &mut Verdict) {
        for cancelled in self.world.cancelled.lock().expect("one thread").iter().filter(|one| one.too_late == 0) {
            // A leader's messages tell of others when it has left.
            let after = |one: &&Sent| {
                one.task.position == cancelled.id.0 && one.at > cancelled.at && !one.delayed && one.told.is_none()
            };
            if let Some(one) = sent.iter().find(after) {
                verdict.broken.push(format!("{cancelled:?}, and then {one:?}"));
            }
        }
        for one in sent.iter().filter(|one| !one.delayed) {
            let written = self.world.tables().event_durable_at(one.task, EventKind::Cancelled);
            let hosts = self.world.hosts.lock().expect("one thread").clone();
            let tables = self.world.tables();
            let since = tables.held_since(one.task.position.shard, &hosts[one.host].name, one.at).unwrap_or_default();
            if written != NEVER && written < since {
                verdict.broken.push(format!("{one:?}, though it was cancelled at {written:?}"));
            }
        }
    }
}
