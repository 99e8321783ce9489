//! Leases: one address each, and nothing left when they end.

use crate::world::{INTERNET, MACHINE, Space, World, address, serve, tcp, visit};
use std::collections::HashSet;
use std::process::{Command, Stdio};
use std::time::Duration;

#[test]
fn twenty_at_once_get_twenty_addresses() {
    let Some(world) = World::new() else { return };
    let spaces: Vec<Space> = (0..20).map(|_| Space::new()).collect();
    let addresses: HashSet<_> = std::thread::scope(|scope| {
        let runs: Vec<_> = spaces
            .iter()
            .enumerate()
            .map(|(number, space)| {
                let world = &world;
                let port = 8000 + u16::try_from(number).unwrap();
                scope.spawn(move || {
                    address(
                        &world.try_connect(&format!("c{number}"), space, &[tcp(port, 80)]).unwrap(),
                    )
                })
            })
            .collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    assert_eq!(addresses.len(), 20);
    assert_eq!(world.leases(), 20);
    serve(&spaces[7], 80, "seven");
    assert_eq!(visit(&world.internet, MACHINE, 8007), format!("seven sees {INTERNET}"));
}

#[test]
fn disconnecting_takes_the_port_the_link_and_the_lease_away() {
    let Some(world) = World::new() else { return };
    let (one, first) = world.connect("one", &[tcp(8080, 80)]);
    serve(&one, 80, "one");
    let link = "corten0ad20002".to_owned();
    assert_eq!(visit(&world.internet, MACHINE, 8080), format!("one sees {INTERNET}"));
    assert!(world.links().contains(&link), "{:?}", world.links());
    world.disconnect("one");
    drop(first);
    assert_eq!(visit(&world.internet, MACHINE, 8080), "connection refused");
    assert!(!world.links().contains(&link));
    assert_eq!(world.leases(), 0);
    world.disconnect("one");
    world.disconnect("never-there");
    let refused = world.machine.run(|| corten_run::network::disconnect(world.place.path(), "../x"));
    assert_eq!(refused.unwrap_err().to_string(), "\"../x\" is no id of a container");
}

#[test]
fn collecting_keeps_the_living_and_takes_the_bridge_after_the_last() {
    let Some(world) = World::new() else { return };
    let (one, _) = world.connect("one", &[tcp(8080, 80)]);
    let (two, _) = world.connect("two", &[tcp(8081, 80)]);
    serve(&one, 80, "one");
    serve(&two, 80, "two");
    world.collect(&|id| id == "two");
    assert_eq!(visit(&world.internet, MACHINE, 8080), "connection refused");
    assert_eq!(visit(&world.internet, MACHINE, 8081), format!("two sees {INTERNET}"));
    assert_eq!(world.leases(), 1);
    world.collect(&|_| false);
    assert_eq!(world.links(), ["lo", "wan"]);
    assert_eq!(world.leases(), 0);
    assert!(!world.place.path().join("bridge.json").exists());
}

/// Is not a test but what [`kills_at_any_moment_leave_nothing_after_collect`] kills.
#[test]
#[ignore = "run by another test"]
fn connects_without_end() {
    let Ok(place) = std::env::var("CORTEN_TEST_PLACE") else { return };
    let pid: u32 = std::env::var("CORTEN_TEST_PID").unwrap().parse().unwrap();
    let place = std::path::Path::new(&place);
    let wanted =
        corten_run::network::Private { publish: vec![tcp(8080, 80)], programs: Vec::new() };
    loop {
        corten_run::network::connect(place, "k", pid, &wanted, corten_run::network::Way::Bridge)
            .unwrap();
        corten_run::network::disconnect(place, "k").unwrap();
    }
}

#[test]
fn kills_at_any_moment_leave_nothing_after_collect() {
    let Some(world) = World::new() else { return };
    let space = Space::new();
    let (stays, _) = world.connect("stays", &[tcp(8088, 80)]);
    serve(&stays, 80, "stays");
    for round in 0..12_u64 {
        let mut child = world.machine.run(|| {
            Command::new(std::env::current_exe().unwrap())
                .args(["--ignored", "--exact", "leases::connects_without_end"])
                .env("CORTEN_TEST_PLACE", world.place.path())
                .env("CORTEN_TEST_PID", space.pid().to_string())
                .stdout(Stdio::null())
                .spawn()
                .unwrap()
        });
        std::thread::sleep(Duration::from_micros(20_000 + round * 3_700));
        child.kill().unwrap();
        assert!(!child.wait().unwrap().success());
        world.collect(&|id| id == "stays");
        assert_eq!(world.leases(), 1);
        assert_eq!(world.links(), ["lo", "wan", "corten0", "corten0ad20002"]);
        assert_eq!(visit(&world.internet, MACHINE, 8080), "connection refused");
    }
    assert_eq!(visit(&world.internet, MACHINE, 8088), format!("stays sees {INTERNET}"));
}

#[test]
fn a_port_of_a_process_that_is_gone_is_free() {
    let Some(world) = World::new() else { return };
    let (gone, first) = world.connect("gone", &[tcp(8080, 80)]);
    drop(gone);
    drop(first);
    let (two, _) = world.connect("two", &[tcp(8080, 80)]);
    serve(&two, 80, "two");
    assert_eq!(visit(&world.internet, MACHINE, 8080), format!("two sees {INTERNET}"));
    assert_eq!(world.leases(), 1);
}

#[test]
fn a_process_that_is_gone_is_told() {
    let Some(world) = World::new() else { return };
    let wanted = corten_run::network::Private::default();
    let way = corten_run::network::Way::Bridge;
    let place = world.place.path();
    let refused = corten_run::network::connect(place, "x", u32::MAX, &wanted, way).unwrap_err();
    assert_eq!(refused.to_string(), "process 4294967295 is gone");
    assert_eq!(world.leases(), 0);
}
