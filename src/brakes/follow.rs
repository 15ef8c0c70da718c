//! Reads the brakes again and again: another node may have changed them.
//!
//! Started and watched by the supervisor of the timers. It keeps nothing; what cannot be read leaves what was known in force.

use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::Brakes;
use crate::clock::SharedClock;

/// Between two readings.
pub const INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub struct FollowActor;

#[derive(Clone)]
pub struct FollowArguments {
    pub brakes: Arc<Brakes>,
    pub clock: SharedClock,
}

#[derive(Debug)]
pub enum FollowMessage {
    Read,
}

impl Actor for FollowActor {
    type Msg = FollowMessage;
    type State = FollowArguments;
    type Arguments = FollowArguments;

    async fn pre_start(
        &self,
        myself: ActorRef<FollowMessage>,
        arguments: FollowArguments,
    ) -> Result<FollowArguments, ActorProcessingErr> {
        arrange(&myself, &arguments);
        Ok(arguments)
    }

    async fn handle(
        &self,
        myself: ActorRef<FollowMessage>,
        _: FollowMessage,
        arguments: &mut FollowArguments,
    ) -> Result<(), ActorProcessingErr> {
        if let Err(error) = arguments.brakes.refresh().await {
            tracing::warn!(%error, "cannot read the brakes: those that were known stay in force");
        }
        arrange(&myself, arguments);
        Ok(())
    }
}

fn arrange(myself: &ActorRef<FollowMessage>, arguments: &FollowArguments) {
    let sleep = arguments.clock.sleep(INTERVAL);
    let myself = myself.clone();
    tokio::spawn(async move {
        sleep.await;
        // A closed mailbox means that the node stops.
        let _ = myself.cast(FollowMessage::Read);
    });
}
