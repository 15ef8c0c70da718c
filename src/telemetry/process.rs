//! The process itself, as the standard Prometheus clients name it, read when the page is asked for.

use std::fmt::Write;

/// Ticks per second in `/proc/self/stat`: USER_HZ, which Linux fixes at 100 for everything outside the kernel (proc(5)).
const TICKS_PER_SECOND: f64 = 100.0;

/// Adds memory and processor time to the page; nothing where there is no `/proc`.
pub(super) fn append(page: &mut String) {
    if let Some(bytes) = resident_bytes() {
        line(page, "process_resident_memory_bytes", "gauge", "Resident memory of the process.", bytes as f64);
    }
    if let Some(seconds) = cpu_seconds() {
        line(page, "process_cpu_seconds_total", "counter", "Processor time, user and system.", seconds);
    }
}

fn line(page: &mut String, name: &str, kind: &str, meaning: &str, value: f64) {
    // Writing to a String cannot fail.
    let _ = writeln!(page, "# HELP {name} {meaning}\n# TYPE {name} {kind}\n{name} {value}\n");
}

fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kibibytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim().strip_suffix("kB")?;
    kibibytes.trim().parse().ok().map(|kibibytes: u64| kibibytes * 1024)
}

fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the program's name in parentheses, which may hold spaces; utime and stime are fields 14 and 15.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}
