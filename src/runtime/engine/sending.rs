//! How the engine's senders are put together: the actors of each channel with the providers they call, and who looks after those.

use std::sync::Arc;

use anyhow::Context;
use tokio::runtime::Handle;

use super::{Builder, EngineParts};
use crate::coordination::Rate;
use crate::dispatch::{
    ChannelActor, ChannelArguments, Class, ProviderLimits, SenderContext, UnservedActor, WatchActor, WatchArguments,
    WatchedProvider,
};
use crate::domain::Channel;
use crate::providers::{Attachments, Guard, SharedProvider};
use crate::runtime::credentials::credentials_end;
use crate::runtime::shards::start_with;
use crate::runtime::supervisor::Child;

/// What fetches attachments: for each class its own.
pub(super) fn attachments(parts: &EngineParts) -> anyhow::Result<Arc<Attachments>> {
    let guard = Guard::new(parts.config.security.allow_private_addresses, parts.clock.clone());
    let attachments = Attachments::new(&parts.config.attachments, guard, parts.clock.clone());
    attachments.map(Arc::new).map_err(anyhow::Error::msg).context("cannot set up what fetches attachments")
}

impl Builder {
    /// Two actors for each channel. Where no provider serves it there may still be tasks that were planned when one did.
    pub(super) fn channels(&self) -> Vec<Child> {
        let mut children = Vec::new();
        for class in Class::ALL {
            for channel in Channel::ALL {
                let providers = self.providers_of(channel, class);
                let is_served = !providers.is_empty();
                let arguments = ChannelArguments {
                    channel,
                    class,
                    providers,
                    settings: self.parts.config.dispatch.clone(),
                    coordination: self.parts.coordination.clone(),
                    context: self.sender_context(class),
                    reborn: false,
                };
                let arguments = move |reborn| ChannelArguments { reborn, ..arguments.clone() };
                children.push(Child {
                    kind: "channel",
                    name: format!("{channel} {}", class.name()),
                    start: match is_served {
                        true => start_with::<ChannelActor>(arguments),
                        false => start_with::<UnservedActor>(arguments),
                    },
                    runtime: self.runtime(class),
                    stop: self.stop.child_token(),
                });
            }
        }
        children
    }

    fn providers_of(&self, channel: Channel, class: Class) -> Vec<(SharedProvider, ProviderLimits)> {
        let providers = self.parts.providers[class as usize].iter();
        providers
            .filter(|provider| provider.channels().contains(&channel))
            .filter_map(|provider| {
                let settings = self.parts.config.providers.iter().find(|settings| settings.name == provider.name())?;
                let rate = settings
                    .rate_per_second
                    .map(|per_second| Rate { per_second, burst: settings.burst.unwrap_or(per_second).max(1.0) });
                let limits = ProviderLimits {
                    max_in_flight: settings.max_in_flight.max(2),
                    timeout: settings.timeout,
                    weight: settings.weight,
                    rate,
                    canary: settings.canary.map(millionths_of_one),
                    warm_up: settings.warm_up,
                };
                Some((provider.clone(), limits))
            })
            .collect()
    }

    fn sender_context(&self, class: Class) -> SenderContext {
        SenderContext {
            clock: self.parts.clock.clone(),
            store: self.parts.store.clone(),
            ownership: self.ownership.clone(),
            renderer: self.parts.renderer.clone(),
            attachments: self.attachments[class as usize].clone(),
            policy: self.parts.policy.clone(),
            people: self.parts.people.clone(),
            settler: self.settlers[class as usize].clone(),
            dispatch: self.dispatch.clone(),
            brakes: self.parts.brakes.clone(),
            promises: self.parts.config.promises,
            retries: self.parts.config.retry.delays.len(),
            shown_items: self.parts.policy.shown_items,
            deliveries: self.deliveries.clone(),
            links: self.parts.links.clone(),
            tracking: self.tracking.clone(),
        }
    }

    /// Looks after receipts and credentials.
    pub(super) fn watch(&self) -> Child {
        let providers = self.parts.providers[Class::Bulk as usize].iter();
        let watched = providers.filter_map(|provider| {
            let settings = self.parts.config.providers.iter().find(|settings| settings.name == provider.name())?;
            Some(WatchedProvider {
                name: provider.name().into(),
                late_receipts: settings.late_receipts.filter(|_| provider.receipts().is_some()),
                credentials_end: credentials_end(&**provider, settings),
            })
        });
        let arguments = WatchArguments {
            providers: watched.collect(),
            clock: self.parts.clock.clone(),
            store: self.parts.store.clone(),
            dispatch: self.dispatch.clone(),
        };
        Child {
            kind: "watch",
            name: "providers".into(),
            start: start_with::<WatchActor>(move |_| arguments.clone()),
            runtime: Handle::current(),
            stop: self.stop.child_token(),
        }
    }
}

/// A share as dispatch counts it.
fn millionths_of_one(share: f64) -> u32 {
    (share.clamp(0.0, 1.0) * 1e6).round() as u32
}
