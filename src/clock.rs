//! Time as a parameter: the engine asks a [`Clock`], so that tests move time and a simulation owns it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::domain::Timestamp;

/// What time it is, and waiting for a time.
pub trait Clock: Send + Sync + 'static {
    /// The wall clock.
    fn now(&self) -> Timestamp;

    /// Resolves once [`Clock::now`] has reached `until`; at once if it has.
    fn sleep_until(&self, until: Timestamp) -> BoxFuture<'static, ()>;

    /// Resolves after `duration`.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.sleep_until(self.now() + duration)
    }
}

/// A clock as it is handed around.
pub type SharedClock = Arc<dyn Clock>;
