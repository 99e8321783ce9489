//! A thread with mounts of its own.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::path::Path;

#[test]
fn what_a_thread_mounts_for_itself_is_seen_nowhere_else_and_vanishes_with_it() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: it needs root");
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let place = scratch.path().join("place");
    std::fs::create_dir(&place).unwrap();
    let seen = |place: &Path| place.join("mark").exists();
    std::thread::scope(|scope| {
        let inside = scope.spawn(|| {
            corten_engine::private_mounts().unwrap();
            // Twice is no more than once.
            corten_engine::private_mounts().unwrap();
            rustix::mount::mount("none", &place, "tmpfs", rustix::mount::MountFlags::empty(), None)
                .unwrap();
            std::fs::write(place.join("mark"), "").unwrap();
            // The working directory is the thread's own as well.
            std::env::set_current_dir(&place).unwrap();
            let child = std::process::Command::new("test").args(["-e", "mark"]).status().unwrap();
            (seen(&place), child.success())
        });
        assert_eq!(inside.join().unwrap(), (true, true));
    });
    assert!(!seen(&place));
    assert_ne!(std::env::current_dir().unwrap(), place);
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!table.contains(&*place.to_string_lossy()));
    std::fs::remove_dir(&place).unwrap();
}
