//! Time zones by name.

use crate::config::nearest;
use crate::domain::{Zone, cut};

/// Longer than the name of any zone: `America/Argentina/ComodRivadavia` has 32 bytes.
const NAME_BYTES_MAX: usize = 40;

/// The zone's own name; or what may have been meant.
pub(super) fn timezone(text: &str) -> Result<Box<str>, String> {
    if let Some(zone) = Zone::parse(text) {
        return Ok(zone.name().into());
    }
    let shown = cut(text, NAME_BYTES_MAX);
    let meant = near(shown).map(|name| format!(": did you mean `{name}`?")).unwrap_or_default();
    Err(format!("`{shown}` is no time zone of the IANA database{meant}"))
}

/// The zone whose name, or whose city, is written most alike.
fn near(text: &str) -> Option<String> {
    let wanted = text.to_lowercase().replace(' ', "_");
    let names = Zone::names();
    let small: Vec<String> = names.iter().map(|name| name.to_lowercase()).collect();
    let cities = small.iter().map(|name| name.rsplit('/').next().unwrap_or(name));
    let candidates: Vec<&str> = small.iter().map(String::as_str).chain(cities).collect();
    let best = nearest(&wanted, &candidates)?;
    let at = candidates.iter().position(|candidate| *candidate == best)?;
    names.into_iter().nth(at % small.len())
}
