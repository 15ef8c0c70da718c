//! What is told of messages, and what analytics are to say then.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::clock::write_rfc3339;
use crate::random::Dice;

/// One receipt: of which task, what, and when (milliseconds since 1970).
#[derive(Debug, Clone)]
pub(super) struct Receipt {
    pub(super) task: String,
    pub(super) status: &'static str,
    pub(super) at: u64,
}

/// What people do with messages, and how many of a thousand.
const DEEDS: [(&str, u64); 6] =
    [("delivered", 940), ("opened", 450), ("clicked", 180), ("bounced", 30), ("complained", 10), ("unsubscribed", 20)];
/// What happened lies so far back at most.
const BACK_MS: u64 = 10 * 3_600_000;
/// Of a thousand receipts, those that come twice.
const TWICE: u64 = 50;

/// How often each happened, by hour; of what was sent only how often, since the engine says when.
#[derive(Debug, Default)]
pub(super) struct Told {
    sent: u64,
    hours: BTreeMap<(String, &'static str), u64>,
    dates: BTreeSet<String>,
}

/// Makes up what is told of tasks, in posts of so many, some of it twice, in no order.
pub(super) fn tell_of(tasks: &[String], now_ms: u64, dice: &Dice, post: usize) -> (Told, Vec<Vec<Receipt>>) {
    let mut told = Told { sent: tasks.len() as u64, ..Told::default() };
    let mut receipts = Vec::new();
    for task in tasks {
        for (status, of_thousand) in DEEDS {
            if dice.roll() % 1000 >= of_thousand {
                continue;
            }
            // Whole seconds, as they are told.
            let at = (now_ms - dice.roll() % BACK_MS) / 1000 * 1000;
            *told.hours.entry((hour(at), status)).or_default() += 1;
            let receipt = Receipt { task: task.clone(), status, at };
            if dice.roll() % 1000 < TWICE {
                receipts.push(receipt.clone());
            }
            receipts.push(receipt);
        }
    }
    told.dates = told.hours.keys().filter_map(|(hour, _)| hour.get(..10).map(str::to_owned)).collect();
    told.dates.extend(text(now_ms).get(..10).map(str::to_owned));
    // Fisher and Yates.
    for at in (1..receipts.len()).rev() {
        receipts.swap(at, (dice.roll() % (at as u64 + 1)) as usize);
    }
    (told, receipts.chunks(post).map(<[Receipt]>::to_vec).collect())
}

/// A time, as RFC 3339 has it.
pub(super) fn text(millis: u64) -> String {
    let mut text = String::new();
    // Into memory it can always be written.
    _ = write_rfc3339(millis * 1000, &mut text);
    text
}

/// The hour of a time, as its first 13 characters.
fn hour(millis: u64) -> String {
    text(millis).chars().take(13).collect()
}

impl Told {
    /// Facts, each once.
    pub(super) fn events(&self) -> u64 {
        self.sent + self.hours.values().sum::<u64>()
    }

    pub(super) fn totals(&self) -> Vec<(&'static str, u64)> {
        let mut totals = vec![("sent", self.sent)];
        for (status, _) in DEEDS {
            let own = self.hours.iter().filter(|((_, own), _)| *own == status);
            totals.push((status, own.map(|(_, count)| count).sum()));
        }
        totals
    }

    pub(super) fn first_date(&self) -> &str {
        self.dates.first().map_or("", String::as_str)
    }

    pub(super) fn last_date(&self) -> &str {
        self.dates.last().map_or("", String::as_str)
    }

    /// Where an answer by hour says something else.
    pub(super) fn differences(&self, answer: &Value) -> Vec<String> {
        let mut differences = Vec::new();
        let mut check = |what: String, said: u64, expected: u64| {
            if said != expected {
                differences.push(format!("{what}: {said} in place of {expected}"));
            }
        };
        let number = |value: &Value, name: &str| value[name].as_u64().unwrap_or(u64::MAX);
        for (name, expected) in self.totals() {
            check(name.to_owned(), number(&answer["totals"], name), expected);
        }
        check("opened_total".to_owned(), number(&answer["totals"], "opened_total"), self.totals()[2].1);
        let mut said: BTreeMap<(String, &'static str), u64> = BTreeMap::new();
        for line in answer["data"].as_array().into_iter().flatten() {
            let hour: String = line["hour"].as_str().unwrap_or_default().chars().take(13).collect();
            for (status, _) in DEEDS {
                said.insert((hour.clone(), status), number(line, status));
            }
        }
        said.retain(|_, count| *count != 0);
        let keys: BTreeSet<_> = said.keys().chain(self.hours.keys()).collect();
        for key in keys {
            let count = |counts: &BTreeMap<_, u64>| counts.get(key).copied().unwrap_or(0);
            check(format!("{} at {}", key.1, key.0), count(&said), count(&self.hours));
        }
        differences
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_told_is_the_same_for_a_seed_and_answers_are_held_against_it() {
        let tasks: Vec<String> = (0..500).map(|number| format!("tsk_{number}")).collect();
        let (told, posts) = tell_of(&tasks, 1_800_000_000_000, &Dice::new(7), 100);
        let (again, _) = tell_of(&tasks, 1_800_000_000_000, &Dice::new(7), 100);
        assert_eq!((&told.hours, told.events()), (&again.hours, again.events()));
        let receipts: usize = posts.iter().map(Vec::len).sum();
        assert!(receipts as u64 > told.events() - told.sent, "some come twice");

        let mut hours: BTreeMap<&str, Value> = BTreeMap::new();
        for ((hour, status), count) in &told.hours {
            hours.entry(hour).or_insert_with(|| json!({"hour": format!("{hour}:00:00Z")}))[*status] = json!(count);
        }
        for line in hours.values_mut() {
            for (status, _) in DEEDS {
                if line[status].is_null() {
                    line[status] = json!(0);
                }
            }
        }
        let mut totals: Value =
            told.totals().into_iter().map(|(name, count)| (name.to_owned(), json!(count))).collect();
        totals["opened_total"] = totals["opened"].clone();
        let data: Vec<Value> = hours.into_values().collect();
        let mut answer = json!({"totals": totals, "data": data});
        assert_eq!(told.differences(&answer), Vec::<String>::new());
        answer["data"][0]["opened"] = json!(100_000);
        answer["totals"]["sent"] = json!(499);
        let differences = told.differences(&answer);
        assert_eq!(differences.len(), 2, "{differences:?}");
        assert_eq!(differences[0], "sent: 499 in place of 500");
    }
}
