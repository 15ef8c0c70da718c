//! The door for events: rules make requests of them, which the acceptor takes.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;

use super::fan_out::{FanOut, FanOuts, Tellers, Told};
use super::{Applied, Definitions, Draft, Drafted, EventDoor, RuleBook, RuleOutcome, Rulings, Taken};
use crate::domain::{Categories, DomainEvent, NotificationRequest};
use crate::intake::{AcceptError, Accepted, Acceptor, ContentCheck, FieldProblem};
use crate::subscriptions::Subscriptions;

/// Requests accepted at once. An event may make a thousand, and a call may have ten thousand events: all of them together
/// would not be bounded.
const REQUESTS_MAX: usize = 10_000;

/// Bytes of data that wait to be accepted together.
const BYTES_MAX: usize = 8 << 20;
/// Requests that the log is given at once: it has room for so many whenever it takes any.
const SLICE: usize = 1000;

/// Applies the rules that are in force.
pub struct RuleDoor {
    pub definitions: Arc<Definitions>,
    pub acceptor: Arc<Acceptor>,
    pub contents: Arc<dyn ContentCheck>,
    pub categories: Arc<Categories>,
    /// Who follows the subjects of events.
    pub subscriptions: Arc<Subscriptions>,
    /// Tells them where they are many.
    pub fan_outs: Arc<dyn FanOuts>,
}

/// Contents that know the categories as well: against these the definitions are judged.
pub struct RuleContents {
    pub contents: Arc<dyn ContentCheck>,
    pub categories: Arc<Categories>,
}

impl ContentCheck for RuleContents {
    fn category(&self, tenant: &str, code: &str) -> Option<Box<str>> {
        self.contents.category(tenant, code)
    }

    fn categories(&self) -> Option<&Categories> {
        Some(&self.categories)
    }

    fn check(&self, request: &NotificationRequest) -> Result<(), FieldProblem> {
        self.contents.check(request)
    }
}

#[async_trait]
impl EventDoor for RuleDoor {
    async fn take(&self, events: Vec<DomainEvent>) -> Result<Vec<Taken>, AcceptError> {
        let rulings = Rulings { contents: &*self.contents, categories: &self.categories };
        let tellers = Tellers::new(&self.subscriptions, &*self.fan_outs);
        taken(events, |tenant| self.definitions.book(tenant), rulings, &self.acceptor, tellers).await
    }
}

async fn taken(
    events: Vec<DomainEvent>,
    book_of: impl Fn(&str) -> Arc<RuleBook> + Send,
    rulings: Rulings<'_>,
    acceptor: &Acceptor,
    mut tellers: Tellers<'_>,
) -> Result<Vec<Taken>, AcceptError> {
    let mut books: HashMap<Box<str>, Arc<RuleBook>> = HashMap::new();
    let mut answers = Answers::default();
    for event in events {
        let book = books.entry(event.tenant.clone()).or_insert_with(|| book_of(&event.tenant));
        match book.apply(&event, rulings) {
            Ok(drafts) => answers.add(&event, drafts, &mut tellers, acceptor).await?,
            Err(refusal) => answers.taken.push(Taken::Refused(refusal)),
        }
        // Rendering an event's messages to try them takes longer than others should wait for.
        tokio::task::yield_now().await;
    }
    answers.accept(acceptor).await?;
    Ok(answers.taken)
}

/// What became of the events so far, with places for what is not accepted yet.
#[derive(Default)]
struct Answers {
    taken: Vec<Taken>,
    requests: Vec<NotificationRequest>,
    /// Of their data.
    bytes: usize,
    /// For each request: which event, and in which place of what was applied to it.
    places: Vec<(usize, usize, Box<str>)>,
}

impl Answers {
    async fn add(
        &mut self,
        event: &DomainEvent,
        drafts: Vec<Draft>,
        tellers: &mut Tellers<'_>,
        acceptor: &Acceptor,
    ) -> Result<(), AcceptError> {
        let number = self.taken.len();
        self.taken.push(Taken::Used(Vec::with_capacity(drafts.len())));
        let mut place = 0;
        for Draft { rule, outcome } in drafts {
            match made(event, &rule, outcome, tellers).await? {
                Made::Requests(requests) => {
                    for request in requests {
                        self.places.push((number, place, rule.clone()));
                        self.bytes += request.data.len();
                        self.requests.push(request);
                        place += 1;
                    }
                }
                Made::Outcome(outcome) => {
                    if let Some(Taken::Used(applied)) = self.taken.last_mut() {
                        applied.push(Applied { rule, outcome });
                    }
                    place += 1;
                }
            }
            // After each rule: those of one event may be many, and each may have all followers of a subject.
            if self.requests.len() >= REQUESTS_MAX || self.bytes >= BYTES_MAX {
                self.accept(acceptor).await?;
            }
        }
        Ok(())
    }

    async fn accept(&mut self, acceptor: &Acceptor) -> Result<(), AcceptError> {
        self.bytes = 0;
        let mut requests = std::mem::take(&mut self.requests);
        let mut accepted = Vec::with_capacity(requests.len());
        while !requests.is_empty() {
            let rest = requests.split_off(SLICE.min(requests.len()));
            accepted.extend(acceptor.accept(requests).await?);
            requests = rest;
        }
        self.put_back(accepted);
        Ok(())
    }

    /// In the order of the requests, so that each place is free when its turn comes.
    fn put_back(&mut self, accepted: Vec<Accepted>) {
        for ((event, place, rule), accepted) in std::mem::take(&mut self.places).into_iter().zip(accepted) {
            let Taken::Used(applied) = &mut self.taken[event] else { continue };
            let outcome = RuleOutcome::Made { id: accepted.id, repeated: accepted.repeated };
            applied.insert(place.min(applied.len()), Applied { rule, outcome });
        }
    }
}

/// What comes of a draft once it is known who follows.
enum Made {
    /// To be accepted.
    Requests(Vec<NotificationRequest>),
    Outcome(RuleOutcome),
}

async fn made(
    event: &DomainEvent,
    rule: &str,
    drafted: Drafted,
    tellers: &mut Tellers<'_>,
) -> Result<Made, AcceptError> {
    let message = match drafted {
        Drafted::ConditionFails => return Ok(Made::Outcome(RuleOutcome::ConditionFails)),
        Drafted::Impossible(problems) => return Ok(Made::Outcome(RuleOutcome::Impossible(problems))),
        Drafted::Requests(requests) => return Ok(Made::Requests(requests)),
        Drafted::ForFollowers(message) => *message,
    };
    let subject = event.subject.as_deref().unwrap_or_default();
    Ok(match tellers.tell(FanOut::new(event, subject, rule, message)).await? {
        Told::Requests(requests) => Made::Requests(requests),
        Told::Campaign(id) => Made::Outcome(RuleOutcome::FannedOut { id }),
        Told::Nobody => Made::Outcome(RuleOutcome::NobodyFollows),
    })
}

#[cfg(test)]
mod tests;
