//! The way of pasta; its process must never outlive the container.

use crate::world::{INTERNET, MACHINE, Space, World, peer, serve, tcp, visit};
use corten_run::network::{Connected, NetworkError, Private, Publish, Way, connect};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The directory of the peers' pasta; `None`, told, when it is not there.
fn programs() -> Option<Vec<PathBuf>> {
    peer("pasta").map(|path| vec![path.parent().unwrap().to_owned()])
}

fn with_pasta(
    world: &World,
    space: &Space,
    publish: &[Publish],
    programs: &[PathBuf],
) -> Result<Connected, NetworkError> {
    let wanted = Private { publish: publish.to_vec(), programs: programs.to_vec() };
    world.machine.run(|| connect(world.place.path(), "one", space.pid(), &wanted, Way::Pasta))
}

/// The processes of pasta that serve a container.
fn pastas(space: u32) -> usize {
    let wanted = format!("/proc/{space}/ns/net");
    let serves = |pid: &str| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(&wanted)
    };
    let entries = std::fs::read_dir("/proc").unwrap();
    entries.filter(|entry| serves(&entry.as_ref().unwrap().file_name().to_string_lossy())).count()
}

/// Waits for a number of them: what went to the background lets its beginning end in its own time.
fn wait_for(pid: u32, wanted: usize) {
    let begin = Instant::now();
    while pastas(pid) != wanted {
        assert!(begin.elapsed() < Duration::from_secs(5), "{} of pasta", pastas(pid));
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn pasta_leads_out_and_in_and_ends_with_the_container() {
    let Some(world) = World::new() else { return };
    let Some(programs) = programs() else { return };
    let space = Space::of_user();
    let begin = Instant::now();
    let connected = with_pasta(&world, &space, &[tcp(8080, 80)], &programs).unwrap();
    eprintln!("pasta: {:?}", begin.elapsed());
    assert_eq!(connected.way, Way::Pasta);
    assert_eq!(connected.address.unwrap().to_string(), MACHINE);
    assert_eq!(connected.gateway.unwrap().to_string(), INTERNET);
    serve(&space, 80, "one");
    serve(&world.internet, 80, "internet");
    assert_eq!(visit(&space, INTERNET, 80), format!("internet sees {MACHINE}"));
    assert!(visit(&world.internet, MACHINE, 8080).starts_with("one sees"));
    assert!(visit(&world.machine, "127.0.0.1", 8080).starts_with("one sees"));
    let pid = space.pid();
    wait_for(pid, 1);
    drop(space);
    wait_for(pid, 0);
    world.collect(&|_| false);
    assert_eq!(world.leases(), 0);
}

#[test]
fn disconnecting_ends_pasta() {
    let Some(world) = World::new() else { return };
    let Some(programs) = programs() else { return };
    let space = Space::of_user();
    with_pasta(&world, &space, &[], &programs).unwrap();
    wait_for(space.pid(), 1);
    world.disconnect("one");
    wait_for(space.pid(), 0);
    let files: Vec<_> = std::fs::read_dir(world.place.path()).unwrap().collect();
    assert_eq!(files.len(), 2, "{files:?}");
}

#[test]
fn what_pasta_says_is_the_error() {
    let Some(world) = World::new() else { return };
    let Some(programs) = programs() else { return };
    // In no user namespace of its own, so that even root's pasta, which drops its privileges, may not.
    let space = Space::new();
    let refused = with_pasta(&world, &space, &[], &programs).unwrap_err().to_string();
    assert!(refused.contains("bin/pasta: ") && refused.contains("namespace"), "{refused}");
    assert_eq!(world.leases(), 0);
    wait_for(space.pid(), 0);
}

#[test]
fn without_pasta_the_package_is_named() {
    let Some(world) = World::new() else { return };
    let space = Space::of_user();
    let nowhere = [PathBuf::from("/nonexistent/bin"), PathBuf::from("/nonexistent/sbin")];
    let refused = with_pasta(&world, &space, &[], &nowhere).unwrap_err().to_string();
    assert_eq!(
        refused,
        "pasta is in none of /nonexistent/bin:/nonexistent/sbin: install the package passt"
    );
    assert_eq!(world.leases(), 0);
}
