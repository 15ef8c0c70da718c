//! Files that go with mails: fetched when the mail is sent, over the guarded client, within a size and a share of memory. Room is
//! taken for what the head of an answer says, before its body is read; for the largest file where it says nothing.
//!
//! What was fetched is kept for a moment: a file that goes to a thousand people is fetched once. A file that several messages want
//! at the same time is fetched once as well.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::guard::Guard;
use super::http::{BodyBound, BodyGate, HttpClient, HttpFailure};
use super::outcome::retry_after;
use super::tls::client_tls;
use crate::clock::{Moment, SharedClock};
use crate::config;
use crate::domain::{Attachment, AttachmentReference, Outcome, Whose};

/// How long a file is used again. Short: what stands behind the address may change.
const KEPT_FOR: Duration = Duration::from_secs(60);
/// Connections to one host that are kept.
const IDLE_MAX: usize = 8;
/// How long a mail waits for room; it holds a slot of its provider meanwhile, which others wait for.
const ROOM_WAIT_MAX: Duration = Duration::from_millis(250);
/// How long it waits elsewhere then.
const NO_ROOM_PAUSE: Duration = Duration::from_secs(5);
/// How often the files of a mail are in memory: as they came, and as text within the mail.
const COPIES: usize = 3;
/// What a mail has room for before it is known how large its files are.
const FIRST_BYTES: usize = 256 << 10;
/// What memory is counted in.
const UNIT: usize = 1 << 10;
/// Where neither the request nor the answer says what it is (RFC 2046, 4.5.1).
const UNKNOWN_TYPE: &str = "application/octet-stream";

/// Fetches attachments. One for each class: critical mails wait for nobody else's files.
pub struct Attachments {
    client: HttpClient,
    clock: SharedClock,
    /// The most that the files of one mail may have together.
    bytes_max: usize,
    timeout: Duration,
    /// Memory for the files of mails under way, in units.
    room: Arc<Semaphore>,
    room_max: usize,
    kept: Mutex<Kept>,
}

/// The files of a mail. They have their room until this is dropped.
#[derive(Debug, Default)]
pub struct Fetched {
    pub files: Vec<Attachment>,
    _room: Option<OwnedSemaphorePermit>,
}

/// A file as it was answered.
#[derive(Debug, Clone)]
struct File {
    content: Bytes,
    media_type: Option<Box<str>>,
}

type Answer = Result<File, Outcome>;

#[derive(Default)]
struct Kept {
    files: HashMap<Box<str>, (Moment, File)>,
    bytes: usize,
    /// Those that are being fetched, by address.
    fetching: HashMap<Box<str>, watch::Receiver<Option<Answer>>>,
}

impl Attachments {
    pub fn new(settings: &config::Attachments, guard: Guard, clock: SharedClock) -> Result<Self, String> {
        let bytes_max = settings.max_size.as_usize();
        let client = HttpClient::new(guard, clock.clone(), client_tls(None, None, &[])?, IDLE_MAX);
        // Half for what is under way, half for what is kept.
        let room_max = units(settings.memory.as_usize() / 2).max(units(bytes_max * COPIES));
        Ok(Self {
            client,
            clock,
            bytes_max,
            timeout: settings.timeout,
            room: Arc::new(Semaphore::new(room_max)),
            room_max,
            kept: Mutex::default(),
        })
    }

    /// The files of one mail, in their order; or why it cannot be sent, or not now. Takes at most `attachments.timeout`
    /// and a moment.
    pub async fn fetch(&self, references: &[AttachmentReference]) -> Result<Fetched, Outcome> {
        if references.is_empty() {
            return Ok(Fetched::default());
        }
        let room = Reservation::default();
        self.grow(&room, FIRST_BYTES.min(self.bytes_max)).await?;
        let files = match tokio::time::timeout(self.timeout, self.one_by_one(references, &room)).await {
            Ok(files) => files?,
            Err(_) => return Err(transient(format!("an attachment took longer than {:?}", self.timeout))),
        };
        let size: usize = files.iter().map(|file| file.content.len()).sum();
        Ok(Fetched { files, _room: room.cut_to(self.units_of(size)) })
    }

    /// Never more than one beyond what a mail may have.
    async fn one_by_one(
        &self,
        references: &[AttachmentReference],
        room: &Reservation,
    ) -> Result<Vec<Attachment>, Outcome> {
        let (mut files, mut size) = (Vec::with_capacity(references.len()), 0);
        for reference in references {
            let file = self.file(reference, size, room).await?;
            size += file.content.len();
            if size > self.bytes_max {
                return Err(self.too_large());
            }
            // Nothing more, unless somebody else fetched it.
            self.grow(room, size).await?;
            files.push(attachment(reference, file));
        }
        Ok(files)
    }

    /// Sees that there is room for so many bytes of files.
    async fn grow(&self, room: &Reservation, size: usize) -> Result<(), Outcome> {
        let missing = self.units_of(size).saturating_sub(room.units());
        if missing == 0 {
            return Ok(());
        }
        let wanted = u32::try_from(missing).unwrap_or(u32::MAX);
        match tokio::time::timeout(ROOM_WAIT_MAX, self.room.clone().acquire_many_owned(wanted)).await {
            Ok(Ok(more)) => {
                room.add(more);
                Ok(())
            }
            _ => Err(no_room()),
        }
    }

    /// What so many bytes of files take; no mail takes more than there is.
    fn units_of(&self, size: usize) -> usize {
        units(size * COPIES).min(self.room_max)
    }

    /// `before`: the bytes of the mail's files before this one.
    async fn file(&self, reference: &AttachmentReference, before: usize, room: &Reservation) -> Answer {
        let answers = match self.ask(&reference.url) {
            Asked::Known(file) => return Ok(file),
            Asked::Waiting(mut answered) => {
                return match answered.wait_for(Option::is_some).await {
                    Ok(answer) => answer.clone().unwrap_or_else(|| Err(given_up())),
                    Err(_) => Err(given_up()),
                };
            }
            Asked::First(answers) => answers,
        };
        let _end = Fetching { kept: &self.kept, url: &reference.url };
        let answer = self.get(&reference.url, before, room).await;
        if let Ok(file) = &answer {
            self.keep(&reference.url, file.clone());
        }
        answers.send_replace(Some(answer.clone()));
        answer
    }

    fn ask(&self, url: &str) -> Asked {
        let mut kept = lock(&self.kept);
        let now = self.clock.moment();
        if let Some((at, file)) = kept.files.get(url)
            && now.since(*at) < KEPT_FOR
        {
            return Asked::Known(file.clone());
        }
        if let Some(answered) = kept.fetching.get(url) {
            return Asked::Waiting(answered.clone());
        }
        let (answers, answered) = watch::channel(None);
        kept.fetching.insert(url.into(), answered);
        Asked::First(answers)
    }

    fn keep(&self, url: &str, file: File) {
        let now = self.clock.moment();
        let mut kept = lock(&self.kept);
        kept.forget(|at| now.since(at) >= KEPT_FOR);
        if kept.bytes + file.content.len() > self.room_max * UNIT {
            kept.forget(|_| true);
        }
        kept.bytes += file.content.len();
        if let Some((_, before)) = kept.files.insert(url.into(), (now, file)) {
            kept.bytes -= before.content.len();
        }
    }

    async fn get(&self, url: &str, before: usize, room: &Reservation) -> Answer {
        let gate = RoomGate { attachments: self, room, before, is_full: AtomicBool::new(false) };
        let mut headers = HeaderMap::with_capacity(1);
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        let answer = match self.client.target(url) {
            Ok(target) => self.client.get(&target, headers, &gate).await,
            Err(failure) => Err(failure),
        };
        let answer = answer.map_err(|failure| match failure {
            HttpFailure::Refused(reason) => refused(format!("an attachment cannot be fetched: {reason}")),
            // Nothing was changed by asking: it is asked again.
            HttpFailure::Unreachable(reason) | HttpFailure::InDoubt(reason) => {
                transient(format!("an attachment cannot be fetched: {reason}"))
            }
        })?;
        match answer.status {
            StatusCode::OK if gate.is_full.load(Ordering::Relaxed) => Err(no_room()),
            StatusCode::OK if !answer.is_whole => Err(self.too_large()),
            StatusCode::OK => {
                let media_type = answer.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
                Ok(File { content: answer.body, media_type: media_type.and_then(without_parameters).map(Into::into) })
            }
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => Err(Outcome::Transient {
                reason: format!("the address of an attachment answered {}", answer.status.as_u16()).into(),
                retry_after: retry_after(&answer.headers, self.clock.now()),
                unreachable: false,
            }),
            status if status.is_server_error() => {
                Err(transient(format!("the address of an attachment answered {}", status.as_u16())))
            }
            status => Err(refused(format!("the address of an attachment answered {}", status.as_u16()))),
        }
    }

    fn too_large(&self) -> Outcome {
        let bytes = self.bytes_max;
        refused(format!("the attachments are larger than {bytes} bytes, or take too long (`attachments.max_size`)"))
    }
}

impl Kept {
    fn forget(&mut self, is_old: impl Fn(Moment) -> bool) {
        self.files.retain(|_, (at, _)| !is_old(*at));
        self.bytes = self.files.values().map(|(_, file)| file.content.len()).sum();
    }
}

/// The memory that a mail has for its files. Given back when it is dropped.
#[derive(Default)]
struct Reservation(Mutex<Option<OwnedSemaphorePermit>>);

impl Reservation {
    fn units(&self) -> usize {
        self.held().as_ref().map_or(0, OwnedSemaphorePermit::num_permits)
    }

    fn add(&self, more: OwnedSemaphorePermit) {
        let mut held = self.held();
        match &mut *held {
            Some(held) => held.merge(more),
            None => *held = Some(more),
        }
    }

    /// Gives back what is not needed.
    fn cut_to(self, units: usize) -> Option<OwnedSemaphorePermit> {
        let mut held = self.held().take()?;
        let needed = units.min(held.num_permits());
        held.split(needed)
    }

    fn held(&self) -> MutexGuard<'_, Option<OwnedSemaphorePermit>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads a file when the mail that asked for it has room for it.
struct RoomGate<'a> {
    attachments: &'a Attachments,
    room: &'a Reservation,
    before: usize,
    /// There was none.
    is_full: AtomicBool,
}

impl BodyGate for RoomGate<'_> {
    async fn admit(&self, size: Option<u64>) -> BodyBound {
        let Attachments { bytes_max, timeout, .. } = *self.attachments;
        let nothing = BodyBound { bytes: 0, wait: Duration::ZERO };
        let size = size.map_or(bytes_max, |size| usize::try_from(size).unwrap_or(usize::MAX));
        if size > bytes_max {
            return nothing;
        }
        if self.attachments.grow(self.room, self.before + size).await.is_err() {
            self.is_full.store(true, Ordering::Relaxed);
            return nothing;
        }
        BodyBound { bytes: bytes_max, wait: timeout }
    }
}

enum Asked {
    Known(File),
    Waiting(watch::Receiver<Option<Answer>>),
    First(watch::Sender<Option<Answer>>),
}

/// Whoever fetches, however it ends, leaves the address free for the next.
struct Fetching<'a> {
    kept: &'a Mutex<Kept>,
    url: &'a str,
}

impl Drop for Fetching<'_> {
    fn drop(&mut self) {
        lock(self.kept).fetching.remove(self.url);
    }
}

fn attachment(reference: &AttachmentReference, file: File) -> Attachment {
    let media_type = reference.media_type.clone().or(file.media_type);
    Attachment {
        name: reference.name.clone(),
        media_type: media_type.unwrap_or_else(|| UNKNOWN_TYPE.into()),
        content: file.content,
    }
}

/// The type of `type/subtype; parameters`, where it can stand in a mail's header.
fn without_parameters(text: &str) -> Option<&str> {
    let name = text.split(';').next()?.trim();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/!#$&-^_.+".contains(&byte);
    (name.len() < 128 && name.split('/').count() == 2 && name.bytes().all(is_plain)).then_some(name)
}

fn units(bytes: usize) -> usize {
    bytes.div_ceil(UNIT).max(1)
}

fn no_room() -> Outcome {
    Outcome::Throttled {
        reason: "other mails' attachments take all memory there is for them (`attachments.memory`)".into(),
        retry_after: Some(NO_ROOM_PAUSE),
        whose: Whose::Recipient,
    }
}

fn given_up() -> Outcome {
    transient("whoever fetched the same attachment gave up".to_owned())
}

fn refused(reason: String) -> Outcome {
    Outcome::BadRequest { reason: reason.into() }
}

fn transient(reason: String) -> Outcome {
    Outcome::Transient { reason: reason.into(), retry_after: None, unreachable: false }
}

fn lock(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
