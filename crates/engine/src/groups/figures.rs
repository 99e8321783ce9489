//! What the kernel counts for a group.

use super::table::Version;
use super::{Group, Member};
use std::collections::HashMap;

/// Above this, version 1 means no limit: the greatest number of pages, as bytes.
const NO_LIMIT: u64 = i64::MAX.cast_unsigned() - (1 << 20);

/// What a container uses and may use. What its control groups do not count is `None`, and so is a limit that
/// is not there.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Stats {
    /// Memory in use, in bytes, files in memory among it.
    pub memory_current: Option<u64>,
    /// The most memory that may be used, in bytes.
    pub memory_limit: Option<u64>,
    /// The most memory that was used at a time, in bytes.
    pub memory_peak: Option<u64>,
    /// Processor time, in nanoseconds.
    pub cpu_usage: Option<u64>,
    /// Of it in the program, in nanoseconds.
    pub cpu_user: Option<u64>,
    /// Of it in the kernel, in nanoseconds.
    pub cpu_system: Option<u64>,
    /// Periods in which the quota was counted.
    pub cpu_periods: Option<u64>,
    /// Of them those in which the processes had to wait for the next one.
    pub cpu_throttled_periods: Option<u64>,
    /// How long they waited, in nanoseconds.
    pub cpu_throttled: Option<u64>,
    /// Processes and threads.
    pub pids_current: Option<u64>,
    /// The most of them.
    pub pids_limit: Option<u64>,
    /// Bytes read from block devices.
    pub io_read: Option<u64>,
    /// Bytes written to block devices.
    pub io_written: Option<u64>,
}

impl Group {
    /// Reads the figures.
    pub(crate) fn stats(&self) -> Stats {
        let mut stats = Stats::default();
        if let Some(member) = self.member("memory") {
            let [current, limit, peak] = match member.version {
                Version::One => {
                    ["memory.usage_in_bytes", "memory.limit_in_bytes", "memory.max_usage_in_bytes"]
                }
                Version::Two => ["memory.current", "memory.max", "memory.peak"],
            };
            stats.memory_current = number(member, current);
            stats.memory_limit = number(member, limit).filter(|limit| *limit < NO_LIMIT);
            stats.memory_peak = number(member, peak);
        }
        self.count_cpu(&mut stats);
        if let Some(member) = self.member("pids") {
            stats.pids_current = number(member, "pids.current");
            stats.pids_limit = number(member, "pids.max");
        }
        self.count_io(&mut stats);
        stats
    }

    fn count_cpu(&self, stats: &mut Stats) {
        let micro = |number: Option<&u64>| number.map(|number| number.saturating_mul(1000));
        if let Some(member) = self.member("cpu") {
            let table = table(member, "cpu.stat");
            stats.cpu_periods = table.get("nr_periods").copied();
            stats.cpu_throttled_periods = table.get("nr_throttled").copied();
            stats.cpu_throttled = match member.version {
                Version::One => table.get("throttled_time").copied(),
                Version::Two => micro(table.get("throttled_usec")),
            };
        }
        if let Some(member) = self.member("cpuacct") {
            stats.cpu_usage = number(member, "cpuacct.usage");
            stats.cpu_user = number(member, "cpuacct.usage_user");
            stats.cpu_system = number(member, "cpuacct.usage_sys");
        } else if let Some(member) = self.member("") {
            // Every group of version 2 counts this much.
            let table = table(member, "cpu.stat");
            stats.cpu_usage = micro(table.get("usage_usec"));
            stats.cpu_user = micro(table.get("user_usec"));
            stats.cpu_system = micro(table.get("system_usec"));
        }
    }

    fn count_io(&self, stats: &mut Stats) {
        let old = self.member("blkio");
        let Some(member) = old.or_else(|| self.member("io")) else { return };
        let text = match member.version {
            Version::One => member.directory.read("blkio.throttle.io_service_bytes_recursive"),
            Version::Two => member.directory.read("io.stat"),
        };
        let Ok(text) = text else { return };
        let (read, written) = sum_io(&text, member.version);
        stats.io_read = Some(read);
        stats.io_written = Some(written);
    }
}

/// The one number of a file; `None` for the word `max`.
fn number(member: &Member, file: &str) -> Option<u64> {
    member.directory.read(file).ok()?.trim().parse().ok()
}

/// A file of names with a number each.
fn table(member: &Member, file: &str) -> HashMap<String, u64> {
    let text = member.directory.read(file).unwrap_or_default();
    let row = |line: &str| {
        let (name, number) = line.split_once(' ')?;
        Some((name.to_owned(), number.trim().parse().ok()?))
    };
    text.lines().filter_map(row).collect()
}

/// Bytes read and written, of all devices.
fn sum_io(text: &str, version: Version) -> (u64, u64) {
    let (mut read, mut written) = (0_u64, 0_u64);
    for line in text.lines() {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let mut add = |name: &str, number: &str| {
            let number: u64 = number.parse().unwrap_or(0);
            match name {
                "Read" | "rbytes" => read = read.saturating_add(number),
                "Write" | "wbytes" => written = written.saturating_add(number),
                _ => {}
            }
        };
        match (version, words.as_slice()) {
            (Version::One, [_, name, number]) => add(name, number),
            (Version::Two, [_, pairs @ ..]) => {
                pairs
                    .iter()
                    .filter_map(|pair| pair.split_once('='))
                    .for_each(|(name, number)| add(name, number));
            }
            _ => {}
        }
    }
    (read, written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_all_devices_are_added() {
        let old = "8:0 Read 10\n8:0 Write 2\n8:0 Sync 12\n8:16 Read 5\nTotal 17\n";
        assert_eq!(sum_io(old, Version::One), (15, 2));
        let new = "8:0 rbytes=10 wbytes=2 rios=1\n8:16 rbytes=5 wbytes=x\n9:0\n";
        assert_eq!(sum_io(new, Version::Two), (15, 2));
    }
}
