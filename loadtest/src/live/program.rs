//! One program of a user: connects, notes what comes, acknowledges it, and connects again when it is thrown out.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use tokio::time::sleep_until;
use tokio_tungstenite::tungstenite::Message;

use super::door::{Doors, Socket};
use super::frames::{self, Frame};
use super::people::People;
use super::tally::{Arrival, Tally};
use crate::ids::ShortId;
use crate::random::Dice;

/// What came is acknowledged so long after the first of it, all together.
const ACK_AFTER: Duration = Duration::from_millis(200);

/// Acknowledged in one frame at most.
const ACK_MAX: usize = 500;

/// After a connection that did not come about: at least so long, and at most twice that.
const TRY_AGAIN: Duration = Duration::from_millis(250);

/// What all programs share.
pub(super) struct Crowd {
    pub(super) people: People,
    pub(super) doors: Doors,
    pub(super) began: Instant,
    pub(super) tally: Mutex<Tally>,
    /// Connections that have been said hello to.
    pub(super) connected: AtomicU64,
    /// How often a program that had been thrown out was said hello to again.
    pub(super) again: AtomicU64,
    /// Those who leave do not come again once this is set.
    pub(super) killed: AtomicBool,
    /// Connections that ended other than by a kill.
    pub(super) dropped: AtomicU64,
    pub(super) resyncs: AtomicU64,
    /// Frames that say that something is wrong, or cannot be read.
    pub(super) wrong: AtomicU64,
    /// Connects that did not come about; the first reason.
    pub(super) failed: AtomicU64,
    pub(super) first_error: Mutex<Option<String>>,
    pub(super) dice: Dice,
    /// The longest that a program waits before it connects again.
    pub(super) jitter: Duration,
    /// The share of messages that are read too.
    pub(super) read_share: f64,
}

impl Crowd {
    /// Whole after every statement, so a panic elsewhere does not spoil it.
    pub(super) fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now_us(&self) -> u64 {
        self.began.elapsed().as_micros() as u64
    }

    fn note_failure(&self, error: &anyhow::Error) {
        self.failed.fetch_add(1, Relaxed);
        let mut first = self.first_error.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert_with(|| format!("{error:#}"));
    }
}

/// Runs until it is told to stop, or leaves for good. `token` is for the first connect.
pub(super) async fn run(crowd: Arc<Crowd>, connection: u32, token: String) {
    let (people, mut token) = (crowd.people, Some(token));
    let user = people.user_of(connection);
    let (mut node, mut connect, mut lost_us) = (people.node_of(connection), 0, 0);
    loop {
        match crowd.doors.open(node, user, token.take()).await {
            Ok(socket) => {
                let place = Arrival { user, slot: people.slot_of(connection), node: node as u8, connect, at_us: 0 };
                if Program::new(&crowd, place, lost_us).serve(socket).await {
                    lost_us = crowd.now_us();
                }
                let is_killed = crowd.killed.load(Relaxed) && node == people.victim && connect == 0;
                if is_killed && people.leaves(user) {
                    return;
                }
                crowd.dropped.fetch_add(u64::from(!is_killed), Relaxed);
                connect += 1;
                tokio::time::sleep(crowd.jitter.mul_f64(crowd.dice.share())).await;
            }
            Err(error) => {
                crowd.note_failure(&error);
                tokio::time::sleep(TRY_AGAIN.mul_f64(1.0 + crowd.dice.share())).await;
            }
        }
        // Whoever was thrown out tries the others first; the first connect is to the node that is said.
        if connect > 0 {
            node = (node + 1) % people.nodes;
        }
    }
}

struct Program<'a> {
    crowd: &'a Crowd,
    place: Arrival,
    greeted: bool,
    /// When it was thrown out before, where it was.
    lost_us: u64,
    /// To be acknowledged, and of these to be read.
    came: Vec<ShortId>,
    read: Vec<ShortId>,
}

impl Drop for Program<'_> {
    fn drop(&mut self) {
        if self.greeted {
            self.crowd.connected.fetch_sub(1, Relaxed);
        }
    }
}

impl<'a> Program<'a> {
    fn new(crowd: &'a Crowd, place: Arrival, lost_us: u64) -> Self {
        Self { crowd, place, greeted: false, lost_us, came: Vec::new(), read: Vec::new() }
    }

    /// Until the connection ends; whether it had been said hello to.
    async fn serve(mut self, socket: Socket) -> bool {
        self.talk(socket).await;
        self.greeted
    }

    async fn talk(&mut self, mut socket: Socket) {
        let mut ack_at = None;
        loop {
            let ack = async {
                match ack_at {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                message = socket.next() => match message {
                    Some(Ok(Message::Text(text))) => {
                        self.hear(&text);
                        if ack_at.is_none() && !self.came.is_empty() {
                            ack_at = Some(tokio::time::Instant::now() + ACK_AFTER);
                        }
                    }
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                    Some(Ok(_)) => {}
                },
                () = ack => {
                    ack_at = None;
                    if self.answer(&mut socket).await.is_none() {
                        return;
                    }
                }
            }
        }
    }

    fn hear(&mut self, text: &str) {
        match frames::read(text) {
            Frame::Hello => {
                self.greeted = true;
                self.crowd.connected.fetch_add(1, Relaxed);
                if self.place.connect > 0 {
                    self.crowd.again.fetch_add(1, Relaxed);
                    let time = self.lost_us..self.crowd.now_us();
                    self.crowd.tally().was_away(self.place.user, self.place.slot, time);
                }
            }
            Frame::Notification { id, number } => {
                let arrival = Arrival { at_us: self.crowd.now_us(), ..self.place };
                self.crowd.tally().came(number, id, arrival);
                self.came.push(id);
                if self.crowd.dice.share() < self.crowd.read_share {
                    self.read.push(id);
                }
            }
            Frame::Resync => _ = self.crowd.resyncs.fetch_add(1, Relaxed),
            Frame::Error | Frame::Illegible => _ = self.crowd.wrong.fetch_add(1, Relaxed),
            Frame::Other => {}
        }
    }

    /// `None`: the connection has ended.
    async fn answer(&mut self, socket: &mut Socket) -> Option<()> {
        for ids in std::mem::take(&mut self.came).chunks(ACK_MAX) {
            socket.send(Message::text(frames::ack(ids))).await.ok()?;
        }
        for ids in std::mem::take(&mut self.read).chunks(ACK_MAX) {
            socket.send(Message::text(frames::seen(ids))).await.ok()?;
        }
        Some(())
    }
}
