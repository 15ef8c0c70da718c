//! What a channel does when time alone makes something possible again.

use std::time::Duration;

use ractor::ActorRef;

use super::{ChannelMessage, ChannelState};
use crate::clock::Moment;
use crate::dispatch::load::{LOAD_MAX, load};

impl ChannelState {
    /// Brings back tasks of an endpoint that has room again.
    pub(super) fn unpark(&mut self, endpoint: u32, myself: &ActorRef<ChannelMessage>) {
        if !self.lanes.has_parked(endpoint) || self.loading_parked.contains(&endpoint) {
            return;
        }
        let room = self.endpoints.room(endpoint, self.arguments.context.clock.moment());
        let bare = self.lanes.unpark(endpoint, room, LOAD_MAX, self.arguments.context.clock.now());
        if bare.is_empty() {
            return;
        }
        self.loading_parked.insert(endpoint);
        let mut taken = [0; 4];
        for ready in &bare {
            taken[ready.priority().index()] += 1;
        }
        let (context, myself) = (self.arguments.context.clone(), myself.clone());
        tokio::spawn(async move {
            let loaded = load(&context, bare).await;
            // A closed mailbox means a restart: the tasks are tracked, and the new actor takes them up.
            let _ = myself.cast(ChannelMessage::LoadedParked(endpoint, taken, loaded));
        });
    }

    pub(super) fn wake(&mut self, at: Moment, myself: &ActorRef<ChannelMessage>) {
        if self.wake_at.is_some_and(|wake_at| wake_at <= at) {
            self.wake_at = None;
        }
        let now = self.arguments.context.clock.moment();
        let open: Vec<u32> = self.endpoints.open().filter(|(_, until)| *until <= now).map(|(id, _)| id).collect();
        for endpoint in open {
            self.unpark(endpoint, myself);
        }
    }

    /// Sees to it that this actor is woken when time alone makes something possible again.
    pub(super) fn arrange_wake(&mut self, myself: &ActorRef<ChannelMessage>, now: Moment) {
        let mut earliest: Option<Moment> = None;
        if self.lanes.has_queued() || !self.refused.is_empty() || !self.aside.is_empty() {
            earliest = self.providers.iter().filter_map(|provider| provider.usable_at(now)).min();
        }
        let parked = self.endpoints.open().filter(|(endpoint, _)| self.lanes.has_parked(*endpoint));
        if let Some(endpoint) = parked.map(|(_, until)| until).min() {
            earliest = Some(earliest.map_or(endpoint, |earliest| earliest.min(endpoint)));
        }
        let Some(at) = earliest else { return };
        if self.wake_at.is_some_and(|wake_at| wake_at <= at) {
            return;
        }
        self.wake_at = Some(at);
        let sleep = self.arguments.context.clock.sleep(at.since(now).max(Duration::from_millis(1)));
        let myself = myself.clone();
        tokio::spawn(async move {
            sleep.await;
            let _ = myself.cast(ChannelMessage::Wake(at));
        });
    }
}
