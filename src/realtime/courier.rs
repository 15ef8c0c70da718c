//! Words between nodes: to those that have connections of a user, and from the others.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::hub::Parcel;
use super::{Live, coordination_key};
use crate::codec;
use crate::coordination::{Heard, Presence};
use crate::domain::UserKey;

/// Words that are told together.
const TOGETHER: usize = 256;

/// Before something that broke begins anew.
const PAUSE: Duration = Duration::from_millis(500);

/// Does it again and again until `stop`: what panics is logged, and begins anew.
pub(super) fn kept_up<F: Future<Output = ()> + Send>(
    live: Arc<Live>,
    stop: CancellationToken,
    name: &'static str,
    mut work: impl FnMut(Arc<Live>) -> F + Send + 'static,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        while !stop.is_cancelled() {
            let done = AssertUnwindSafe(work(live.clone())).catch_unwind();
            tokio::select! {
                () = stop.cancelled() => break,
                result = done => {
                    if result.is_err() {
                        tracing::error!(name, "a part of the live side panicked; it begins anew");
                    }
                }
            }
            live.parts.clock.sleep(PAUSE).await;
        }
    })
}

pub(super) fn start_courier(live: Arc<Live>, stop: CancellationToken) -> JoinHandle<()> {
    kept_up(live, stop, "courier", |live| async move {
        let Some(mut parcels) = live.parts.hub.parcels() else { return std::future::pending().await };
        let carried = AssertUnwindSafe(carry(&live, &mut parcels)).catch_unwind().await;
        live.parts.hub.put_back(parcels);
        if let Err(panic) = carried {
            std::panic::resume_unwind(panic);
        }
    })
}

async fn carry(live: &Live, parcels: &mut mpsc::Receiver<Parcel>) {
    let mut together = Vec::with_capacity(TOGETHER);
    while parcels.recv_many(&mut together, TOGETHER).await > 0 {
        tell(live, std::mem::take(&mut together)).await;
    }
}

async fn tell(live: &Live, parcels: Vec<Parcel>) {
    let mut of_user: HashMap<UserKey, Vec<Bytes>> = HashMap::new();
    for (user, word) in parcels {
        let bytes = Bytes::from(codec::encode_inbox_word(&user, &word));
        of_user.entry(user).or_default().push(bytes);
    }
    let keys: Vec<_> = of_user.keys().map(coordination_key).collect();
    let nodes = Presence::present_on(&*live.parts.coordination, &keys).await.nodes;
    let mut telling = Vec::new();
    for (words, nodes) in of_user.into_values().zip(nodes) {
        for present in nodes.iter().filter(|present| present.node != live.parts.node) {
            for word in &words {
                let (node, word) = (present.node.clone(), word.clone());
                telling.push(async move { live.parts.coordination.publish(&node, word).await });
            }
        }
    }
    // Who is not reached finds it by looking.
    futures_util::future::join_all(telling).await;
}

pub(super) fn start_listener(live: Arc<Live>, stop: CancellationToken) -> JoinHandle<()> {
    kept_up(live, stop, "listener", |live| async move {
        let mut words = live.parts.coordination.subscribe(&live.parts.node).await;
        while let Some(heard) = words.next().await {
            let Heard::Message(bytes) = heard else {
                live.parts.hub.all_missed();
                continue;
            };
            match codec::decode_inbox_word(&bytes) {
                Ok((user, word)) => live.parts.hub.hand(&user, &Arc::new(word)),
                Err(error) => tracing::warn!(%error, "another node said something that this one cannot read"),
            }
        }
    })
}
