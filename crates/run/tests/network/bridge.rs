//! Out, and to each other.

use crate::world::{INTERNET, MACHINE, Space, World, address, ip, peer, serve, silent, tcp, visit};
use corten_run::network::{Private, Way, connect};
use std::process::Command;
use std::time::{Duration, Instant};

#[test]
fn a_container_reaches_the_internet_as_the_machine_and_its_neighbour_as_itself() {
    let Some(world) = World::new() else { return };
    let (one, first) = world.connect("one", &[]);
    let (two, second) = world.connect("two", &[]);
    serve(&world.internet, 80, "internet");
    serve(&world.machine, 81, "machine");
    serve(&two, 82, "two");
    assert_eq!(first.way, Way::Bridge);
    assert_ne!(first.address, second.address);
    assert_eq!(first.gateway, second.gateway);
    assert_eq!(visit(&one, INTERNET, 80), format!("internet sees {MACHINE}"));
    assert_eq!(visit(&one, MACHINE, 81), format!("machine sees {}", address(&first)));
    assert_eq!(visit(&one, address(&second), 82), format!("two sees {}", address(&first)));
    assert_eq!(visit(&one, "127.0.0.1", 9), "connection refused");
    assert_eq!(first.notices.len(), 1, "{:?}", first.notices);
    assert!(second.notices.is_empty(), "{:?}", second.notices);
}

#[test]
fn what_is_not_published_is_not_reached_from_outside() {
    let Some(world) = World::new() else { return };
    let (one, first) = world.connect("one", &[tcp(8080, 80)]);
    serve(&one, 80, "one");
    serve(&one, 81, "one");
    let network = first.gateway.unwrap().to_string().replace("0.1", "0.0");
    world.internet.run(|| ip(&format!("route add {network}/16 via {MACHINE}")));
    assert!(silent(&world.internet, address(&first), 81));
    assert!(silent(&world.internet, address(&first), 80));
    assert_eq!(visit(&world.internet, MACHINE, 8080), format!("one sees {INTERNET}"));
    assert!(visit(&world.machine, address(&first), 81).starts_with("one sees"));
}

#[test]
fn the_network_of_the_bridge_is_none_that_the_machine_routes_to() {
    let Some(world) = World::new() else { return };
    world.machine.run(|| {
        ip("route add 10.210.9.0/24 dev wan");
        ip("route add 10.211.0.0/16 dev wan");
    });
    let (_one, first) = world.connect("one", &[]);
    assert_eq!(address(&first).to_string(), "10.198.0.2");
    world.disconnect("one");
    let (_two, second) = world.connect("two", &[]);
    assert_eq!(address(&second).to_string(), "10.198.0.3");
}

#[test]
fn a_firewall_that_drops_what_is_forwarded_is_named_until_it_lets_the_bridge_through() {
    let Some(world) = World::new() else { return };
    // It stands for the tree: iptables is in it, without a wrapper of its own.
    let Some(peer) = peer("podman") else { return };
    let tree = peer.ancestors().nth(2).unwrap();
    let iptables = |arguments: &str| {
        world.machine.run(|| {
            let mut command = Command::new(tree.join("peers"));
            command.env("CORTEN_PEERS", tree);
            let done =
                command.args(["exec", "iptables"]).args(arguments.split(' ')).output().unwrap();
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        });
    };
    iptables("-P FORWARD DROP");
    serve(&world.internet, 80, "internet");
    let (one, first) = world.connect("one", &[]);
    assert!(silent(&one, INTERNET, 80));
    let told = first.notices.join("\n");
    assert!(told.contains("iptables -I FORWARD -i corten0 -j ACCEPT"), "{told}");
    iptables("-I FORWARD -i corten0 -j ACCEPT");
    iptables("-I FORWARD -o corten0 -j ACCEPT");
    let (two, second) = world.connect("two", &[]);
    assert_eq!(second.notices, Vec::<String>::new());
    assert_eq!(visit(&two, INTERNET, 80), format!("internet sees {MACHINE}"));
}

/// The time this thread has run; other programs of the machine do not count.
fn busy() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

#[test]
fn connecting_takes_milliseconds() {
    let Some(world) = World::new() else { return };
    let spaces: Vec<_> = (0..12).map(|_| Space::new()).collect();
    let mut times = Vec::new();
    for (number, space) in spaces.iter().enumerate() {
        let host = 9000 + u16::try_from(number).unwrap();
        let wanted = Private { publish: vec![tcp(host, 80)], programs: Vec::new() };
        times.push(world.machine.run(|| {
            let (begin, ran) = (Instant::now(), busy());
            let id = format!("c{number}");
            connect(world.place.path(), &id, space.pid(), &wanted, Way::Bridge).unwrap();
            (begin.elapsed(), busy() - ran)
        }));
    }
    eprintln!("connect, by the clock and of the processor: {times:?}");
    let least = times.iter().map(|(_, ran)| ran).min().unwrap();
    assert!(least.as_millis() < 10, "{times:?}");
}
