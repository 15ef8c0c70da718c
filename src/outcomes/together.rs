//! Work that many callers ask for at the same time, done for several of them at once: one read and one write for all that wait.
//!
//! In: items, each with what does the work. Out: each caller's own answer. Promise: who has a turn takes all that wait; who comes alone
//! never waits; a caller that goes away takes nobody's item with it but those it was working on, whose callers are told to ask again.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::{Semaphore, oneshot};

/// Items that wait, and who works on them.
pub struct Together<T, A> {
    waiting: Mutex<VecDeque<(T, oneshot::Sender<A>)>>,
    turns: Semaphore,
    group_max: usize,
    waiting_max: usize,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoAnswer {
    /// As many wait as may.
    Full,
    /// Whoever worked on it went away. It may be done or not.
    Lost,
}

impl<T, A> Together<T, A> {
    /// `turns`: how many groups may be under way at once; `group_max`: items of a group; `waiting_max`: items that may wait.
    pub fn new(turns: usize, group_max: usize, waiting_max: usize) -> Self {
        Self {
            waiting: Mutex::default(),
            turns: Semaphore::new(turns.max(1)),
            group_max: group_max.max(1),
            waiting_max,
        }
    }

    /// Has an item worked on. `work` gives an answer for each item, in their order.
    pub async fn ask<F>(&self, item: T, work: impl Fn(Vec<T>) -> F) -> Result<A, NoAnswer>
    where
        F: Future<Output = Vec<A>>,
    {
        let (answer, mut answered) = oneshot::channel();
        {
            let mut waiting = self.waiting();
            if waiting.len() >= self.waiting_max {
                return Err(NoAnswer::Full);
            }
            waiting.push_back((item, answer));
        }
        tokio::select! {
            biased;
            answered = &mut answered => return answered.map_err(|_| NoAnswer::Lost),
            turn = self.turns.acquire() => {
                let _turn = turn.map_err(|_| NoAnswer::Lost)?;
                loop {
                    match answered.try_recv() {
                        Ok(answer) => return Ok(answer),
                        Err(TryRecvError::Closed) => return Err(NoAnswer::Lost),
                        Err(TryRecvError::Empty) => {}
                    }
                    // Nothing waits: another turn has this item in hand.
                    if !self.work_once(&work).await {
                        break;
                    }
                }
            }
        }
        answered.await.map_err(|_| NoAnswer::Lost)
    }

    /// Whether there was anything to do.
    async fn work_once<F>(&self, work: &impl Fn(Vec<T>) -> F) -> bool
    where
        F: Future<Output = Vec<A>>,
    {
        let group: Vec<_> = {
            let mut waiting = self.waiting();
            let count = waiting.len().min(self.group_max);
            waiting.drain(..count).collect()
        };
        if group.is_empty() {
            return false;
        }
        let (items, callers): (Vec<_>, Vec<_>) = group.into_iter().unzip();
        for (caller, answer) in callers.into_iter().zip(work(items).await) {
            // Who asked may have gone.
            let _ = caller.send(answer);
        }
        true
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<(T, oneshot::Sender<A>)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::FutureExt;
    use futures_util::future::join_all;
    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn what_waits_is_done_in_one_go_and_each_has_its_own_answer() {
        let (together, calls) = (Together::new(1, 100, 1_000), AtomicUsize::new(0));
        let work = |items: Vec<u32>| {
            calls.fetch_add(1, Ordering::SeqCst);
            async move {
                tokio::task::yield_now().await;
                items.into_iter().map(|item| item * 2).collect()
            }
        };
        let answers = join_all((0..50).map(|item| together.ask(item, work))).await;
        assert_eq!(answers, (0..50).map(|item| Ok(item * 2)).collect::<Vec<_>>());
        assert!(calls.load(Ordering::SeqCst) <= 3, "{calls:?}");
    }

    #[tokio::test]
    async fn who_goes_away_takes_nobodys_item_along_that_still_waits() {
        let together: Together<u32, u32> = Together::new(1, 1, 10);
        let mut gone = Box::pin(together.ask(1, |_| pending::<Vec<u32>>()));
        assert!(gone.as_mut().now_or_never().is_none());
        let mut next = Box::pin(together.ask(2, |items: Vec<u32>| async move { items }));
        assert!(next.as_mut().now_or_never().is_none());
        drop(gone);
        assert_eq!(next.await, Ok(2));
    }

    #[tokio::test]
    async fn whose_item_was_in_the_hands_of_who_went_away_is_told_to_ask_again() {
        let together: Together<u32, u32> = Together::new(1, 10, 10);
        let never = |_: Vec<u32>| pending::<Vec<u32>>();
        let entered = Notify::new();
        let held = |items: Vec<u32>| async {
            entered.notified().await;
            items
        };
        let mut first = Box::pin(together.ask(1, held));
        assert!(first.as_mut().now_or_never().is_none());
        let (mut second, mut third) = (Box::pin(together.ask(2, never)), Box::pin(together.ask(3, never)));
        assert!(second.as_mut().now_or_never().is_none() && third.as_mut().now_or_never().is_none());
        entered.notify_one();
        assert_eq!(first.await, Ok(1));
        // It has the turn now, and both items.
        assert!(second.as_mut().now_or_never().is_none());
        drop(second);
        assert_eq!(third.await, Err(NoAnswer::Lost));
    }

    #[tokio::test]
    async fn no_more_wait_than_may() {
        let together: Together<u32, u32> = Together::new(1, 1, 1);
        let mut busy = Box::pin(together.ask(1, |_| pending::<Vec<u32>>()));
        assert!(busy.as_mut().now_or_never().is_none());
        let mut waits = Box::pin(together.ask(2, |items: Vec<u32>| async move { items }));
        assert!(waits.as_mut().now_or_never().is_none());
        assert_eq!(together.ask(3, |items: Vec<u32>| async move { items }).await, Err(NoAnswer::Full));
    }

    #[tokio::test]
    async fn several_turns_work_beside_each_other() {
        let together: Together<u32, u32> = Together::new(2, 1, 10);
        let mut stuck = Box::pin(together.ask(1, |_| pending::<Vec<u32>>()));
        assert!(stuck.as_mut().now_or_never().is_none());
        assert_eq!(together.ask(2, |items: Vec<u32>| async move { items }).await, Ok(2));
    }
}
