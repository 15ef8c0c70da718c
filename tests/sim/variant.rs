//! Rules of the protocol that may be broken on purpose: a simulation that does not notice is worth nothing.

use fanfare::dispatch::broken::GROUPS_STAY_OPEN;
use fanfare::intake::broken::REPLAYED_IS_SKIPPED;
use std::sync::atomic::Ordering;

/// What is broken in a world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// Nothing.
    Sound,
    /// What is planned already when a record is read again is skipped, instead of being taken up.
    ReplaySkip,
    /// A claim does not know its owner: who asks again is refused.
    Setnx,
    /// The log counts a record as done when it is read.
    CommitFirst,
    /// The store writes events before the timers that they rely on.
    EventFirst,
    /// The cursor of the tasks passes what is open.
    CursorEarly,
    /// The cursor of the timers passes what has not fired.
    TimerCursorEarly,
    /// Nothing keeps two nodes from working one shard.
    NoLease,
    /// A group is read to be sent while others may still join it.
    GroupOpen,
    /// The store writes who joined after the plan that says so.
    GroupsLast,
    /// The store has no timers of what a brake holds.
    HeldLost,
}

impl Variant {
    pub const ALL: [Variant; 11] = [
        Variant::Sound,
        Variant::ReplaySkip,
        Variant::Setnx,
        Variant::CommitFirst,
        Variant::EventFirst,
        Variant::CursorEarly,
        Variant::TimerCursorEarly,
        Variant::NoLease,
        Variant::GroupOpen,
        Variant::GroupsLast,
        Variant::HeldLost,
    ];

    pub fn name(self) -> &'static str {
        [
            "sound",
            "replay_skip",
            "setnx",
            "commit_first",
            "event_first",
            "cursor_early",
            "timer_cursor_early",
            "no_lease",
            "group_open",
            "groups_last",
            "held_lost",
        ][self as usize]
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|variant| variant.name() == name)
    }

    pub fn is_broken(self) -> bool {
        self != Variant::Sound
    }

    /// Breaks what is broken inside the engine; a process runs one variant at a time.
    pub fn install(self) {
        REPLAYED_IS_SKIPPED.store(self == Variant::ReplaySkip, Ordering::SeqCst);
        GROUPS_STAY_OPEN.store(self == Variant::GroupOpen, Ordering::SeqCst);
    }
}
