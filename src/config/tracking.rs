//! The section about what is noted of opens and clicks.

use std::collections::HashSet;
use std::time::Duration;

use serde::Deserialize;

use super::duration;

/// Which mails carry a pixel and links that are counted, and who counts as a machine.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tracking {
    pub opens: bool,
    pub clicks: bool,
    /// Tenants with a will of their own.
    #[serde(default)]
    pub tenants: Vec<TrackingTenant>,
    pub machines: Machines,
}

/// What one tenant wants, where it says something.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrackingTenant {
    pub tenant: String,
    #[serde(default)]
    pub opens: Option<bool>,
    #[serde(default)]
    pub clicks: Option<bool>,
}

/// By what a program is told from a person.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machines {
    /// Parts of the name that a program gives itself, in whatever case.
    pub user_agents: Vec<String>,
    /// Whoever comes so soon after the send is none who read it; zero: that says nothing.
    #[serde(with = "duration")]
    pub within: Duration,
}

/// More of them would be looked through for every open.
const USER_AGENTS_MAX: usize = 500;
/// A shorter part stands in the names of browsers.
const USER_AGENT_CHARS_MIN: usize = 3;
/// People are quicker than that.
const WITHIN_MAX: Duration = Duration::from_secs(300);

/// What cannot work, in words.
pub(super) fn refuse(tracking: &Tracking) -> Result<(), String> {
    let machines = &tracking.machines;
    if machines.within > WITHIN_MAX {
        return Err("`tracking.machines.within` must be at most \"5m\": people open mails sooner than that".to_owned());
    }
    if machines.user_agents.len() > USER_AGENTS_MAX {
        return Err(format!("`tracking.machines.user_agents` must have at most {USER_AGENTS_MAX} entries"));
    }
    if let Some(short) = machines.user_agents.iter().find(|part| part.trim().chars().count() < USER_AGENT_CHARS_MIN) {
        return Err(format!(
            "`tracking.machines.user_agents` has `{short}`: give {USER_AGENT_CHARS_MIN} characters or more, or it stands in the names of \
             browsers too"
        ));
    }
    if let Some(part) = machines.user_agents.iter().find(|part| "mozilla/5.0".contains(&part.trim().to_lowercase())) {
        return Err(format!(
            "`tracking.machines.user_agents` has `{part}`, which every browser says: everybody would be a machine"
        ));
    }
    let mut seen = HashSet::new();
    for (index, tenant) in tracking.tenants.iter().enumerate() {
        if tenant.tenant.is_empty() {
            return Err(format!("`tracking.tenants.{index}.tenant` is empty"));
        }
        if !seen.insert(&tenant.tenant) {
            return Err(format!("`tracking.tenants` has the tenant `{}` twice", tenant.tenant));
        }
    }
    Ok(())
}

/// Names of tenants that no key has: they may come later, or be written wrongly.
pub(super) fn without_key<'a>(tracking: &'a Tracking, known: &[&str]) -> Vec<&'a str> {
    let named = tracking.tenants.iter().map(|tenant| tenant.tenant.as_str());
    named.filter(|tenant| !known.contains(tenant)).collect()
}
