//! Who connects, from which program to which node, and who leaves for good when a node dies. Pure.

use crate::random::Dice;

/// Connections are numbered user by user: those of user `u` are `u * per_user` and the following ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct People {
    pub(super) users: u32,
    /// Programs of each user, each with a connection.
    pub(super) per_user: u32,
    pub(super) nodes: u32,
    /// The first users, all of whose connections are on the node that is killed; nothing is sent to them.
    pub(super) leaving: u32,
    /// The node that is killed.
    pub(super) victim: u32,
}

impl People {
    pub(super) fn connections(&self) -> u32 {
        self.users * self.per_user
    }

    pub(super) fn staying(&self) -> u32 {
        self.connections() - self.leaving * self.per_user
    }

    pub(super) fn user_of(&self, connection: u32) -> u32 {
        connection / self.per_user
    }

    pub(super) fn slot_of(&self, connection: u32) -> u32 {
        connection % self.per_user
    }

    pub(super) fn leaves(&self, user: u32) -> bool {
        user < self.leaving
    }

    /// Where a connection is opened at first; those of one user are on different nodes.
    pub(super) fn node_of(&self, connection: u32) -> u32 {
        if self.leaves(self.user_of(connection)) { self.victim } else { connection % self.nodes }
    }

    /// How many connections are on the node that is killed, until it is.
    pub(super) fn on_victim(&self) -> usize {
        (0..self.connections()).filter(|connection| self.node_of(*connection) == self.victim).count()
    }

    /// Whom a message is for: any user who does not leave.
    pub(super) fn pick(&self, dice: &Dice) -> u32 {
        let staying = u64::from(self.users - self.leaving).max(1);
        self.leaving + (dice.roll() % staying) as u32
    }

    /// So many users who do not leave, evenly spread.
    pub(super) fn sample(&self, count: u32) -> Vec<u32> {
        let staying = u64::from(self.users - self.leaving);
        let count = u64::from(count).min(staying);
        (0..count).map(|index| self.leaving + (index * staying / count) as u32).collect()
    }
}

/// What a user is called.
pub(super) fn name(user: u32) -> String {
    format!("live-{user:07}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEOPLE: People = People { users: 100, per_user: 2, nodes: 3, leaving: 10, victim: 2 };

    #[test]
    fn who_leaves_is_on_the_node_that_is_killed_and_is_sent_nothing() {
        assert!((0..20).all(|connection| PEOPLE.node_of(connection) == 2));
        let dice = Dice::new(3);
        assert!((0..1000).map(|_| PEOPLE.pick(&dice)).all(|user| (10..100).contains(&user)));
        assert_eq!((PEOPLE.connections(), PEOPLE.staying()), (200, 180));
    }

    #[test]
    fn connections_are_spread_over_the_nodes() {
        let on = |node| (20..200).filter(|connection| PEOPLE.node_of(*connection) == node).count();
        assert_eq!([on(0), on(1), on(2)], [60, 60, 60]);
        assert_eq!(PEOPLE.on_victim(), 80);
        assert_eq!((PEOPLE.user_of(21), PEOPLE.slot_of(21)), (10, 1));
    }

    #[test]
    fn a_sample_is_evenly_spread_over_those_who_stay() {
        assert_eq!(PEOPLE.sample(3), [10, 40, 70]);
        assert_eq!(PEOPLE.sample(1000).len(), 90);
    }
}
