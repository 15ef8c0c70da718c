//! What people define by hand and every node goes by.

use super::Timestamp;

/// What is defined. The numbers are those of the rows and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DefinitionKind {
    EventType = 0,
    Rule = 1,
    Schedule = 2,
}

impl DefinitionKind {
    pub const ALL: [DefinitionKind; 3] = [Self::EventType, Self::Rule, Self::Schedule];

    pub fn index(self) -> usize {
        self as usize
    }

    pub fn from_index(index: usize) -> Option<Self> {
        Self::ALL.get(index).copied()
    }

    /// As people call one.
    pub fn name(self) -> &'static str {
        ["event type", "rule", "schedule"][self.index()]
    }
}

/// One definition of a tenant, as it was saved last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    pub kind: DefinitionKind,
    /// Of each kind and name a tenant has one.
    pub name: Box<str>,
    /// From 1 on; one more with each change, also over a deletion.
    pub version: u64,
    /// JSON text of an object; `None`: it was deleted.
    pub body: Option<Box<str>>,
    pub changed_at: Timestamp,
}
