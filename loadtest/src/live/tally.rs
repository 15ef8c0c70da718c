//! What was sent and what came of it on each connection. Pure: times are microseconds since the run began.

use std::collections::HashMap;
use std::ops::Range;

use crate::ids::ShortId;
use crate::random::Dice;

use super::people::People;

/// A connection may be lost a little later than the engine could not reach it any more, and an ack takes its time.
const NEARLY_US: u64 = 1_000_000;

/// What became of a message that was to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nobody knows whether it was accepted.
    Unanswered,
    Accepted {
        at_us: u64,
    },
    Refused,
}

/// One message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent {
    pub(super) user: u32,
    pub(super) intended_us: u64,
    pub(super) fate: Fate,
    pub(super) id: Option<ShortId>,
}

/// A message on one connection of its user, whatever it was reconnected.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Got {
    /// When it came first, and over which node.
    pub(super) first_us: Option<u64>,
    pub(super) node: u8,
    /// The connect at which it came last.
    connect: u32,
    /// How often it came again at a later connect: the ack had not arrived, or nothing was known of it.
    pub(super) resent: u16,
    /// How often it came again at the same connect.
    pub(super) twice: u16,
}

pub(super) struct Tally {
    pub(super) per_user: u32,
    /// By number.
    pub(super) sent: Vec<Sent>,
    /// By number, and the slots of its user.
    pub(super) got: Vec<Got>,
    /// What came to somebody it was not for, or was never sent.
    pub(super) foreign: u64,
    /// How often a message was seen under another id than before: one request made two of them.
    pub(super) doubled: u64,
    /// When a program was away, by its user and slot.
    away: HashMap<(u32, u32), Vec<Range<u64>>>,
}

/// Where and when a frame came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrival {
    pub(super) user: u32,
    pub(super) slot: u32,
    pub(super) node: u8,
    /// How often this program connected before.
    pub(super) connect: u32,
    pub(super) at_us: u64,
}

impl Tally {
    /// So many messages for users by chance; `intended_us` says when each is due.
    pub(super) fn new(people: &People, count: u64, seed: u64, intended_us: impl Fn(u64) -> u64) -> Self {
        let dice = Dice::new(seed);
        let sent = |number| Sent {
            user: people.pick(&dice),
            intended_us: intended_us(number),
            fate: Fate::Unanswered,
            id: None,
        };
        let sent: Vec<Sent> = (0..count).map(sent).collect();
        let got = vec![Got::default(); sent.len() * people.per_user as usize];
        Self { per_user: people.per_user, sent, got, foreign: 0, doubled: 0, away: HashMap::new() }
    }

    /// The load begins now: messages were due from zero on until here.
    pub(super) fn begin(&mut self, at_us: u64) {
        self.sent.iter_mut().for_each(|sent| sent.intended_us += at_us);
    }

    pub(super) fn accepted(&mut self, number: u64, id: ShortId, at_us: u64) {
        let Some(sent) = self.sent.get_mut(number as usize) else { return };
        sent.fate = Fate::Accepted { at_us };
        self.doubled += u64::from(*sent.id.get_or_insert(id) != id);
    }

    pub(super) fn refused(&mut self, number: u64) {
        if let Some(sent) = self.sent.get_mut(number as usize) {
            sent.fate = Fate::Refused;
        }
    }

    pub(super) fn came(&mut self, number: u64, id: ShortId, arrival: Arrival) {
        let sent = self.sent.get_mut(number as usize).filter(|sent| sent.user == arrival.user);
        let Some(sent) = sent else {
            self.foreign += 1;
            return;
        };
        if *sent.id.get_or_insert(id) != id {
            self.doubled += 1;
            return;
        }
        let got = &mut self.got[number as usize * self.per_user as usize + arrival.slot as usize];
        match got.first_us {
            None => (got.first_us, got.node) = (Some(arrival.at_us), arrival.node),
            Some(_) if got.connect == arrival.connect => got.twice = got.twice.saturating_add(1),
            Some(_) => got.resent = got.resent.saturating_add(1),
        }
        got.connect = arrival.connect;
    }

    /// A program was thrown out at the first of these times, and is connected again since the second.
    pub(super) fn was_away(&mut self, user: u32, slot: u32, time: Range<u64>) {
        self.away.entry((user, slot)).or_default().push(time);
    }

    /// Whether a message needs not come to this connection any more: it was away while another program of the user got the message, and
    /// said so. `got` is what came of it on all of them.
    pub(super) fn is_elsewhere(&self, sent: &Sent, slot: usize, got: &[Got]) -> bool {
        let Some(first_us) = got.iter().filter_map(|one| one.first_us).min() else { return false };
        let Some(away) = self.away.get(&(sent.user, slot as u32)) else { return false };
        let touches = |time: &Range<u64>| sent.intended_us <= time.end && time.start <= first_us + NEARLY_US;
        got[slot].first_us.is_none() && away.iter().any(touches)
    }

    /// A message, and what came of it on each connection.
    pub(super) fn messages(&self) -> impl Iterator<Item = (&Sent, &[Got])> {
        self.sent.iter().zip(self.got.chunks(self.per_user as usize))
    }

    /// Of accepted messages, to how many connections they have still to come.
    pub(super) fn outstanding(&self) -> u64 {
        let accepted = self.messages().filter(|(sent, _)| matches!(sent.fate, Fate::Accepted { .. }));
        let missing = |(sent, got): (&Sent, &[Got])| {
            let none = |slot: &usize| got[*slot].first_us.is_none() && !self.is_elsewhere(sent, *slot, got);
            (0..got.len()).filter(none).count() as u64
        };
        accepted.map(missing).sum()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::live) const PEOPLE: People = People { users: 1, per_user: 2, nodes: 2, leaving: 0, victim: 1 };

    pub(in crate::live) fn id(text: &str) -> ShortId {
        ShortId::new(text.as_bytes()).expect("short")
    }

    pub(in crate::live) fn at(slot: u32, connect: u32, at_us: u64) -> Arrival {
        Arrival { user: 0, slot, node: slot as u8, connect, at_us }
    }

    #[test]
    fn what_comes_again_counts_by_whether_the_program_connected_anew() {
        let mut tally = Tally::new(&PEOPLE, 1, 1, |_| 10);
        tally.accepted(0, id("a"), 20);
        assert_eq!(tally.outstanding(), 2);
        for (connect, at_us) in [(0, 30), (0, 40), (1, 50)] {
            tally.came(0, id("a"), at(0, connect, at_us));
        }
        let got = tally.got[0];
        assert_eq!((got.first_us, got.twice, got.resent), (Some(30), 1, 1));
        assert_eq!(tally.outstanding(), 1);
    }

    #[test]
    fn what_another_program_has_acknowledged_needs_not_come_to_one_that_was_away() {
        let mut tally = Tally::new(&PEOPLE, 1, 1, |_| 3_000_000);
        tally.accepted(0, id("a"), 3_010_000);
        tally.came(0, id("a"), at(0, 0, 3_020_000));
        assert_eq!(tally.outstanding(), 1, "it was there");
        tally.was_away(0, 1, 100..2_000_000);
        assert_eq!(tally.outstanding(), 1, "it was there again");
        tally.was_away(0, 1, 3_005_000..4_000_000);
        assert_eq!(tally.outstanding(), 0);
    }

    #[test]
    fn what_is_for_somebody_else_or_has_another_id_is_told() {
        let mut tally = Tally::new(&PEOPLE, 1, 1, |_| 10);
        tally.came(0, id("a"), Arrival { user: 5, ..at(0, 0, 1) });
        tally.came(9, id("a"), at(0, 0, 1));
        tally.came(0, id("a"), at(0, 0, 1));
        tally.accepted(0, id("b"), 2);
        tally.came(0, id("b"), at(0, 0, 1));
        assert_eq!((tally.foreign, tally.doubled), (2, 2), "in the answer and when it came");
    }
}
