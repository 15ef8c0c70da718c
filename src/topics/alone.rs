//! Topics for a program that has their store to itself.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::ask::{Ask, Told, TopicListed, TopicName};
use super::copying::TopicCopies;
use super::desk::{Desk, TopicDesk};
use super::error::TopicError;
use super::work::TopicWork;
use crate::clock::SharedClock;
use crate::homes::{HOMES, Homes, Tenure, Work};
use crate::log::OutsideTopics;
use crate::ownership::Standing;
use crate::store::{KeyedRows, StoreError};

/// The pause after the store failed.
const FAILED_PAUSE: Duration = Duration::from_secs(1);

/// All topics of a store, for the program that has it to itself. Dropped, it ends what it began; what was answered is durable.
pub struct Topics {
    desk: Arc<Desk>,
    stop: CancellationToken,
}

impl Topics {
    /// Begins the topics of a store. `seed` is a number that no other process has, for ids. Called on a tokio runtime.
    pub fn start(store: Arc<dyn KeyedRows>, clock: SharedClock, seed: u64) -> Self {
        Self::start_with(store, clock, None, seed)
    }

    /// The same, and topics that are to be are written into topics outside as well.
    pub fn start_with(
        store: Arc<dyn KeyedRows>,
        clock: SharedClock,
        outside: Option<Arc<dyn OutsideTopics>>,
        seed: u64,
    ) -> Self {
        let stop = CancellationToken::new();
        let homes = Arc::new(Homes::default());
        let standing = Arc::new(Standing::for_ever());
        for home in 0..HOMES {
            homes.insert(Tenure::new(home, stop.child_token(), standing.clone(), clock.clone()));
        }
        let desk = Desk::new(store, clock.clone(), homes.clone(), outside, seed);
        let mut works: Vec<Arc<dyn Work>> = vec![TopicWork::new(desk.clone())];
        works.extend(TopicCopies::new(desk.clone()).map(|work| work as Arc<dyn Work>));
        for tenure in homes.all() {
            for work in &works {
                tokio::spawn(keep(work.clone(), tenure.clone(), clock.clone()));
            }
        }
        Self { desk, stop }
    }

    /// Ends it, and waits until nothing is written any more: another one may have the store then.
    pub async fn end(self) {
        self.stop.cancel();
        self.desk.ended().await;
    }
}

impl Drop for Topics {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Works at one home until it ends.
async fn keep(work: Arc<dyn Work>, tenure: Tenure, clock: SharedClock) {
    let round = async |work: &dyn Work| -> Result<(), StoreError> {
        let mut turns = work.begin(tenure.clone()).await?;
        loop {
            let pause = turns.turn().await?;
            clock.sleep(pause).await;
        }
    };
    let working = async {
        loop {
            if let Err(error) = round(&*work).await {
                tracing::warn!(%error, home = tenure.home, "topics stand still: trying again");
            }
            clock.sleep(FAILED_PAUSE).await;
        }
    };
    tokio::select! {
        () = tenure.ended.cancelled() => {}
        () = working => {}
    }
}

#[async_trait]
impl TopicDesk for Topics {
    async fn ask(&self, name: &TopicName, ask: Ask) -> Result<Told, TopicError> {
        self.desk.ask(name, ask).await
    }

    async fn list(&self, tenant: &str) -> Result<Vec<TopicListed>, TopicError> {
        self.desk.list(tenant).await
    }
}
