//! Work that is carried out to its end, though who asked for it goes away.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::store::StoreError;

/// Pieces of work under way at once; whoever comes beyond is told to come again.
const UNDER_WAY_MAX: usize = 1024;

/// Runs what must not stop halfway: a caller that hangs up drops its future, and with it whatever that had in hand.
#[derive(Debug, Clone)]
pub(super) struct Finisher(Arc<Semaphore>);

impl Finisher {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(UNDER_WAY_MAX)))
    }

    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        let busy = |_| StoreError::Failed("too much of this kind is under way: try again later".into());
        let place = self.0.clone().try_acquire_owned().map_err(busy)?;
        let running = tokio::spawn(async move {
            let _place = place;
            work.await
        });
        // Its panic stands in the log.
        running.await.unwrap_or_else(|_| Err(StoreError::Failed("it panicked halfway".into())))
    }
}
