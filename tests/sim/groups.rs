//! Judges what was merged: who is in which message, and whether everybody is in exactly one.

use std::collections::{BTreeMap, BTreeSet};

use fanfare::domain::{Disposition, Position, SkipReason, Story, TaskId, TaskState};

use super::oracle::{Oracle, Verdict};
use super::world::Sent;

/// The messages that were sent, by their tasks.
pub type Sends = BTreeMap<TaskId, Vec<Sent>>;

impl Oracle {
    /// Of one that was merged; an error: it was lost, and how.
    pub fn judge_merged(&self, story: &Story, into: Position, sends: &Sends) -> Result<(), String> {
        let position = story.plan.position;
        // Who asks for an end gets one, or is told that it came too late.
        if self.cancels_asked.contains(&position) {
            return Ok(());
        }
        if story.has_left() {
            return Err(format!("it left {into:?}, and nobody asked for that"));
        }
        let Some(leader) = self.story(into) else { return Err(format!("its leader {into:?} was never planned")) };
        let mut messages = of_leader(into, sends).peekable();
        if messages.peek().is_some() {
            return match messages.find(|one| !self.tells(one, position)) {
                Some(one) => Err(format!("it was merged into {into:?}, whose message tells of {:?}", one.told)),
                None => Ok(()),
            };
        }
        if !leader.plan.is_leader() {
            return Err(format!("it was merged into {into:?}, which is {:?}", leader.plan.disposition));
        }
        match leader.states().into_iter().find(|state| !self.is_end_of_all(&leader, *state)) {
            Some(state) => Err(format!("it was merged into {into:?}, which is {} and was not sent", state.name())),
            None => Ok(()),
        }
    }

    /// Of a leader that nobody asked off: an error if a message of it does not tell of itself.
    pub fn judge_own_message(&self, leader: Position, sends: &Sends) -> Result<(), String> {
        match of_leader(leader, sends).find(|one| !self.tells(one, leader)) {
            Some(one) => Err(format!("its own message tells of {:?}", one.told)),
            None => Ok(()),
        }
    }

    /// Whether a leader's end is one for all who are in its message.
    fn is_end_of_all(&self, leader: &Story, state: TaskState) -> bool {
        match state {
            TaskState::Failed { .. } | TaskState::Unknown { .. } => true,
            TaskState::Expired => self.may_expire(leader),
            _ => false,
        }
    }

    fn tells(&self, sent: &Sent, position: Position) -> bool {
        let told = sent.told.as_ref().map_or(&[][..], |told| &told.numbers);
        told.iter().any(|number| self.records.get(*number) == Some(&position))
    }

    /// Everybody is told of by one message, which says the same whenever and wherever it is sent.
    pub fn judge_messages(&self, sends: &Sends, verdict: &mut Verdict) {
        let mut told_by: BTreeMap<usize, BTreeSet<Position>> = BTreeMap::new();
        let mut first: BTreeMap<Position, &Sent> = BTreeMap::new();
        for one in sends.values().flatten() {
            let Some(told) = &one.told else { continue };
            let leader = one.task.position;
            let numbers: BTreeSet<usize> = told.numbers.iter().copied().collect();
            if numbers.len() != told.count || numbers.len() != told.numbers.len() {
                verdict.broken.push(format!("{leader:?} does not count right: {told:?}"));
            }
            let before = first.entry(leader).or_insert(one);
            if before.told != one.told {
                verdict.unexplained.push(format!("{leader:?} told {:?}, and then {told:?}", before.told));
            }
            for number in numbers {
                told_by.entry(number).or_default().insert(leader);
            }
        }
        for (number, leaders) in told_by {
            let Some(position) = self.records.get(number) else { continue };
            if leaders.len() > 1 {
                verdict.unexplained.push(format!("{position:?} ({number}) was told of by {leaders:?}"));
            }
            let place = self.story(*position).map(|story| story.plan.disposition);
            let is_there = |leader: &Position| match &place {
                Some(Disposition::Merged { into }) => into == leader,
                Some(Disposition::Tasks(_)) => position == leader,
                // What went out, or was about to, before another plan took the place of its own.
                Some(Disposition::Skipped(SkipReason::Duplicate { .. })) => true,
                Some(Disposition::Skipped(_)) => self.cancels_asked.contains(position),
                None => false,
            };
            for leader in leaders.iter().filter(|leader| !is_there(leader)) {
                verdict
                    .unexplained
                    .push(format!("{position:?} ({number}) was told of by {leader:?}, and is {place:?}"));
            }
        }
    }

    /// What was answered to be taken out of a message is in none that was sent after that.
    pub fn judge_taken_out(&self, sends: &Sends, verdict: &mut Verdict) {
        for cancelled in self.world.cancelled.lock().expect("one thread").iter().filter(|one| one.too_late == 0) {
            let tells = |one: &&Sent| one.at > cancelled.at && !one.delayed && self.tells(one, cancelled.id.0);
            if let Some(one) = sends.values().flatten().find(tells) {
                verdict.broken.push(format!("{cancelled:?}, and then {one:?}"));
            }
        }
    }
}

fn of_leader(leader: Position, sends: &Sends) -> impl Iterator<Item = &Sent> {
    let of = |ordinal| TaskId { position: leader, ordinal };
    sends.range(of(0)..=of(u8::MAX)).flat_map(|(_, sends)| sends)
}
