//! What was found, for people and for programs.

use std::fmt;

use serde::Serialize;

use super::figures::{Came, Counts, Latencies, Latency};
use super::memory::{Memory, Sample};
use super::presence::Looked;
use crate::text::millis;

/// Memory in bytes, of all nodes together.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) nodes: u16,
    pub(super) users: u32,
    pub(super) connections: u32,
    /// Messages a second, and for how many seconds.
    pub(super) rate: f64,
    pub(super) seconds: u32,
    pub(super) token_seconds: f64,
    pub(super) connect_seconds: f64,
    pub(super) before_bytes: u64,
    pub(super) connected_bytes: u64,
    pub(super) per_connection_bytes: u64,
    pub(super) memory: Memory,
    /// Of one core, while the load ran; none with a kill.
    pub(super) processor_share: Option<f64>,
    pub(super) samples: Vec<Sample>,
    /// Before the load, and after it those who stayed.
    pub(super) online: Looked,
    pub(super) online_after: Looked,
    pub(super) counts: Counts,
    pub(super) latencies: Latencies,
    pub(super) drain_seconds: f64,
    pub(super) killed: Option<Killed>,
    /// Connections that ended though their node was there.
    pub(super) dropped: u64,
    pub(super) resyncs: u64,
    pub(super) wrong: u64,
    pub(super) failed_connects: u64,
    pub(super) first_error: Option<String>,
}

/// A kill; times since it, in seconds.
#[derive(Debug, Serialize)]
pub(super) struct Killed {
    /// Since the load began.
    pub(super) at_seconds: f64,
    pub(super) node: usize,
    /// Connections that it had.
    pub(super) thrown_out: usize,
    /// From its start until it was ready again.
    pub(super) ready_seconds: f64,
    /// Until everybody who stays was connected again.
    pub(super) connected_seconds: Option<f64>,
    /// Until everything had come that was accepted until then.
    pub(super) whole_seconds: Option<f64>,
    /// Of those who do not come again.
    pub(super) offline: Looked,
}

impl Report {
    /// Everything came to everybody, at each connect once, and presence was right.
    pub(super) fn holds(&self) -> bool {
        let Counts { accepted, refused, unanswered, twice, beside, never, foreign, doubled, .. } = self.counts;
        let is_killed_well = self.killed.as_ref().is_none_or(|killed| {
            killed.connected_seconds.is_some() && killed.whole_seconds.is_some() && killed.offline.is_right()
        });
        accepted > 0
            && refused + unanswered + twice + beside + never + foreign + doubled + self.dropped + self.wrong == 0
            && self.online.is_right()
            && self.online_after.is_right()
            && is_killed_well
    }

    fn write_kill(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(killed) = &self.killed else { return Ok(()) };
        let Killed { at_seconds, node, thrown_out, ready_seconds, connected_seconds, whole_seconds, offline } = killed;
        write!(f, "killed       node {node} after {at_seconds:.1} s: {thrown_out} thrown out")?;
        writeln!(f, ", ready {ready_seconds:.1} s after its start")?;
        let after = |seconds: &Option<f64>| seconds.map_or("NOT".into(), |seconds| format!("{seconds:.2} s"));
        writeln!(f, "             all connected again after {}", after(connected_seconds))?;
        writeln!(f, "             nothing missing after {}", after(whole_seconds))?;
        if offline.asked > 0 {
            let (first, last) = (after(&offline.first_seconds), after(&offline.last_seconds));
            write!(f, "             of {} who left {} offline", offline.asked, offline.right)?;
            writeln!(f, ", the first after {first}, the last after {last}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nodes = if self.nodes == 1 { "one node".to_owned() } else { format!("{} nodes", self.nodes) };
        writeln!(f, "connections  {} of {} users, {nodes}", self.connections, self.users)?;
        writeln!(f, "opened       in {:.1} s, the tokens before in {:.1} s", self.connect_seconds, self.token_seconds)?;
        let megabytes = |bytes: u64| bytes as f64 / 1e6;
        let (before, connected) = (megabytes(self.before_bytes), megabytes(self.connected_bytes));
        write!(f, "memory       {before:.0} MB, with all connections {connected:.0} MB")?;
        writeln!(f, ": {:.1} kB each", self.per_connection_bytes as f64 / 1e3)?;
        let [start, middle, end, max] =
            [self.memory.start, self.memory.middle, self.memory.end, self.memory.max].map(megabytes);
        writeln!(f, "             load: start {start:.0} MB  middle {middle:.0} MB  end {end:.0} MB  max {max:.0} MB")?;
        if let Some(share) = self.processor_share {
            writeln!(f, "processor    {share:.2} of one core")?;
        }
        let counts = &self.counts;
        write!(f, "load         {:.0}/s for {} s: {} accepted", self.rate, self.seconds, counts.accepted)?;
        writeln!(f, ", {} refused, {} not answered", counts.refused, counts.unanswered)?;
        let (expected, once, resent) = (counts.expected, counts.once, counts.resent);
        write!(f, "came         {once} of {expected} exactly once, {resent} again after a reconnect")?;
        writeln!(f, ", {} twice at one connect, {} never ({:.1} s)", counts.twice, counts.never, self.drain_seconds)?;
        if counts.elsewhere > 0 {
            writeln!(f, "             {} to another program of the user, this one was away", counts.elsewhere)?;
        }
        if counts.beside > 0 {
            writeln!(f, "             {} ONLY to another program of the user, this one was connected", counts.beside)?;
        }
        for id in &counts.named {
            writeln!(f, "             missing: {id}")?;
        }
        if counts.foreign + counts.doubled > 0 {
            writeln!(f, "WRONG        {} to somebody else, {} under two ids", counts.foreign, counts.doubled)?;
        }
        let latencies = &self.latencies;
        write_latency(f, "answered", "from its intended start", &latencies.answered)?;
        write_came(f, "came", Some(&latencies.usual))?;
        write_came(f, "same node", latencies.same_node.as_ref())?;
        write_came(f, "other node", latencies.other_node.as_ref())?;
        if latencies.other_node.is_some() {
            writeln!(f, "             {:.1} % came over another node", latencies.other_share * 100.0)?;
        }
        write_came(f, "killed", latencies.killed.as_ref())?;
        self.write_kill(f)?;
        write_online(f, "before", &self.online)?;
        write_online(f, "after", &self.online_after)?;
        let (dropped, resyncs, wrong) = (self.dropped, self.resyncs, self.wrong);
        writeln!(f, "besides      {dropped} thrown out without a kill, {resyncs} resyncs, {wrong} frames of errors")?;
        if let Some(error) = &self.first_error {
            writeln!(f, "             {} connects failed, the first: {error}", self.failed_connects)?;
        }
        Ok(())
    }
}

fn write_came(f: &mut fmt::Formatter<'_>, what: &str, came: Option<&Came>) -> fmt::Result {
    let Some(came) = came else { return Ok(()) };
    write_latency(f, what, "from its intended start", &came.intended)?;
    write_latency(f, "", "from the answer", &came.accepted)
}

fn write_latency(f: &mut fmt::Formatter<'_>, what: &str, since: &str, latency: &Latency) -> fmt::Result {
    let Latency { count, p50_ms, p99_ms, p999_ms, max_ms } = *latency;
    let [p50, p99, p999, max] = [p50_ms, p99_ms, p999_ms, max_ms].map(millis);
    writeln!(f, "{what:<12} P50 {p50}  P99 {p99}  P99.9 {p999}  max {max}  ({count}, {since})")
}

fn write_online(f: &mut fmt::Formatter<'_>, when: &str, looked: &Looked) -> fmt::Result {
    let last = looked.last_seconds.unwrap_or_default();
    writeln!(f, "online       {when}: {} of {} asked ({last:.1} s)", looked.right, looked.asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let looked = Looked { asked: 5, right: 5, first_seconds: Some(0.1), last_seconds: Some(2.0) };
        Report {
            nodes: 1,
            users: 10,
            connections: 10,
            rate: 20.0,
            seconds: 1,
            token_seconds: 0.1,
            connect_seconds: 0.2,
            before_bytes: 30_000_000,
            connected_bytes: 30_200_000,
            per_connection_bytes: 20_000,
            memory: Memory::default(),
            processor_share: Some(0.5),
            samples: Vec::new(),
            online: looked,
            online_after: looked,
            counts: Counts { offered: 20, accepted: 20, expected: 20, once: 18, resent: 2, ..Counts::default() },
            latencies: Latencies::default(),
            drain_seconds: 0.1,
            killed: None,
            dropped: 0,
            resyncs: 0,
            wrong: 0,
            failed_connects: 0,
            first_error: None,
        }
    }

    #[test]
    fn it_holds_when_everything_came_and_nothing_twice_at_one_connect() {
        assert!(report().holds());
        let lost = Counts { accepted: 20, never: 1, ..Counts::default() };
        assert!(!Report { counts: lost, ..report() }.holds());
        let twice = Counts { accepted: 20, twice: 1, ..Counts::default() };
        assert!(!Report { counts: twice, ..report() }.holds());
        let unsure = Looked { asked: 5, right: 4, first_seconds: None, last_seconds: None };
        assert!(!Report { online_after: unsure, ..report() }.holds());
    }

    #[test]
    fn a_kill_holds_when_nothing_is_missing_in_the_end() {
        let killed = |whole_seconds| Killed {
            at_seconds: 5.0,
            node: 1,
            thrown_out: 10,
            ready_seconds: 0.5,
            connected_seconds: Some(2.0),
            whole_seconds,
            offline: Looked { asked: 0, right: 0, first_seconds: None, last_seconds: None },
        };
        let with = |whole_seconds| Report { killed: Some(killed(whole_seconds)), ..report() };
        assert!(with(Some(2.5)).holds() && !with(None).holds());
        assert!(with(None).to_string().contains("nothing missing after NOT"));
    }
}
