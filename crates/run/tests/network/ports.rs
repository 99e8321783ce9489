//! Published ports.

use crate::world::{
    INTERNET, MACHINE, Space, World, address, ip, serve, serve_udp, silent, tcp, udp,
};
use crate::world::{visit, visit_udp};
use corten_run::network::{NetworkError, Publish};

#[test]
fn a_port_is_reached_from_outside_from_the_machine_and_from_containers() {
    let Some(world) = World::new() else { return };
    let (one, first) = world.connect("one", &[tcp(8080, 80), udp(5353, 53)]);
    let (two, _) = world.connect("two", &[]);
    serve(&one, 80, "one");
    serve_udp(&one, 53, "one");
    let gateway = first.gateway.unwrap();
    let outside = format!("one sees {INTERNET}");
    let bridge = format!("one sees {gateway}");
    assert_eq!(visit(&world.internet, MACHINE, 8080), outside);
    assert_eq!(visit_udp(&world.internet, MACHINE, 5353), outside);
    assert_eq!(visit(&world.machine, "127.0.0.1", 8080), bridge);
    assert_eq!(visit_udp(&world.machine, "127.0.0.1", 5353), bridge);
    assert!(visit(&world.machine, MACHINE, 8080).starts_with("one sees"));
    assert!(visit_udp(&world.machine, MACHINE, 5353).starts_with("one sees"));
    for container in [&one, &two] {
        assert_eq!(visit(container, MACHINE, 8080), bridge);
        assert_eq!(visit_udp(container, gateway, 5353), bridge);
    }
}

#[test]
fn a_port_of_the_loopback_is_the_machines_alone() {
    let Some(world) = World::new() else { return };
    let local = Publish { address: Some("127.0.0.1".parse().unwrap()), ..tcp(8080, 80) };
    let (one, first) = world.connect("one", &[local]);
    serve(&one, 80, "one");
    serve(&world.machine, 81, "machine");
    assert_eq!(
        visit(&world.machine, "127.0.0.1", 8080),
        format!("one sees {}", first.gateway.unwrap())
    );
    assert_eq!(visit(&world.machine, MACHINE, 8080), "connection refused");
    assert_eq!(visit(&world.internet, MACHINE, 8080), "connection refused");
    // Whoever is on the wire may send to the machine's loopback all the same.
    for (space, link, gateway) in [
        (&world.internet, "wan", MACHINE.to_owned()),
        (&one, "eth0", first.gateway.unwrap().to_string()),
    ] {
        space.run(|| {
            std::fs::write(format!("/proc/sys/net/ipv4/conf/{link}/route_localnet"), "1").unwrap();
            ip("addr del 127.0.0.1/8 dev lo");
            ip(&format!("route add 127.0.0.0/8 via {gateway}"));
        });
        assert!(silent(space, "127.0.0.1", 8080));
        assert!(silent(space, "127.0.0.1", 81));
    }
}

#[test]
fn without_a_published_port_the_loopback_is_closed_without_any_rule() {
    let Some(world) = World::new() else { return };
    let (one, first) = world.connect("one", &[]);
    let (_two, _) = world.connect("two", &[tcp(8080, 80)]);
    let _listener = world.machine.run(|| std::net::TcpListener::bind("127.0.0.1:81").unwrap());
    world.disconnect("two");
    // As a firewall does that is loaded again.
    world
        .machine
        .run(|| std::process::Command::new("nft").args(["flush", "ruleset"]).status().unwrap());
    one.run(|| {
        std::fs::write("/proc/sys/net/ipv4/conf/eth0/route_localnet", "1").unwrap();
        ip("addr del 127.0.0.1/8 dev lo");
        ip(&format!("route add 127.0.0.0/8 via {}", first.gateway.unwrap()));
    });
    assert!(silent(&one, "127.0.0.1", 81));
}

#[test]
fn a_port_has_one_holder() {
    let Some(world) = World::new() else { return };
    let (_one, first) = world.connect("one", &[tcp(8080, 80), udp(8080, 80)]);
    let other = Space::new();
    let refused = |publish: &[Publish]| match world.try_connect("two", &other, publish) {
        Err(NetworkError::PortTaken { port, protocol, holder }) => {
            format!("{port} {protocol} {holder}")
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(&[tcp(8080, 81)]), "8080 TCP container one");
    let loopback = Publish { address: Some("127.0.0.1".parse().unwrap()), ..udp(8080, 81) };
    assert_eq!(refused(&[loopback]), "8080 UDP container one");
    assert_eq!(refused(&[tcp(9, 80), tcp(9, 81)]), "9 TCP this container already");
    let busy = world.machine.run(|| std::net::TcpListener::bind("0.0.0.0:7000").unwrap());
    assert_eq!(refused(&[tcp(7000, 80)]), "7000 TCP a program of the machine");
    drop(busy);
    assert_eq!(world.leases(), 1);
    let late =
        || std::net::TcpListener::bind("0.0.0.0:8080").map(drop).map_err(|error| error.kind());
    assert_eq!(world.machine.run(late), Err(std::io::ErrorKind::AddrInUse));
    drop(first);
    assert_eq!(world.machine.run(late), Ok(()));
    let elsewhere = Publish { address: Some("198.51.100.9".parse().unwrap()), ..tcp(7001, 80) };
    let refused = world.try_connect("two", &other, &[elsewhere]).unwrap_err().to_string();
    assert_eq!(
        refused,
        "port 7001 cannot be published at 198.51.100.9: the machine does not have this address"
    );
}

#[test]
fn port_0_becomes_a_free_one() {
    let Some(world) = World::new() else { return };
    let (one, connected) = world.connect("one", &[tcp(0, 80)]);
    serve(&one, 80, "one");
    assert_ne!(connected.publish[0].host, 0);
    let said = visit(&world.internet, MACHINE, connected.publish[0].host);
    assert_eq!(said, format!("one sees {INTERNET}"));
}

#[test]
fn connecting_again_moves_a_container() {
    let Some(world) = World::new() else { return };
    let (one, _) = world.connect("one", &[tcp(8080, 80)]);
    serve(&one, 80, "one");
    let moved = Space::new();
    let again = world.try_connect("two", &moved, &[tcp(8081, 80)]).unwrap();
    serve(&moved, 80, "two");
    let anew = Space::new();
    world.try_connect("two", &anew, &[tcp(8082, 80)]).unwrap();
    serve(&anew, 80, "anew");
    assert_eq!(visit(&world.internet, MACHINE, 8080), format!("one sees {INTERNET}"));
    assert_eq!(visit(&world.internet, MACHINE, 8081), "connection refused");
    assert_eq!(visit(&world.internet, MACHINE, 8082), format!("anew sees {INTERNET}"));
    assert_eq!(world.leases(), 2);
    assert_ne!(address(&again).to_string(), "10.210.0.2");
}

#[test]
fn a_sender_that_never_pauses_is_led_to_whoever_has_the_udp_port_now() {
    let Some(world) = World::new() else { return };
    let sender = world.internet.run(|| std::net::UdpSocket::bind("0.0.0.0:40000").unwrap());
    sender.set_read_timeout(Some(std::time::Duration::from_millis(300))).unwrap();
    let answer = || {
        let mut buffer = [0; 64];
        // On a busy machine a packet was sent twice, and the answer to the first one is still on its way.
        while sender.recv_from(&mut buffer).is_ok() {}
        // A refusal of an earlier packet comes with the next call.
        for _ in 0..5 {
            let _ = sender.send_to(b"?", (MACHINE, 5353));
            if let Ok((length, _)) = sender.recv_from(&mut buffer) {
                return String::from_utf8_lossy(&buffer[..length]).into_owned();
            }
        }
        "nothing".to_owned()
    };
    let (_other, _) = world.connect("other", &[]);
    assert_eq!(answer(), "nothing");
    for name in ["one", "two"] {
        let (space, _) = world.connect(name, &[udp(5353, 53)]);
        serve_udp(&space, 53, name);
        assert_eq!(answer(), format!("{name} sees {INTERNET}"));
        world.disconnect(name);
        assert_eq!(answer(), "nothing");
    }
}

/// Removes the table as somebody does who flushes all rules: `nft flush ruleset`.
fn flush(world: &World) {
    let message = |kind: u16, body: &[u8]| {
        let length = u32::try_from(16 + body.len()).unwrap();
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend([kind.to_ne_bytes(), 1_u16.to_ne_bytes()].concat());
        bytes.extend([[0; 8].as_slice(), body].concat());
        bytes
    };
    // A batch of one removal: of the table of family 1 (inet) named by attribute 1.
    let table = [&[1, 0, 0, 0], &11_u16.to_ne_bytes()[..], &1_u16.to_ne_bytes(), b"corten\0\0"];
    let subsystem = [0, 0, 0, 10];
    let messages =
        [message(16, &subsystem), message(0xa02, &table.concat()), message(17, &subsystem)];
    world.machine.run(|| {
        use rustix::net::{AddressFamily, SendFlags, SocketType, netlink};
        let kind = Some(netlink::NETFILTER);
        let socket = rustix::net::socket(AddressFamily::NETLINK, SocketType::RAW, kind).unwrap();
        rustix::net::send(&socket, &messages.concat(), SendFlags::empty()).unwrap();
    });
}

#[test]
fn rules_that_somebody_flushed_come_back_with_the_next_change() {
    let Some(world) = World::new() else { return };
    let (one, _) = world.connect("one", &[tcp(8080, 80)]);
    serve(&one, 80, "one");
    let seen = format!("one sees {INTERNET}");
    let (_two, _) = world.connect("two", &[tcp(8081, 80)]);
    flush(&world);
    assert_eq!(visit(&world.internet, MACHINE, 8080), "connection refused");
    world.disconnect("two");
    assert_eq!(visit(&world.internet, MACHINE, 8080), seen);
    flush(&world);
    assert_eq!(visit(&world.internet, MACHINE, 8080), "connection refused");
    let (_three, _) = world.connect("three", &[]);
    assert_eq!(visit(&world.internet, MACHINE, 8080), seen);
}
