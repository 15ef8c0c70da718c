//! Changes of saved templates, and what they come to: pure.

use super::Timestamp;

/// One change of one template. Those of a tenant are numbered 1, 2, 3 and so on without gaps, and never change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateChange {
    pub number: u64,
    pub code: Box<str>,
    pub action: TemplateAction,
    /// The name of the key that asked for it.
    pub by: Box<str>,
    pub at: Timestamp,
}

/// What was done to a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemplateAction {
    /// A version was added, and is in force.
    Saved {
        version: u32,
        /// The name of its body in the store, which no other version has.
        body: u128,
        /// Why, for people.
        comment: Option<Box<str>>,
    },
    /// An earlier version is in force again.
    MadeCurrent {
        version: u32,
    },
    Activated,
    /// Requests for it are refused.
    Deactivated,
    /// It is not there any more; what it covered is in force. Its versions keep their numbers.
    Deleted,
    /// A version cannot be read or made current any more.
    VersionDeleted {
        version: u32,
    },
}

impl TemplateAction {
    pub fn name(&self) -> &'static str {
        match self {
            TemplateAction::Saved { .. } => "saved",
            TemplateAction::MadeCurrent { .. } => "rolled_back",
            TemplateAction::Activated => "activated",
            TemplateAction::Deactivated => "deactivated",
            TemplateAction::Deleted => "deleted",
            TemplateAction::VersionDeleted { .. } => "version_deleted",
        }
    }

    /// The version that it is about; `None`: the template as a whole.
    pub fn version(&self) -> Option<u32> {
        match self {
            TemplateAction::Saved { version, .. }
            | TemplateAction::MadeCurrent { version }
            | TemplateAction::VersionDeleted { version } => Some(*version),
            TemplateAction::Activated | TemplateAction::Deactivated | TemplateAction::Deleted => None,
        }
    }
}

/// The most versions of a template that are known. Part of what a log of changes comes to, and so never made smaller.
pub(super) const VERSIONS_MAX: usize = 1000;

/// What the changes of one template come to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TemplateHistory {
    /// In order, those that were deleted among them; of more than [`VERSIONS_MAX`] the oldest that are not in force are gone.
    pub versions: Vec<TemplateVersion>,
    /// Which version is in force; `None`: the template was deleted.
    pub current: Option<u32>,
    pub is_active: bool,
    /// The numbers of its changes, in order.
    pub changes: Vec<u64>,
    /// When it was changed last.
    pub changed_at: Timestamp,
    pub changed_by: Box<str>,
}

/// One version of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateVersion {
    /// 1, 2, 3 and so on; never given twice, also not to a template that is created again.
    pub number: u32,
    pub body: u128,
    pub at: Timestamp,
    pub by: Box<str>,
    pub comment: Option<Box<str>>,
    pub is_deleted: bool,
}

impl TemplateHistory {
    /// Adds a change, later than those before it. What a change names and is not there is left aside.
    pub fn apply(&mut self, change: &TemplateChange) {
        self.changes.push(change.number);
        self.changed_at = change.at;
        self.changed_by = change.by.clone();
        match &change.action {
            TemplateAction::Saved { version, body, comment } => {
                if self.current.is_none() {
                    self.is_active = true;
                }
                self.current = Some(*version);
                self.versions.push(TemplateVersion {
                    number: *version,
                    body: *body,
                    at: change.at,
                    by: change.by.clone(),
                    comment: comment.clone(),
                    is_deleted: false,
                });
                if self.versions.len() > VERSIONS_MAX {
                    // The one in force is the last.
                    self.versions.remove(0);
                }
            }
            TemplateAction::MadeCurrent { version } => {
                if self.version(*version).is_some() {
                    self.current = Some(*version);
                }
            }
            TemplateAction::Activated => self.is_active = true,
            TemplateAction::Deactivated => self.is_active = false,
            TemplateAction::Deleted => {
                self.current = None;
                self.is_active = false;
            }
            TemplateAction::VersionDeleted { version } => {
                if let Some(held) = self.versions.iter_mut().find(|held| held.number == *version) {
                    held.is_deleted = true;
                }
            }
        }
    }

    /// The number of its last change, which tells two states of it apart; 0: nobody ever saved it.
    pub fn last_change(&self) -> u64 {
        self.changes.last().copied().unwrap_or(0)
    }

    /// The number of the next version.
    pub fn next_version(&self) -> u32 {
        self.versions.last().map_or(1, |version| version.number + 1)
    }

    /// A version that can be read.
    pub fn version(&self, number: u32) -> Option<&TemplateVersion> {
        self.versions.iter().find(|version| version.number == number && !version.is_deleted)
    }

    /// The version in force.
    pub fn current(&self) -> Option<&TemplateVersion> {
        self.version(self.current?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(actions: &[TemplateAction]) -> TemplateHistory {
        let mut history = TemplateHistory::default();
        for (index, action) in actions.iter().enumerate() {
            history.apply(&TemplateChange {
                number: index as u64 * 10 + 1,
                code: "welcome".into(),
                action: action.clone(),
                by: "key 1".into(),
                at: Timestamp(index as u64),
            });
        }
        history
    }

    fn saved(version: u32) -> TemplateAction {
        TemplateAction::Saved { version, body: u128::from(version), comment: None }
    }

    #[test]
    fn the_last_version_that_was_saved_or_made_current_is_in_force() {
        use TemplateAction::{Activated, Deactivated, Deleted, MadeCurrent, VersionDeleted};
        let check = |actions: &[TemplateAction], current: Option<u32>, is_active: bool, next: u32| {
            let history = history(actions);
            assert_eq!((history.current, history.is_active, history.next_version()), (current, is_active, next));
        };
        check(&[], None, false, 1);
        check(&[saved(1), saved(2)], Some(2), true, 3);
        check(&[saved(1), saved(2), MadeCurrent { version: 1 }], Some(1), true, 3);
        check(&[saved(1), Deactivated, saved(2)], Some(2), false, 3);
        check(&[saved(1), Deactivated, Activated], Some(1), true, 2);
        check(&[saved(1), Deleted], None, false, 2);
        check(&[saved(1), Deactivated, Deleted, saved(2)], Some(2), true, 3);
        check(&[saved(1), saved(2), VersionDeleted { version: 1 }, MadeCurrent { version: 1 }], Some(2), true, 3);
    }

    #[test]
    fn of_too_many_versions_the_oldest_goes_and_the_last_keeps_its_number() {
        let mut actions: Vec<TemplateAction> = (1..=VERSIONS_MAX as u32).map(saved).collect();
        actions.push(TemplateAction::MadeCurrent { version: 1 });
        let before = history(&actions);
        assert_eq!(before.current().map(|version| version.number), Some(1));
        actions.push(saved(before.next_version()));
        let after = history(&actions);
        assert_eq!((after.versions.len(), after.current, after.next_version()), (VERSIONS_MAX, Some(1001), 1002));
        assert_eq!((after.version(1), after.version(2).map(|version| version.number)), (None, Some(2)));
    }

    #[test]
    fn a_version_that_was_deleted_keeps_its_number_and_cannot_be_read() {
        let history = history(&[saved(1), saved(2), TemplateAction::VersionDeleted { version: 1 }]);
        assert_eq!(history.version(1), None);
        assert_eq!(history.versions.len(), 2);
        assert_eq!(history.current().map(|version| version.body), Some(2));
        assert_eq!(history.last_change(), 21);
    }
}
