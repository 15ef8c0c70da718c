//! The work that carries erasures on: what a call had no time to cancel, what another node did not answer for, what was not destroyed
//! because the call broke off, and what was written by who had not heard of it yet.
//!
//! What it has in memory is where it is in the rows of its home: a crash begins with the first again.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::Privacy;
use super::destroying::SETTLE;
use crate::codec;
use crate::domain::{Erasure, UserKey};
use crate::homes::{Tenure, Turns, Wake, Work, home_of};
use crate::store::{KeyedKind, KeyedPart, KeyedRow, StoreError};

/// How often it is looked whether something is to be done: the call may have been another node's.
const LOOK: Duration = Duration::from_secs(5);
/// Of one turn.
const TURN: Duration = Duration::from_millis(250);
/// So long a row may be there before the mark of its user is; without it then, nobody was erased.
const MARK_WAIT: Duration = Duration::from_secs(60);
/// After so long a call that has not destroyed anything yet is taken to have broken off.
const CALL_WAIT: Duration = Duration::from_secs(15);

/// Carries erasures on at their homes.
pub struct ErasureWork {
    privacy: Arc<Privacy>,
}

impl ErasureWork {
    pub fn new(privacy: Arc<Privacy>) -> Self {
        Self { privacy }
    }
}

#[async_trait]
impl Work for ErasureWork {
    fn kind(&self) -> &'static str {
        "erasures"
    }

    async fn begin(&self, tenure: Tenure) -> Result<Box<dyn Turns>, StoreError> {
        Ok(Box::new(HomeErasures { privacy: self.privacy.clone(), tenure, after: None }))
    }

    fn wake(&self) -> &Wake {
        &self.privacy.wake
    }
}

struct HomeErasures {
    privacy: Arc<Privacy>,
    tenure: Tenure,
    /// The row that was looked at last; each has its turn.
    after: Option<Box<[u8]>>,
}

#[async_trait]
impl Turns for HomeErasures {
    async fn turn(&mut self) -> Result<Duration, StoreError> {
        let part = part(self.tenure.home);
        let store = &self.privacy.parts.store;
        let found = store.keyed_between(&part, self.after.as_deref(), None, 1).await?.pop();
        let Some((name, body)) = found else {
            self.after = None;
            return Ok(LOOK);
        };
        // Others have their turn, also where this one cannot be carried on now.
        let carried_on = match codec::decode_erasure(&body) {
            Ok(erasure) => self.privacy.carry_on(erasure, &self.tenure).await,
            Err(error) => Err(error.into()),
        };
        match carried_on {
            Ok(true) => return Ok(Duration::ZERO),
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(%error, home = self.tenure.home, "an erasure cannot be carried on: trying again")
            }
        }
        self.after = Some(name);
        Ok(Duration::ZERO)
    }
}

impl Privacy {
    /// Whether it came on and is to have the next turn as well; if not, others have theirs first.
    async fn carry_on(&self, mut erasure: Erasure, tenure: &Tenure) -> Result<bool, StoreError> {
        let parts = &self.parts;
        let known = parts.store.users(std::slice::from_ref(&erasure.user)).await?.pop().flatten();
        let is_marked = known.and_then(|user| user.erased_at).is_some_and(|at| at >= erasure.at);
        if !is_marked {
            let is_given_up = parts.clock.now().since(erasure.at) >= MARK_WAIT;
            if is_given_up && tenure.holds() {
                self.put_erasure(&erasure, false).await?;
            }
            return Ok(false);
        }
        let age = parts.clock.now().since(erasure.at);
        let before = erasure.clone();
        if !erasure.is_destroyed {
            if age < CALL_WAIT || !tenure.holds() {
                return Ok(false);
            }
            self.destroy_again(&mut erasure).await?;
        }
        // Whatever is still to be cancelled: that needs nothing of what is destroyed.
        if !erasure.is_settled && age >= SETTLE && tenure.holds() {
            self.settle(&mut erasure).await?;
        }
        if !erasure.is_walked {
            erasure.is_walked = self.walk(&mut erasure, TURN).await?.is_over;
        }
        // Whoever has the home now walks on from where it last stood.
        if !tenure.holds() {
            return Ok(false);
        }
        if erasure != before {
            self.put_erasure(&erasure, !(erasure.is_walked && erasure.is_settled)).await?;
        }
        Ok(!erasure.is_walked && erasure.after != before.after)
    }

    /// The addresses that an erasure of this user still has to destroy.
    pub(super) async fn addresses_of_open(&self, user: &UserKey) -> Result<Vec<UserKey>, StoreError> {
        let key = key(user);
        let body = self.parts.store.keyed(&[(part(home_of(&key)), key)]).await?.pop().flatten();
        Ok(body.map(|body| codec::decode_erasure(&body)).transpose()?.map(|open| open.addresses).unwrap_or_default())
    }

    /// Writes how far an erasure is, or that it is over.
    pub(super) async fn put_erasure(&self, erasure: &Erasure, is_open: bool) -> Result<(), StoreError> {
        let key = key(&erasure.user);
        let body = is_open.then(|| Bytes::from(codec::encode_erasure(erasure)));
        self.parts.store.put_keyed(vec![KeyedRow { part: part(home_of(&key)), name: key, body }]).await
    }
}

fn part(home: u16) -> KeyedPart {
    KeyedPart::of(KeyedKind::Erasures, &[&home.to_be_bytes()])
}

fn key(user: &UserKey) -> Box<[u8]> {
    crate::store::user_hash(user).into()
}
