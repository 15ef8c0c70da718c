//! The names that brakes may have.

use crate::domain::BrakeNames;
use crate::planning::Policy;
use crate::providers::SharedProvider;

/// Those of the categories and of whom serves each channel.
pub fn brake_names(policy: &Policy, providers: &[SharedProvider]) -> BrakeNames {
    let mut of_channel: [Vec<Box<str>>; 7] = Default::default();
    for provider in providers {
        for channel in provider.channels() {
            of_channel[channel.index()].push(provider.name().into());
        }
    }
    BrakeNames {
        categories: policy.categories.names().into_iter().map(Into::into).collect(),
        default_category: policy.categories.of(None).name.clone(),
        providers: of_channel,
    }
}
