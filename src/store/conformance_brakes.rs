//! What every backend of brakes must do; run against each of them.

use super::conformance::NOON;
use super::conformance_users::UserBackend;
use crate::domain::{Brake, BrakeEffect, BrakeKind, BrakeScope};

fn brake(tenant: &str, kind: BrakeKind, name: &str, effect: BrakeEffect, is_on: bool) -> Brake {
    let scope = BrakeScope { tenant: tenant.into(), kind, name: name.into() };
    Brake { scope, effect, is_on, at: NOON, reason: Some("a mistake in the text".into()) }
}

/// One brake of a scope and effect, the last that was written, in order, and there after opening again.
pub(crate) async fn brakes_are_kept_by_scope_and_effect(backend: &impl UserBackend) {
    use BrakeEffect::{Pause, Recall};
    let store = backend.open().await;
    assert_eq!(store.brakes().await.expect("read"), []);
    let mut expected = vec![
        brake("acme", BrakeKind::Category, "marketing", Pause, true),
        brake("acme", BrakeKind::Category, "marketing", Recall, true),
        brake("acme", BrakeKind::Template, "marketing", Pause, true),
        brake("other", BrakeKind::Category, "marketing", Pause, true),
    ];
    for brake in expected.iter().rev() {
        store.write_brake(brake).await.expect("written");
    }
    assert_eq!(store.brakes().await.expect("read"), expected);
    expected[0].is_on = false;
    expected[0].reason = None;
    store.write_brake(&expected[0]).await.expect("written");
    assert_eq!(store.brakes().await.expect("read"), expected);
    drop(store);
    assert_eq!(backend.open().await.brakes().await.expect("read"), expected);
}
