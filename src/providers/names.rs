//! Asks the name service, without letting a slow one hold up anything else.
//!
//! The system's look-up blocks a thread for as long as it likes, and giving up waiting does not give the thread back. So
//! look-ups have a few threads of their own, which end with them, and never the runtime's, on which the store reads. A
//! name that is being looked up is not looked up a second time, and answers are remembered for a moment.

use std::collections::HashMap;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{Either, select};
use tokio::sync::{Semaphore, watch};

use crate::clock::{Moment, SharedClock};

/// How long an answer is used again, so that a burst does not ask for each of its messages.
const REMEMBERED_FOR: Duration = Duration::from_secs(10);
/// Names remembered at once.
const REMEMBERED_MAX: usize = 10_000;
/// The longest that anybody waits for an answer.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// Look-ups at once, a thread each. Usual ones take milliseconds; those that take long are somebody else's trouble.
const THREADS_MAX: usize = 4;
/// Names that are looked up or wait for it; who asks for one more is told that there is no answer.
const ASKED_MAX: usize = 1024;

/// Why a name has no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NameError {
    /// The name service knows that there is none.
    NotFound,
    /// Nobody knows: it may have one in a moment.
    NoAnswer,
}

type Answer = Result<Arc<[IpAddr]>, NameError>;

/// How a name is looked up: blocks.
pub(super) type LookUp = dyn Fn(&str) -> Result<Vec<IpAddr>, NameError> + Send + Sync;

/// Cheap to clone; the clones share threads and memory.
#[derive(Clone)]
pub(super) struct Names {
    clock: SharedClock,
    look_up: Arc<LookUp>,
    threads: Arc<Semaphore>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    remembered: HashMap<Box<str>, (Moment, Answer)>,
    /// Written by whoever asks first and when the answer is there; one receiver of each is this one.
    asked: HashMap<Box<str>, watch::Receiver<Option<Answer>>>,
}

impl Names {
    pub(super) fn new(clock: SharedClock, look_up: Arc<LookUp>) -> Self {
        Self { clock, look_up, threads: Arc::new(Semaphore::new(THREADS_MAX)), state: Arc::default() }
    }

    /// Those of the system: files and name servers as it is set up.
    pub(super) fn of_system(clock: SharedClock) -> Self {
        Self::new(clock, Arc::new(system_look_up))
    }

    /// The addresses of a name; at least one.
    pub(super) async fn addresses(&self, name: &str) -> Answer {
        let mut answered = match self.ask(name) {
            Asked::Known(answer) => return answer,
            Asked::Waiting(answered) => answered,
        };
        let answer = std::pin::pin!(answered.wait_for(Option::is_some));
        match select(answer, self.clock.sleep(WAIT_MAX)).await {
            Either::Left((Ok(answer), _)) => answer.clone().unwrap_or(Err(NameError::NoAnswer)),
            _ => Err(NameError::NoAnswer),
        }
    }

    fn ask(&self, name: &str) -> Asked {
        let mut state = self.state();
        let now = self.clock.moment();
        if let Some((at, answer)) = state.remembered.get(name)
            && now.since(*at) < REMEMBERED_FOR
        {
            return Asked::Known(answer.clone());
        }
        if let Some(answered) = state.asked.get(name) {
            return Asked::Waiting(answered.clone());
        }
        if state.asked.len() >= ASKED_MAX {
            return Asked::Known(Err(NameError::NoAnswer));
        }
        let (answers, answered) = watch::channel(None);
        state.asked.insert(name.into(), answered.clone());
        tokio::spawn(self.clone().find(name.into(), answers));
        Asked::Waiting(answered)
    }

    /// Waits for a thread and lets it look the name up. The thread's share is given back when it has ended, however long
    /// that takes.
    async fn find(self, name: Box<str>, answers: watch::Sender<Option<Answer>>) {
        // Never closed.
        let Ok(share) = self.threads.clone().acquire_owned().await else { return };
        if self.is_forgotten(&name, &answers) {
            return;
        }
        let names = self.clone();
        let thread = std::thread::Builder::new().name("fanfare-names".into());
        let asking = name.clone();
        let started = thread.spawn({
            let answers = answers.clone();
            move || {
                names.keep(&asking, &answers, (names.look_up)(&asking));
                drop(share);
            }
        });
        if started.is_err() {
            self.keep(&name, &answers, Err(NameError::NoAnswer));
        }
    }

    /// Whether nobody waits any more: a queue of slow names must not be worked off for nobody.
    fn is_forgotten(&self, name: &str, answers: &watch::Sender<Option<Answer>>) -> bool {
        let mut state = self.state();
        let is_forgotten = answers.receiver_count() <= 1;
        if is_forgotten {
            state.asked.remove(name);
        }
        is_forgotten
    }

    fn keep(&self, name: &str, answers: &watch::Sender<Option<Answer>>, found: Result<Vec<IpAddr>, NameError>) {
        let answer: Answer = match found {
            Ok(addresses) if addresses.is_empty() => Err(NameError::NotFound),
            Ok(addresses) => Ok(addresses.into()),
            Err(error) => Err(error),
        };
        let mut state = self.state();
        state.asked.remove(name);
        if state.remembered.len() >= REMEMBERED_MAX {
            state.remembered.clear();
        }
        state.remembered.insert(name.into(), (self.clock.moment(), answer.clone()));
        drop(state);
        answers.send_replace(Some(answer));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Asked {
    Known(Answer),
    Waiting(watch::Receiver<Option<Answer>>),
}

fn system_look_up(name: &str) -> Result<Vec<IpAddr>, NameError> {
    match (name, 0).to_socket_addrs() {
        Ok(found) => Ok(found.map(|address| address.ip()).collect()),
        Err(error) => Err(judge(&error.to_string())),
    }
}

/// Tells a name that does not exist from one that could not be asked for. The standard library hands on only the words of
/// `gai_strerror` (glibc's and musl's); words that are not known mean nothing, and so no answer.
fn judge(words: &str) -> NameError {
    let means_none = [
        "Name or service not known",
        "No address associated with hostname",
        "Name does not resolve",
        "Name has no usable address",
    ];
    if means_none.iter().any(|known| words.contains(known)) { NameError::NotFound } else { NameError::NoAnswer }
}

#[cfg(test)]
mod tests {
    use std::sync::Condvar;

    use super::*;
    use crate::clock::ManualClock;
    use crate::domain::Timestamp;

    /// A name service that answers once it is told to, and counts who asks.
    #[derive(Default)]
    struct Slow {
        state: Mutex<(usize, bool)>,
        changed: Condvar,
    }

    impl Slow {
        fn names(self: &Arc<Self>, clock: &Arc<ManualClock>) -> Names {
            let slow = self.clone();
            let look_up = move |_: &str| {
                let mut state = slow.state.lock().expect("no panic");
                state.0 += 1;
                slow.changed.notify_all();
                drop(slow.changed.wait_while(state, |(_, may_answer)| !*may_answer).expect("no panic"));
                Ok(vec![IpAddr::from([8, 8, 8, 8])])
            };
            Names::new(clock.clone(), Arc::new(look_up))
        }

        fn wait_until_asked(&self, times: usize) {
            let state = self.state.lock().expect("no panic");
            drop(self.changed.wait_while(state, |(asked, _)| *asked < times).expect("no panic"));
        }

        fn asked(&self) -> usize {
            self.state.lock().expect("no panic").0
        }

        fn answer(&self) {
            self.state.lock().expect("no panic").1 = true;
            self.changed.notify_all();
        }
    }

    /// A runtime with one thread for blocking work, as the store's reads are.
    fn runtime() -> tokio::runtime::Runtime {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.max_blocking_threads(1).enable_all().build().expect("starts")
    }

    #[test]
    fn slow_look_ups_take_no_thread_from_the_stores_reads_and_only_a_few_of_their_own() {
        let slow = Arc::new(Slow::default());
        let clock = ManualClock::starting_at(Timestamp(0));
        let names = slow.names(&clock);
        runtime().block_on(async {
            let asking: Vec<_> = (0..12)
                .map(|number| {
                    let names = names.clone();
                    tokio::spawn(async move { names.addresses(&format!("host{number}.example.com")).await })
                })
                .collect();
            tokio::task::yield_now().await;
            tokio::task::spawn_blocking(|| ()).await.expect("a read has its thread");
            slow.wait_until_asked(THREADS_MAX);
            assert_eq!(slow.asked(), THREADS_MAX);
            clock.advance(WAIT_MAX);
            for asked in asking {
                assert_eq!(asked.await.expect("no panic"), Err(NameError::NoAnswer));
            }
            // The threads are still busy with the slow names: given up is not given back.
            assert_eq!(slow.asked(), THREADS_MAX);
            slow.answer();
            assert!(names.addresses("late.example.com").await.is_ok());
            // Those that nobody waited for any more were not asked for.
            assert_eq!(slow.asked(), THREADS_MAX + 1);
        });
    }

    #[test]
    fn a_name_that_many_want_is_looked_up_once() {
        let slow = Arc::new(Slow::default());
        let clock = ManualClock::starting_at(Timestamp(0));
        let names = slow.names(&clock);
        runtime().block_on(async {
            let wanted = futures_util::future::join_all((0..50).map(|_| names.addresses("example.com")));
            let answer = async {
                tokio::task::yield_now().await;
                slow.answer();
            };
            let (answers, ()) = futures_util::future::join(wanted, answer).await;
            assert!(answers.iter().all(Result::is_ok));
            assert_eq!(slow.asked(), 1);
            assert!(names.addresses("example.com").await.is_ok());
            assert_eq!(slow.asked(), 1);
            clock.advance(REMEMBERED_FOR);
            assert!(names.addresses("example.com").await.is_ok());
            assert_eq!(slow.asked(), 2);
        });
    }

    #[test]
    fn only_a_name_that_is_known_not_to_exist_is_not_found() {
        let words = |words: &str| judge(&format!("failed to lookup address information: {words}"));
        assert_eq!(words("Name or service not known"), NameError::NotFound);
        assert_eq!(words("Name does not resolve"), NameError::NotFound);
        assert_eq!(words("Temporary failure in name resolution"), NameError::NoAnswer);
        assert_eq!(words("Try again"), NameError::NoAnswer);
        assert_eq!(words("System error"), NameError::NoAnswer);
    }
}
