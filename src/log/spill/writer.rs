//! The writing side: one writer for each lane of the process's slot, whose appends go one after the other.
//!
//! An append begins only when everything below is durable. So a reader that finds no gap has seen whatever was acknowledged, and
//! a write that failed is made good before the next: its offsets, which perhaps have records and perhaps will, are written over
//! with nothing. Who waits while one append is under way goes with the next.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, select};
use tokio::sync::{OnceCell, oneshot};

use super::{Parts, SPILLED};
use crate::clock::Moment;
use crate::domain::{Position, Priority, ShardId};
use crate::log::{LogError, NewRecord};
use crate::store::StoreError;
use crate::telemetry::Counter;

/// Records of a lane that wait for their write; above it callers are told to slow down.
const WAITING_MAX: usize = 20_000;

/// Records and bytes in one write, unless one call has more.
const RECORDS_AT_ONCE: usize = 1024;
const BYTES_AT_ONCE: usize = 1 << 20;

/// The longest that one write may take: callers of the API wait for it.
const WRITE_WAIT: Duration = Duration::from_secs(5);

/// A store that failed is left alone for this long, so that not every request waits.
const SILENCE: Duration = Duration::from_secs(2);

pub(super) struct Writer {
    parts: Arc<Parts>,
    slot: OnceCell<u16>,
    lanes: [Lane; Priority::ALL.len()],
    /// The moment until which the store is not tried, in milliseconds.
    silent_until: AtomicU64,
}

struct Lane {
    state: Mutex<LaneState>,
    spilled: Counter,
}

#[derive(Default)]
struct LaneState {
    waiting: VecDeque<Waiting>,
    /// Records that wait.
    records: usize,
    /// Somebody writes, and will take what waits.
    is_writing: bool,
    /// The rest is the writer's.
    is_open: bool,
    next: u64,
    /// A write of these offsets failed, or was not ended.
    unsealed: Option<Range<u64>>,
}

struct Waiting {
    bodies: Vec<Bytes>,
    /// Gets the first offset.
    answer: oneshot::Sender<Result<Position, String>>,
}

impl Writer {
    pub(super) fn new(parts: Arc<Parts>) -> Arc<Self> {
        let lanes = Priority::ALL.map(|lane| Lane { state: Mutex::default(), spilled: SPILLED.with([lane.name()]) });
        Arc::new(Self { parts, slot: OnceCell::new(), lanes, silent_until: AtomicU64::new(0) })
    }

    /// Whether an append would be tried now.
    pub(super) fn writable(&self) -> Result<(), LogError> {
        let until = Moment(Duration::from_millis(self.silent_until.load(Ordering::Relaxed)));
        if self.parts.clock.moment() < until {
            return Err(LogError::Failed("the store does not take what the log cannot".to_owned()));
        }
        Ok(())
    }

    /// Appends all records; durable on return.
    pub(super) async fn append(self: &Arc<Self>, records: Vec<NewRecord>) -> Result<Vec<Position>, LogError> {
        self.writable()?;
        let mut by_lane: [Vec<Bytes>; Priority::ALL.len()] = Default::default();
        let lanes: Vec<Priority> = records.iter().map(|record| record.lane).collect();
        for record in records {
            by_lane[record.lane.index()].push(record.body);
        }
        let mut answers = Vec::new();
        for (lane, bodies) in Priority::ALL.into_iter().zip(by_lane).filter(|(_, bodies)| !bodies.is_empty()) {
            answers.push((lane, self.push(lane, bodies)?));
        }
        let mut firsts = [None; Priority::ALL.len()];
        for (lane, answer) in answers {
            let interrupted = |_| LogError::Failed("writing the spill was interrupted".to_owned());
            firsts[lane.index()] = Some(answer.await.map_err(interrupted)?.map_err(LogError::Failed)?);
        }
        let mut next = |lane: Priority| {
            let position = firsts[lane.index()].as_mut().expect("every lane with a record was written");
            let own = *position;
            position.offset += 1;
            own
        };
        Ok(lanes.into_iter().map(&mut next).collect())
    }

    fn push(
        self: &Arc<Self>,
        lane: Priority,
        bodies: Vec<Bytes>,
    ) -> Result<oneshot::Receiver<Result<Position, String>>, LogError> {
        let mut state = self.lanes[lane.index()].state();
        if state.records > 0 && state.records + bodies.len() > WAITING_MAX {
            return Err(LogError::Busy);
        }
        let (answer, answered) = oneshot::channel();
        state.records += bodies.len();
        state.waiting.push_back(Waiting { bodies, answer });
        if !std::mem::replace(&mut state.is_writing, true) {
            let writer = self.clone();
            // Not by the caller, who may go away while others wait.
            tokio::spawn(async move { writer.write_all(lane).await });
        }
        Ok(answered)
    }

    /// Writes what waits, until nothing does.
    async fn write_all(&self, lane: Priority) {
        let _ends = Ends(&self.lanes[lane.index()]);
        while let Some(calls) = self.lanes[lane.index()].take() {
            let bodies: Vec<Bytes> = calls.iter().flat_map(|call| call.bodies.iter().cloned()).collect();
            let writing = std::pin::pin!(self.write(lane, &bodies));
            let outcome = match select(writing, self.parts.clock.sleep(WRITE_WAIT)).await {
                Either::Left((outcome, _)) => outcome.map_err(|error| error.to_string()),
                Either::Right(_) => Err(format!("the store did not take it within {WRITE_WAIT:?}")),
            };
            match outcome {
                Ok(first) => {
                    self.lanes[lane.index()].spilled.increment(bodies.len() as u64);
                    answer(calls, first);
                }
                Err(reason) => {
                    tracing::error!(reason, %lane, "cannot write the spill: requests are refused");
                    let until = self.parts.clock.moment() + SILENCE;
                    self.silent_until.store(until.0.as_millis() as u64, Ordering::Relaxed);
                    let waiting = self.lanes[lane.index()].take_everything();
                    for call in calls.into_iter().chain(waiting) {
                        let _ = call.answer.send(Err(reason.clone()));
                    }
                }
            }
        }
    }

    /// Returns where the first of them stands. May be dropped at any point: what it has not ended is sealed by the next.
    async fn write(&self, lane: Priority, bodies: &[Bytes]) -> Result<Position, StoreError> {
        let (rows, own) = (&self.parts.rows, &self.lanes[lane.index()]);
        let slot = *self.slot.get_or_try_init(|| rows.take_slot(&self.parts.process)).await?;
        let shard = ShardId { generation: ShardId::SPILL, lane, partition: slot };
        let (is_open, unsealed, first) = {
            let state = own.state();
            (state.is_open, state.unsealed.clone(), state.next)
        };
        if !is_open {
            rows.open_spill(shard).await?;
            own.state().is_open = true;
        }
        if let Some(range) = unsealed {
            let nothing = vec![Bytes::new(); (range.end - range.start) as usize];
            rows.append_spill(shard, range.start, &nothing).await?;
            own.state().unsealed = None;
        }
        let next = first + bodies.len() as u64;
        {
            let mut state = own.state();
            state.next = next;
            state.unsealed = Some(first..next);
        }
        rows.append_spill(shard, first, bodies).await?;
        own.state().unsealed = None;
        self.parts.raise_end(shard, next);
        Ok(Position::new(shard, first))
    }
}

fn answer(calls: Vec<Waiting>, mut first: Position) {
    for call in calls {
        let records = call.bodies.len() as u64;
        // Who went away does not want to know.
        let _ = call.answer.send(Ok(first));
        first.offset += records;
    }
}

impl Lane {
    /// The calls of the next write; `None`: nothing waits, and the writer ends.
    fn take(&self) -> Option<Vec<Waiting>> {
        let mut state = self.state();
        let (mut calls, mut records, mut bytes) = (Vec::new(), 0, 0);
        while let Some(call) = state.waiting.front()
            && (calls.is_empty() || (records + call.bodies.len() <= RECORDS_AT_ONCE && bytes < BYTES_AT_ONCE))
        {
            records += call.bodies.len();
            bytes += call.bodies.iter().map(Bytes::len).sum::<usize>();
            calls.extend(state.waiting.pop_front());
        }
        state.records -= records;
        state.is_writing = !calls.is_empty();
        (!calls.is_empty()).then_some(calls)
    }

    fn take_everything(&self) -> VecDeque<Waiting> {
        let mut state = self.state();
        state.records = 0;
        std::mem::take(&mut state.waiting)
    }

    fn state(&self) -> MutexGuard<'_, LaneState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A writer that panics leaves its place to another, and those who wait are told by the end of their channels.
struct Ends<'a>(&'a Lane);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            drop(self.0.take_everything());
            self.0.state().is_writing = false;
        }
    }
}
