//! Keeps the times of receipts and posts them. One task holds what is not due yet; a few connections post. Both are bounded: what finds no
//! room is dropped and counted.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use hyper::header::HOST;
use tokio::sync::Mutex;
use tokio::sync::mpsc::{self, Receiver, Sender, WeakSender};

use super::letter::{Keys, Letter};
use super::{Counts, Event};
use crate::http_client::{Client, Server, Url};
use crate::mock::kinds::Kind;

/// The most receipts that wait for their time.
const HELD_MAX: usize = 1_000_000;

/// Receipts in one letter, of the providers that batch them.
const BATCH_MAX: usize = 100;

/// Connections that post.
const POSTERS: usize = 4;

/// How often a receipt is posted until it succeeds, and how long in between. Real providers try for days.
const TRIES_MAX: u8 = 10;
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Everything that the posting connections share.
struct Office {
    url: Url,
    keys: Keys,
    counts: Arc<Counts>,
    letters: Mutex<Receiver<Vec<Event>>>,
    /// Back to the one who keeps the times; weak, so that the queue ends with those who plan.
    again: WeakSender<Event>,
}

/// Runs until the senders of `events` are gone.
pub(super) fn start(url: &Url, keys: Keys, events: Receiver<Event>, again: &Sender<Event>, counts: &Arc<Counts>) {
    let (outbox, letters) = mpsc::channel(POSTERS);
    let office = Arc::new(Office {
        url: url.clone(),
        keys,
        counts: Arc::clone(counts),
        letters: Mutex::new(letters),
        again: again.downgrade(),
    });
    tokio::spawn(keep_times(events, outbox));
    for _ in 0..POSTERS {
        tokio::spawn(post(Arc::clone(&office)));
    }
}

/// An event in the order of its time.
struct Held(Event, u64);

impl Held {
    fn order(&self) -> (Instant, u64) {
        (self.0.due, self.1)
    }
}

impl PartialEq for Held {
    fn eq(&self, other: &Self) -> bool {
        self.order() == other.order()
    }
}

impl Eq for Held {}

impl PartialOrd for Held {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Held {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.order().cmp(&other.order())
    }
}

async fn keep_times(mut events: Receiver<Event>, outbox: Sender<Vec<Event>>) {
    let mut held: BinaryHeap<Reverse<Held>> = BinaryHeap::new();
    let mut number = 0;
    loop {
        let due = held.peek().map(|Reverse(first)| first.0.due);
        let is_due = async {
            match due {
                Some(due) => tokio::time::sleep_until(due.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            event = events.recv(), if held.len() < HELD_MAX => match event {
                Some(event) => {
                    number += 1;
                    held.push(Reverse(Held(event, number)));
                }
                None => return,
            },
            () = is_due => {
                for letter in due_letters(&mut held, Instant::now()) {
                    if outbox.send(letter).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}

/// What is due, put together as its providers put it.
fn due_letters(held: &mut BinaryHeap<Reverse<Held>>, now: Instant) -> Vec<Vec<Event>> {
    let mut letters: Vec<Vec<Event>> = Vec::new();
    while letters.len() < BATCH_MAX && held.peek().is_some_and(|Reverse(first)| first.0.due <= now) {
        let Some(Reverse(Held(event, _))) = held.pop() else { break };
        let is_batched = matches!(event.kind, Kind::Sendgrid | Kind::AliyunSms);
        let open = letters.iter_mut().find(|letter| {
            is_batched && letter.len() < BATCH_MAX && letter.first().is_some_and(|first| first.kind == event.kind)
        });
        match open {
            Some(letter) => letter.push(event),
            None => letters.push(vec![event]),
        }
    }
    letters
}

async fn post(office: Arc<Office>) {
    let Ok(server) = Server::new(&office.url, None) else { return };
    let mut client = Client::new(&server);
    loop {
        let Some(events) = office.letters.lock().await.recv().await else { return };
        let letter = office.keys.letter(&events).and_then(|letter| request(&office.url, letter));
        let Ok(letter) = letter else {
            office.counts.dropped.fetch_add(events.len() as u64, Relaxed);
            continue;
        };
        office.counts.posted.fetch_add(events.len() as u64, Relaxed);
        let is_taken = match client.call(letter).await {
            Ok(answer) => {
                let hundred = usize::from(answer.status.as_u16() / 100).min(5);
                office.counts.answered[hundred].fetch_add(events.len() as u64, Relaxed);
                answer.status.is_success()
            }
            Err(_) => {
                office.counts.unanswered.fetch_add(events.len() as u64, Relaxed);
                false
            }
        };
        if !is_taken {
            events.into_iter().for_each(|event| office.try_again(event));
        }
    }
}

impl Office {
    fn try_again(&self, mut event: Event) {
        event.tries += 1;
        event.due = Instant::now() + RETRY_AFTER;
        let queue = self.again.upgrade().filter(|_| event.tries < TRIES_MAX);
        match queue.is_some_and(|queue| queue.try_send(event).is_ok()) {
            true => self.counts.repeated.fetch_add(1, Relaxed),
            false => self.counts.dropped.fetch_add(1, Relaxed),
        };
    }
}

fn request(url: &Url, letter: Letter) -> Result<Request<Full<Bytes>>> {
    let mut request = Request::post(&letter.path).header(HOST, &url.authority);
    for (name, value) in &letter.headers {
        request = request.header(*name, value);
    }
    Ok(request.body(Full::new(letter.body.into()))?)
}
