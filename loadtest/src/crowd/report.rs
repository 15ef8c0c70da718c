//! What the cases found, for people.

use std::fmt;

use super::Shown;
use super::api::Line;
use super::campaign::{self, Lines, Mail, Pause};
use super::scan;
use super::series::{Latency, Memory, Pace};
use super::subject;
use crate::text::millis;

/// Mails that come later than this after a pause are too many.
const PAUSE_MAX_MS: f64 = 1000.0;

impl Shown for subject::Report {
    /// Each follower that was looked at was told once, and the books balance.
    fn holds(&self) -> bool {
        let found = &self.found;
        found.looked_at > 0
            && found.one == found.looked_at
            && self.unaccounted == 0
            && self.repeated_is_same != Some(false)
    }
}

impl fmt::Display for subject::Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "followers    {}, {}", self.followers, nodes(self.nodes))?;
        writeln!(f, "imported     in {:.1} s, subscribed in {:.1} s", self.import_seconds, self.subscribe_seconds)?;
        match self.pace {
            Some(Pace { seconds, dead_seconds, per_second }) => {
                write!(f, "handed on    {per_second:.0}/s: all in {seconds:.1} s")?;
                writeln!(f, ", of which the engine was dead for {dead_seconds:.1} s")?;
            }
            None => writeln!(f, "handed on    not all")?,
        }
        writeln!(f, "over         after {:.1} s", self.over_seconds)?;
        let campaign = &self.campaign;
        let (succeeded, failed, skipped) = (campaign.succeeded, campaign.failed, campaign.skipped);
        writeln!(f, "campaign     {}: {succeeded} succeeded, {failed} failed, {skipped} skipped", campaign.status)?;
        let Memory { min, max, last } = self.memory;
        let [min, max, last] = [min, max, last].map(|bytes| bytes as f64 / 1e6);
        writeln!(f, "memory       min {min:.0} MB  max {max:.0} MB  last {last:.0} MB")?;
        for outage in &self.outages {
            writeln!(f, "killed       after {:.1} s, ready {:.1} s later", outage.start, outage.end - outage.start)?;
        }
        if let Some(is_same) = self.repeated_is_same {
            writeln!(f, "repeated     {}", if is_same { "the same campaign" } else { "ANOTHER campaign" })?;
        }
        let small = &self.small;
        write_latency(f, "small", &small.alive, "while the engine was there")?;
        write_latency(f, "small", &small.dead, "touched by a kill")?;
        if small.unsent > 0 {
            writeln!(f, "small        {} were not sent", small.unsent)?;
        }
        write_books(f, &self.sources, self.unaccounted)?;
        let found = &self.found;
        write!(f, "told once    {} of {} looked at", found.one, found.looked_at)?;
        writeln!(f, ", {} not at all, {} more than once ({:.1} s)", found.none, found.several, found.seconds)?;
        for named in &found.named {
            writeln!(f, "             {named}")?;
        }
        for (status, count) in &found.statuses {
            writeln!(f, "             {count} {status}")?;
        }
        Ok(())
    }
}

impl campaign::Report {
    /// What does not fit together in the end, as (what, one side, the other).
    fn differences(&self) -> Vec<(&'static str, u64, u64)> {
        let campaign = &self.campaign;
        let books = self.books.clone().unwrap_or_default();
        let count = |count: i64| u64::try_from(count).unwrap_or_default();
        let pairs = [
            ("members of the list", self.sent.members, self.list.members),
            ("lines that come twice", self.sent.duplicates, self.list.duplicates),
            ("bad lines", self.sent.bad, self.list.bad),
            ("total and members", campaign.total.unwrap_or_default(), self.list.members),
            ("handed on and members", campaign.handed_on, self.list.members),
            ("processed and members", campaign.processed, self.list.members),
            ("succeeded and taken mails", campaign.succeeded, self.mail.distinct),
            ("failed and those who are gone", campaign.failed, self.sent.gone()),
            ("failed and refused mails", campaign.failed, self.mail.refused),
            ("mails taken once and all of them", self.mail.distinct, self.mail.taken),
            ("missed and failed or skipped", self.missed_lines, campaign.failed + campaign.skipped),
            ("in of the books and handed on", count(books.r#in), campaign.handed_on),
            ("sent of the books and succeeded", count(books.sent), campaign.succeeded),
            ("failed of the books and failed", count(books.failed), campaign.failed),
            ("skipped of the books and skipped", count(books.skipped), campaign.skipped),
            ("open of the books and nothing", count(books.open), 0),
            ("unaccounted and nothing", self.unaccounted.unsigned_abs(), 0),
        ];
        pairs.into_iter().filter(|(_, one, other)| one != other).collect()
    }
}

impl Shown for campaign::Report {
    /// It was right at every look, paused within a second, and all numbers fit in the end.
    fn holds(&self) -> bool {
        let is_paused = self.pause.is_some_and(|pause| pause.last_mail_ms <= PAUSE_MAX_MS);
        self.wrong_polls == 0 && is_paused && self.campaign.status == "completed" && self.differences().is_empty()
    }
}

impl fmt::Display for campaign::Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Lines { members, duplicates, bad } = self.list;
        writeln!(
            f,
            "list         {members} members, {duplicates} twice, {bad} bad lines, in {:.1} s",
            self.upload_seconds
        )?;
        let campaign = &self.campaign;
        let (succeeded, failed, skipped) = (campaign.succeeded, campaign.failed, campaign.skipped);
        write!(f, "campaign     {} after {:.1} s: ", campaign.status, self.over_seconds)?;
        writeln!(f, "{succeeded} succeeded, {failed} failed, {skipped} skipped")?;
        writeln!(f, "told         over {:.1} s after the last mail", self.told_seconds)?;
        writeln!(f, "polls        {}, {} wrong", self.polls, self.wrong_polls)?;
        for wrong in &self.wrong {
            writeln!(f, "             {wrong}")?;
        }
        match self.pause {
            Some(Pause { last_mail_ms, answered_ms, held_seconds, next_mail_ms, mails_after }) => {
                let (last, answered) = (millis(last_mail_ms), millis(answered_ms));
                write!(f, "pause        last mail after {last} ({mails_after} mails), answered after {answered}")?;
                writeln!(f, ", held {held_seconds:.1} s")?;
                let next = next_mail_ms.map_or("never".into(), |ms| format!("after {}", millis(ms)));
                writeln!(f, "resumed      next mail {next}")?;
            }
            None => writeln!(f, "pause        none: it was over too soon")?,
        }
        let Mail { taken, distinct, refused } = self.mail;
        writeln!(f, "mail server  {taken} taken ({distinct} different), {refused} refused")?;
        writeln!(f, "missed       {} lines", self.missed_lines)?;
        write_books(f, self.books.as_slice(), self.unaccounted)?;
        for (what, one, other) in self.differences() {
            writeln!(f, "DIFFERS      {what}: {one} and {other}")?;
        }
        Ok(())
    }
}

impl Shown for scan::Report {
    /// All whose day it is were told, and the rows of other days were left alone.
    fn holds(&self) -> bool {
        self.totals.succeeded == self.due && self.reads_only_the_day() && self.unaccounted == 0
    }
}

impl fmt::Display for scan::Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "members      {} over {} days, {}", self.members, self.days, nodes(self.nodes))?;
        let per_second = self.members as f64 / self.import_seconds.max(f64::EPSILON);
        writeln!(f, "imported     in {:.1} s ({per_second:.0}/s)", self.import_seconds)?;
        let totals = &self.totals;
        let ratio = totals.rows_read as f64 / self.due.max(1) as f64;
        writeln!(f, "rows         {} read, {} due ({ratio:.3} for each)", totals.rows_read, self.due)?;
        writeln!(f, "found        all in {:.2} s, {} campaigns", self.found_seconds, self.campaigns)?;
        write!(f, "messages     over after {:.2} s: {} succeeded", self.over_seconds, totals.succeeded)?;
        writeln!(f, ", {} failed, {} skipped", totals.failed, totals.skipped)?;
        write_books(f, &self.sources, self.unaccounted)
    }
}

fn nodes(count: u16) -> String {
    if count == 1 { "one engine, embedded".into() } else { format!("{count} engines on Kafka, CQL and Redis") }
}

fn write_latency(f: &mut fmt::Formatter<'_>, name: &str, latency: &Latency, when: &str) -> fmt::Result {
    let Latency { count, p50_ms, p99_ms, max_ms } = *latency;
    if count == 0 {
        return Ok(());
    }
    let (p50, p99, max) = (millis(p50_ms), millis(p99_ms), millis(max_ms));
    writeln!(f, "{name:<12} P50 {p50}  P99 {p99}  max {max}  ({count}, {when})")
}

fn write_books(f: &mut fmt::Formatter<'_>, sources: &[Line], unaccounted: i64) -> fmt::Result {
    for line in sources.iter().filter(|line| line.r#in > 0) {
        let Line { source, r#in, sent, skipped, merged, failed, expired, cancelled, unknown, open } = line;
        write!(f, "books        {source}: {in} = {sent} sent + {skipped} skipped + {failed} failed + {open} open")?;
        let rest = [("merged", merged), ("expired", expired), ("cancelled", cancelled), ("unknown", unknown)];
        for (name, count) in rest.into_iter().filter(|(_, count)| **count != 0) {
            write!(f, " + {count} {name}")?;
        }
        writeln!(f)?;
    }
    writeln!(f, "unaccounted  {unaccounted}")
}

#[cfg(test)]
mod tests {
    use super::super::api::Campaign;
    use super::*;

    fn books(sent: i64, failed: i64) -> Line {
        Line { source: "campaign".into(), r#in: sent + failed, sent, failed, ..Line::default() }
    }

    fn report() -> campaign::Report {
        let list = Lines { members: 199, duplicates: 10, bad: 1 };
        let campaign = Campaign {
            status: "completed".into(),
            total: Some(199),
            handed_on: 199,
            processed: 199,
            succeeded: 198,
            failed: 1,
            progress: 100,
            ..Campaign::default()
        };
        campaign::Report {
            upload_seconds: 0.1,
            sent: list,
            list,
            campaign,
            over_seconds: 9.0,
            told_seconds: 0.3,
            polls: 90,
            wrong_polls: 0,
            wrong: Vec::new(),
            pause: Some(Pause {
                last_mail_ms: 320.0,
                answered_ms: 8.0,
                held_seconds: 5.0,
                next_mail_ms: Some(90.0),
                mails_after: 40,
            }),
            mail: Mail { taken: 198, distinct: 198, refused: 1 },
            missed_lines: 1,
            books: Some(books(198, 1)),
            unaccounted: 0,
        }
    }

    #[test]
    fn a_campaign_holds_when_all_numbers_fit() {
        let good = report();
        assert!(good.holds(), "{good}");
        assert!(good.to_string().contains("books        campaign: 199 = 198 sent + 0 skipped + 1 failed + 0 open\n"));
        let late = Pause {
            last_mail_ms: 1500.0,
            answered_ms: 8.0,
            held_seconds: 5.0,
            next_mail_ms: Some(90.0),
            mails_after: 40,
        };
        for bad in [
            campaign::Report { wrong_polls: 1, ..report() },
            campaign::Report { pause: None, ..report() },
            campaign::Report { pause: Some(late), ..report() },
            campaign::Report { mail: Mail { taken: 199, distinct: 198, refused: 1 }, ..report() },
            campaign::Report { missed_lines: 0, ..report() },
            campaign::Report { books: None, ..report() },
            campaign::Report { unaccounted: -1, ..report() },
        ] {
            assert!(!bad.holds(), "{bad}");
        }
    }

    #[test]
    fn a_scan_that_reads_other_days_does_not_hold() {
        let report = |rows_read, succeeded| scan::Report {
            members: 4000,
            days: 400,
            nodes: 1,
            import_seconds: 1.0,
            due: 10,
            totals: scan::Totals { total: Some(10), processed: 10, succeeded, rows_read, ..scan::Totals::default() },
            campaigns: 16,
            found_seconds: 0.2,
            over_seconds: 0.4,
            sources: Vec::new(),
            unaccounted: 0,
        };
        assert!(report(10, 10).holds());
        assert!(!report(4000, 10).holds());
        assert!(!report(10, 9).holds());
        assert!(report(10, 10).to_string().contains("10 read, 10 due (1.000 for each)"));
    }
}
