//! One connection: what its program is told, and what it says. Whatever carries the frames asks [`Session::wait`] for what happens and
//! hands it to [`Session::on`]; the first may be given up at any moment, and nothing is lost.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::hub::{Heard, Place};
use super::metrics::{FRAMES, LATENCY};
use super::protocol::{self, Closing, Frame, Said, Say};
use super::{Live, OpenError};
use crate::clock::Moment;
use crate::domain::{InboxEntry, InboxPlace, InboxWord, NotificationId, Timestamp, UserKey};
use crate::inbox::UNREAD_MAX;
use crate::links::Pass;
use crate::store::StoreError;
use crate::telemetry::Histogram;

/// Entries that are sent again at a connect; who has more is told to look.
const AGAIN_MAX: usize = 100;

/// And so many bytes of them at once.
const AGAIN_BYTES_MAX: usize = 256 << 10;

/// Entries that are remembered, so that none is sent twice.
const SENT_MAX: usize = 512;

/// Users that one connection may watch.
const WATCHED_MAX: usize = 200;

/// Soon after the connect it is looked once whether something passed by while others did not know yet where the user is.
const FIRST_LOOK: Duration = Duration::from_secs(1);

/// Then so often; words are heard at once, but may get lost.
const LOOK_INTERVAL: Duration = Duration::from_secs(30);

/// Frames that are wrong before a connection is ended.
const WRONG_MAX: u32 = 20;

/// What happens to a connection.
#[derive(Debug)]
pub struct Stir(Happened);

#[derive(Debug)]
enum Happened {
    Heard(Heard),
    Look,
    Expired,
}

/// One connection of a user.
pub struct Session {
    live: Arc<Live>,
    pass: Pass,
    place: Place,
    unread: usize,
    /// What was sent lately, oldest first, and where it stands; `None`: that was acknowledged.
    sent: FxHashMap<NotificationId, Option<InboxPlace>>,
    order: VecDeque<NotificationId>,
    /// When the unread were counted last.
    counted_at: Moment,
    frames: VecDeque<Frame>,
    look_at: Moment,
    opened_at: Timestamp,
    /// Messages that may be taken now, and since when they gather.
    budget: f64,
    budget_at: Moment,
    wrong: u32,
    latency: Histogram,
}

impl Session {
    /// Begins: the first frames say hello, and again what nobody has said they have.
    pub async fn open(live: Arc<Live>, pass: Pass) -> Result<Self, OpenError> {
        let user = UserKey { tenant: pass.tenant.clone(), user_id: pass.user_id.clone() };
        // Before the inbox is read: what comes meanwhile is heard.
        let place = live.parts.hub.join(user)?;
        let now = live.parts.clock.moment();
        let budget = f64::from(live.parts.settings.messages_per_second) * 2.0;
        let mut session = Self {
            pass,
            place,
            unread: 0,
            sent: FxHashMap::default(),
            order: VecDeque::new(),
            counted_at: now,
            frames: VecDeque::new(),
            look_at: now + FIRST_LOOK,
            opened_at: live.parts.clock.now(),
            budget,
            budget_at: now,
            wrong: 0,
            latency: LATENCY.with([]),
            live,
        };
        session.unread = session.live.parts.inbox.unread_count(&session.place.user).await?;
        session.hello();
        session.send_again().await?;
        Ok(session)
    }

    /// The next frame to be written, if there is one.
    pub fn frame(&mut self) -> Option<Frame> {
        let frame = self.frames.pop_front()?;
        FRAMES.with([frame.kind]).increment(1);
        Some(frame)
    }

    /// What happens next. May be given up while it waits.
    pub async fn wait(&mut self) -> Stir {
        let clock = &self.live.parts.clock;
        let look = clock.sleep(self.look_at.since(clock.moment()));
        let end = clock.sleep(self.pass.expires_at.since(clock.now()));
        tokio::select! {
            biased;
            () = end => Stir(Happened::Expired),
            heard = self.place.heard.recv() => Stir(heard.map_or(Happened::Look, Happened::Heard)),
            () = look => Stir(Happened::Look),
        }
    }

    /// Makes frames of what happened; or says why the connection is to be ended.
    pub async fn on(&mut self, stir: Stir) -> Result<(), Closing> {
        let made = match stir.0 {
            Happened::Expired => return Err(Closing::Expired),
            Happened::Heard(heard) => self.hear(heard).await,
            Happened::Look => self.look().await,
        };
        self.after(made).await;
        Ok(())
    }

    /// What the program says.
    pub async fn take(&mut self, text: &str) -> Result<(), Closing> {
        if !self.may_speak() {
            return Err(Closing::TooMuch);
        }
        let done = match protocol::read(text) {
            Ok(said) => self.obey(said).await,
            Err(wrong) => {
                self.wrong += 1;
                if self.wrong > WRONG_MAX {
                    return Err(Closing::TooMuch);
                }
                self.push(&Say::Error { code: wrong.code, detail: &wrong.detail });
                Ok(())
            }
        };
        if let Err(error) = done {
            tracing::warn!(%error, "what a connection asked for could not be done");
            self.push(&Say::Error { code: "unavailable", detail: "it could not be done now: say it again" });
        }
        Ok(())
    }

    fn push(&mut self, say: &Say<'_>) {
        self.frames.push_back(say.written());
    }

    fn hello(&mut self) {
        let say = Say::Hello {
            connection_id: format!("{:x}", self.place.id),
            user_id: &self.pass.user_id,
            unread_count: self.unread,
            heartbeat_seconds: self.live.parts.settings.heartbeat.as_secs(),
            expires_at: self.pass.expires_at.to_string(),
            server_time: self.live.parts.clock.now().to_string(),
        };
        self.frames.push_back(say.written());
    }

    /// A second's worth and one more at once.
    fn may_speak(&mut self) -> bool {
        let rate = f64::from(self.live.parts.settings.messages_per_second);
        let now = self.live.parts.clock.moment();
        self.budget = (self.budget + now.since(self.budget_at).as_secs_f64() * rate).min(rate * 2.0);
        self.budget_at = now;
        self.budget -= 1.0;
        self.budget >= 0.0
    }

    /// Where words passed it by, the program is told to look, and is sent what it has not said it has.
    async fn after(&mut self, made: Result<(), StoreError>) {
        let mut made = made;
        if self.place.missed.swap(false, Ordering::AcqRel) {
            self.push(&Say::Resync { reason: "too much came at once" });
            made = made.and(self.count_anew(true).await).and(self.send_again().await);
        }
        if let Err(error) = made {
            // What could not be read now is looked for again.
            tracing::warn!(%error, "the inbox of a connection cannot be read");
            self.look_at = self.live.parts.clock.moment() + FIRST_LOOK;
        }
    }

    async fn hear(&mut self, heard: Heard) -> Result<(), StoreError> {
        let word = match heard {
            Heard::Present(user_id, true) => {
                self.push(&Say::Online { user_id: &user_id });
                return Ok(());
            }
            Heard::Present(user_id, false) => {
                self.push(&Say::Offline { user_id: &user_id });
                return Ok(());
            }
            Heard::Word(word) => word,
        };
        match &*word {
            InboxWord::Came { entry, is_repeated } => {
                if self.sent.contains_key(&entry.place.notification()) {
                    return self.count_anew(false).await;
                }
                self.send(entry);
                // One that was counted just now may have been among those that were counted.
                let now = self.live.parts.clock.moment();
                if now.since(self.counted_at) < FIRST_LOOK {
                    self.look_at = self.look_at.min(now + FIRST_LOOK);
                }
                if *is_repeated {
                    return self.count_anew(false).await;
                }
                self.unread = (self.unread + 1).min(UNREAD_MAX);
                self.push(&Say::UnreadCount { unread_count: self.unread });
                Ok(())
            }
            InboxWord::Read { notifications, at } => {
                notifications.iter().for_each(|id| self.settle(*id));
                self.frames.push_back(protocol::read_ack(Some(notifications), *at));
                self.count_anew(true).await
            }
            InboxWord::ReadAll { at } => {
                self.frames.push_back(protocol::read_ack(None, *at));
                self.count_anew(true).await
            }
            InboxWord::Archived { notifications } => {
                notifications.iter().for_each(|id| self.settle(*id));
                self.push(&Say::Archived { ids: protocol::printed(notifications) });
                self.count_anew(false).await
            }
        }
    }

    fn send(&mut self, entry: &InboxEntry) {
        let id = entry.place.notification();
        self.latency.record(self.live.parts.clock.now().since(entry.place.at).as_secs_f64());
        self.frames.push_back(protocol::notification(entry));
        if self.sent.insert(id, Some(entry.place)).is_none() {
            self.order.push_back(id);
        }
        while self.order.len() > SENT_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.sent.remove(&oldest);
        }
    }

    /// It was acknowledged, and is not sent here again.
    fn settle(&mut self, id: NotificationId) {
        if let Some(place) = self.sent.get_mut(&id) {
            *place = None;
        }
    }

    /// Sends what no program of the user has said it has, as far as it was not sent here.
    async fn send_again(&mut self) -> Result<(), StoreError> {
        let known = |id| self.sent.contains_key(&id);
        let mut unacked = self.live.parts.inbox.unacked(&self.place.user, AGAIN_MAX + 1, known).await?;
        let (count, mut bytes) = (unacked.len(), 0);
        unacked.truncate(AGAIN_MAX);
        let fits = |entry: &InboxEntry| {
            bytes += entry.title.len() + entry.body.len() + entry.data.len() + entry.metadata.len();
            bytes <= AGAIN_BYTES_MAX
        };
        let again: Vec<InboxEntry> = unacked.into_iter().take_while(fits).collect();
        let is_more = again.len() < count;
        // The oldest first, as they came.
        again.iter().rev().for_each(|entry| self.send(entry));
        if is_more {
            self.push(&Say::Resync { reason: "more came while you were away than is sent again" });
        }
        Ok(())
    }

    async fn look(&mut self) -> Result<(), StoreError> {
        let now = self.live.parts.clock.moment();
        // Not all at once after a restart.
        let spread = Duration::from_millis(self.place.id % 64 * 100);
        self.look_at = now + LOOK_INTERVAL + spread;
        let inbox = self.live.parts.inbox.clone();
        let unread = inbox.unread(&self.place.user).await?;
        self.counted(unread.len(), false);
        self.send_again().await?;
        // Also what another program of the user has said it has, if its word did not come here.
        let since = self.opened_at - FIRST_LOOK;
        let is_missing = |place: &&InboxPlace| place.at >= since && !self.sent.contains_key(&place.notification());
        let missing: Vec<InboxPlace> = unread.iter().filter(is_missing).take(AGAIN_MAX).copied().collect();
        let entries = inbox.entries_at(&self.place.user, &missing).await?;
        entries.iter().rev().for_each(|entry| self.send(entry));
        Ok(())
    }

    /// `always`: it is said also where it is what it was.
    async fn count_anew(&mut self, always: bool) -> Result<(), StoreError> {
        let unread = self.live.parts.inbox.unread_count(&self.place.user).await?;
        self.counted(unread, always);
        Ok(())
    }

    fn counted(&mut self, unread: usize, always: bool) {
        self.counted_at = self.live.parts.clock.moment();
        if always || unread != self.unread {
            self.unread = unread;
            self.push(&Say::UnreadCount { unread_count: unread });
        }
    }

    async fn obey(&mut self, said: Said) -> Result<(), StoreError> {
        let inbox = self.live.parts.inbox.clone();
        match said {
            Said::Ping => {
                let now: Timestamp = self.live.parts.clock.now();
                self.push(&Say::Pong { server_time: now.to_string() });
            }
            Said::Ack(ids) => {
                let (mut places, mut others) = (Vec::new(), Vec::new());
                for id in ids {
                    match self.sent.get(&id) {
                        Some(Some(place)) => places.push(*place),
                        Some(None) => {}
                        None => others.push(id),
                    }
                }
                if !others.is_empty() {
                    places.extend(inbox.places(&self.place.user, &others).await?);
                }
                inbox.ack(&self.place.user, &places).await?;
                places.iter().for_each(|place| self.settle(place.notification()));
            }
            Said::Read(ids) => {
                if inbox.read(&self.place.user, &ids).await?.is_empty() {
                    self.push(&Say::Error { code: "not_found", detail: "none of these is in the inbox" });
                }
            }
            Said::ReadAll => {
                inbox.read_all(&self.place.user).await?;
            }
            Said::Subscribe(users) => self.watch(users).await,
        }
        Ok(())
    }

    /// Those whom the pass names; how they are now is said at once.
    async fn watch(&mut self, users: Vec<Box<str>>) {
        let (seen, hidden): (Vec<_>, Vec<_>) = users.into_iter().partition(|user| self.pass.may_see.may(user));
        if !hidden.is_empty() {
            let detail = "the token names not all of these users: whom it may see is said where it is made";
            self.push(&Say::Error { code: "forbidden", detail });
        }
        let seen = seen.into_iter().take(WATCHED_MAX);
        let seen: Vec<UserKey> = seen.map(|user_id| UserKey { tenant: self.pass.tenant.clone(), user_id }).collect();
        let online = self.live.online(&seen).await;
        let is_all = self.place.watch(seen.iter().cloned().zip(online.iter().copied()), WATCHED_MAX);
        for (user, is_online) in seen.iter().zip(online) {
            let user_id = &user.user_id;
            // Whoever is not known of is told of once they are.
            let Some(is_online) = is_online else { continue };
            self.push(&if is_online { Say::Online { user_id } } else { Say::Offline { user_id } });
        }
        if !is_all {
            let detail = "one connection watches at most 200 users: it hears nothing more of the others";
            self.push(&Say::Error { code: "too_many", detail });
        }
    }

    /// Its WebSocket said that it is there; whether it may have.
    pub fn pinged(&mut self) -> Result<(), Closing> {
        if self.may_speak() { Ok(()) } else { Err(Closing::TooMuch) }
    }
}
