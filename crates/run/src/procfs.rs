//! What `/proc` tells of a process.

/// When a process started, in clock ticks since boot; `None` when it is gone or has ended.
pub(crate) fn start_time(pid: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the name in parentheses and may hold anything, so count from its end.
    let mut fields = text.get(text.rfind(')')? + 1..)?.split_whitespace();
    match fields.next()? {
        "Z" | "X" => None,
        _ => fields.nth(18)?.parse().ok(),
    }
}

/// What tells this boot of the machine from others; empty where the machine does not say.
pub(crate) fn boot() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    id.unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    #[test]
    fn this_process_has_started_and_no_other_has_its_place() {
        let here = super::start_time(std::process::id());
        assert!(here.is_some());
        assert_eq!(here, super::start_time(std::process::id()));
        assert_eq!(super::start_time(u32::MAX), None);
    }
}
