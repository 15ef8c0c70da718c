//! How urgent a message is; every stage keeps a lane per priority.

use std::fmt;

/// Four lanes, the most urgent first. `P0` to `P3` are read as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Priority {
    /// Password resets, security alerts: at once, and never behind anything else.
    Critical,
    /// Orders, payments: within five minutes.
    High,
    /// Social, everyday: within ten minutes.
    #[default]
    Normal,
    /// Marketing, digests: within hours.
    Low,
}

impl Priority {
    pub const ALL: [Priority; 4] = [Priority::Critical, Priority::High, Priority::Normal, Priority::Low];

    /// 0 for critical to 3 for low.
    pub fn index(self) -> usize {
        self as usize
    }

    pub fn from_index(index: usize) -> Option<Self> {
        Self::ALL.get(index).copied()
    }

    pub fn name(self) -> &'static str {
        ["critical", "high", "normal", "low"][self.index()]
    }

    /// Reads a name or its alias `P0`–`P3`.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|priority| priority.name() == text).or(match text {
            "P0" | "p0" => Some(Priority::Critical),
            "P1" | "p1" => Some(Priority::High),
            "P2" | "p2" => Some(Priority::Normal),
            "P3" | "p3" => Some(Priority::Low),
            _ => None,
        })
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
