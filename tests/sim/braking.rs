//! Pauses and resumes of a category: when they come, and that at the end none is on.

use std::time::Duration;

use fanfare::domain::{BrakeEffect, BrakeKind, BrakeScope, NotificationRequest, Timestamp};

use super::merging;
use super::rng::Rng;
use super::schedule::Incident;

/// What is paused: the category of what is merged, and of some that is not.
pub fn scope() -> BrakeScope {
    BrakeScope { tenant: "default".into(), kind: BrakeKind::Category, name: merging::CATEGORY.into() }
}

pub const EFFECT: BrakeEffect = BrakeEffect::Pause;

/// Pauses of a world, and most of their resumes; the last resume comes when all is healed.
pub fn draw(rng: &mut Rng, rough_for: Duration) -> Vec<(Duration, Incident)> {
    let mut incidents = Vec::new();
    let last = rough_for.saturating_sub(Duration::from_millis(500));
    for _ in 0..rng.between(1, 3) {
        let at = rng.millis(200, last.as_millis() as u64);
        incidents.push((at, Incident::Brake { is_on: true }));
        if rng.chance(0.8) {
            let resumed = at + rng.millis(100, 30_000);
            incidents.push((resumed.min(last), Incident::Brake { is_on: false }));
        }
    }
    incidents
}

/// Makes some requests such that a pause holds them, and lets some of them expire meanwhile.
pub fn change(rng: &mut Rng, request: &mut NotificationRequest, now: Timestamp) {
    if rng.chance(0.4) {
        request.category = Some(merging::CATEGORY.into());
        // What expires is not worth a wait.
        let expires = rng.chance(0.2) && request.deliver_at.is_none();
        request.expires_at = expires.then(|| now + rng.seconds(10, 60));
    }
}
