//! Notifications that are merged into one message. Pure.

use super::{ClaimKey, Disposition, Plan, Timestamp};

/// What a request says about merging.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aggregate {
    /// What is merged with each other, within a user, a category and a template.
    pub key: Box<str>,
    /// Who did it; counted once, however often they did.
    pub actor: Option<Box<str>>,
    /// From the first one on; `None`: the configured window.
    pub window_seconds: Option<u32>,
}

/// A planned notification's place in its group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    pub key: ClaimKey,
    pub actor: Option<Box<str>>,
    /// Others join until then; the message is due then.
    pub until: Timestamp,
    /// Sent by itself, at once, because it is the first: those after it are merged into a message of their own.
    pub is_first: bool,
    /// What its message says; known once the group is closed, and no part of the plan's row.
    pub gathered: Option<Gathered>,
}

/// What is to be known of a group that others may join. Small on purpose: a hundred thousand of them are kept in some 10 MB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenGroup {
    pub leader: u64,
    /// When its leader was accepted: what was erased or recalled since then is not to go along with what comes later.
    pub since: Timestamp,
    pub until: Timestamp,
    /// When its message is worth nothing any more.
    pub expires_at: Timestamp,
    /// With the leader.
    pub count: u32,
    /// As in [`Group::is_first`]: nobody joins it, but it began the window.
    pub is_first: bool,
    /// Nobody joins any more: it is full, or about to be sent.
    pub is_closed: bool,
}

const _: () = assert!(size_of::<OpenGroup>() <= 40, "a hundred thousand of them are kept in some 10 MB");

/// One that joined a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    pub offset: u64,
    pub actor: Option<Box<str>>,
    /// JSON text of an object; `None`: enough others brought theirs.
    pub data: Option<Box<str>>,
}

/// Whom the message of a closed group tells of, of those who stand under its leader. One may stand there whose row was not to be
/// seen when the group was closed: half-written by who planned it last, it was on one replica alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Of all whose offsets are below: they were planned by then.
    pub below: u64,
    /// Of these of the others.
    pub also: Vec<u64>,
}

impl Told {
    pub const EVERYBODY: Self = Self { below: u64::MAX, also: Vec::new() };

    pub fn has(&self, offset: u64) -> bool {
        offset < self.below || self.also.contains(&offset)
    }
}

/// What a merged message says besides its leader's own data.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gathered {
    /// All that were merged.
    pub count: u32,
    /// The distinct actors in the order in which they came, the first [`Gathered::ITEMS_MAX`] at most.
    pub actors: Vec<Box<str>>,
    /// All distinct actors.
    pub actor_count: u32,
    /// The data of the first ones: JSON texts of objects.
    pub items: Vec<Box<str>>,
}

impl Gathered {
    /// The most that a configuration may ask for of actors and items.
    pub const ITEMS_MAX: usize = 100;
    /// All data of the items together: with it the row stays far below what databases take in a cell.
    pub const ITEMS_BYTES_MAX: usize = 64 << 10;

    /// Adds up those who joined, in the order of their offsets. `items_max`: how many are named and shown.
    pub fn of<'a>(joined: impl IntoIterator<Item = &'a Joined>, items_max: usize) -> Self {
        let mut gathered = Self::default();
        let mut seen = std::collections::HashSet::new();
        let mut bytes = 0;
        for one in joined {
            gathered.count += 1;
            if let Some(actor) = &one.actor
                && seen.insert(actor)
            {
                gathered.actor_count += 1;
                if gathered.actors.len() < items_max {
                    gathered.actors.push(actor.clone());
                }
            }
            if let Some(data) = one.data.as_ref().filter(|_| gathered.items.len() < items_max) {
                bytes += data.len();
                if bytes <= Self::ITEMS_BYTES_MAX {
                    gathered.items.push(data.clone());
                }
            }
        }
        gathered
    }

    /// How many actors there are besides the first.
    pub fn others(&self) -> u32 {
        self.actor_count.saturating_sub(1)
    }
}

impl Plan {
    /// Whether others may be merged into its message.
    pub fn is_leader(&self) -> bool {
        self.group.as_ref().is_some_and(|group| !group.is_first) && matches!(self.disposition, Disposition::Tasks(_))
    }

    /// The group that it opens; `None`: it opens none.
    pub fn opens(&self) -> Option<(ClaimKey, OpenGroup)> {
        let group = self.group.as_ref().filter(|_| matches!(self.disposition, Disposition::Tasks(_)))?;
        let open = OpenGroup {
            leader: self.position.offset,
            since: self.accepted_at,
            until: group.until,
            // Plans of before the time was kept have none, and theirs is over.
            expires_at: self.expires_at.unwrap_or(group.until),
            count: 1,
            is_first: group.is_first,
            is_closed: false,
        };
        Some((group.key, open))
    }

    /// Itself, as one of its group.
    pub fn joined(&self) -> Joined {
        let actor = self.group.as_ref().and_then(|group| group.actor.clone());
        let fits = self.data.len() <= Gathered::ITEMS_BYTES_MAX;
        Joined { offset: self.position.offset, actor, data: fits.then(|| self.data.clone()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(offset: u64, actor: Option<&str>) -> Joined {
        Joined { offset, actor: actor.map(Into::into), data: Some(format!("{{\"n\":{offset}}}").into()) }
    }

    #[test]
    fn actors_are_counted_once_and_named_in_the_order_in_which_they_came() {
        let all = [joined(1, Some("Alice")), joined(2, Some("Bob")), joined(3, Some("Alice")), joined(4, Some("Cy"))];
        let gathered = Gathered::of(&all, 2);
        assert_eq!((gathered.count, gathered.actor_count, gathered.others()), (4, 3, 2));
        assert_eq!(gathered.actors, ["Alice".into(), "Bob".into()] as [Box<str>; 2]);
        assert_eq!(gathered.items, [r#"{"n":1}"#.into(), r#"{"n":2}"#.into()] as [Box<str>; 2]);
    }

    #[test]
    fn one_that_is_alone_has_no_others() {
        let check = |actor, expected| {
            let gathered = Gathered::of([&joined(1, actor)], 10);
            assert_eq!((gathered.count, gathered.actor_count, gathered.others()), expected);
        };
        check(Some("Alice"), (1, 1, 0));
        check(None, (1, 0, 0));
    }
}
