//! The network of the bridge: private, and none that the machine has routes into.

use super::route::Route;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::Ipv4Addr;

/// The length of the prefix of every network of a bridge.
pub(super) const PREFIX: u8 = 16;
/// The first two bytes of the networks that are tried (RFC 1918), in this order: away from what Docker
/// (172.17 and up), Podman (10.88), Kubernetes (10.42, 10.96, 10.244) and routers for homes take.
const TRIED: [[u8; 2]; 12] = [
    [10, 210],
    [10, 211],
    [10, 198],
    [10, 173],
    [10, 149],
    [10, 121],
    [172, 30],
    [172, 29],
    [172, 27],
    [10, 227],
    [10, 67],
    [192, 168],
];

/// A network of 65536 addresses, by the two bytes that they begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Subnet([u8; 2]);

impl Subnet {
    /// The network an address is in.
    pub(super) fn of(address: Ipv4Addr) -> Self {
        let [first, second, _, _] = address.octets();
        Self([first, second])
    }

    pub(super) fn base(self) -> Ipv4Addr {
        let [first, second] = self.0;
        Ipv4Addr::new(first, second, 0, 0)
    }

    /// The machine's own address in it.
    pub(super) fn gateway(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.base().to_bits() | 1)
    }

    /// The addresses for containers, from the one after `last` on, round once.
    pub(super) fn after(self, last: Option<Ipv4Addr>) -> impl Iterator<Item = Ipv4Addr> {
        let base = self.base().to_bits();
        let last = last.filter(|last| Self::of(*last) == self);
        let from = last.map_or(0, |last| (last.to_bits() & 0xffff).saturating_sub(1));
        // 2 to 65534: the network itself, the gateway and the broadcast address are no container's.
        let count = 65533;
        (0..count).map(move |step| Ipv4Addr::from_bits(base | (2 + (from + step) % count)))
    }

    /// Whether the machine sends some of these addresses elsewhere. A default route, whole or in two
    /// halves as tunnels have it, is no such claim.
    pub(super) fn collides(self, routes: &[Route], ours: Option<u32>) -> bool {
        routes.iter().filter(|route| route.length > 1 && (ours.is_none() || route.out != ours)).any(
            |route| {
                let length = u32::from(route.length.min(PREFIX));
                let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
                (route.destination.to_bits() ^ self.base().to_bits()) & mask == 0
            },
        )
    }

    /// The first network that collides with nothing.
    pub(super) fn choose(routes: &[Route]) -> Option<Self> {
        TRIED.into_iter().map(Self).find(|subnet| !subnet.collides(routes, None))
    }

    /// What [`Self::choose`] looks at, for an error.
    pub(super) fn tried() -> String {
        let names: Vec<String> = TRIED.into_iter().map(|bytes| Self(bytes).to_string()).collect();
        names.join(", ")
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{PREFIX}", self.base())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(text: &str, length: u8) -> Route {
        Route { destination: text.parse().unwrap(), length, out: Some(2) }
    }

    #[test]
    fn a_network_with_a_route_into_it_or_around_it_is_left_alone() {
        assert_eq!(Subnet::choose(&[]).unwrap().to_string(), "10.210.0.0/16");
        let inside = [route("0.0.0.0", 0), route("128.0.0.0", 1), route("10.210.7.0", 24)];
        assert_eq!(Subnet::choose(&inside).unwrap().to_string(), "10.211.0.0/16");
        let around = [route("10.0.0.0", 8), route("172.30.5.5", 32)];
        assert_eq!(Subnet::choose(&around).unwrap().to_string(), "172.29.0.0/16");
        let all = [route("10.0.0.0", 8), route("172.16.0.0", 12), route("192.168.1.0", 24)];
        assert_eq!(Subnet::choose(&all), None);
    }

    #[test]
    fn addresses_follow_the_last_and_come_round() {
        let subnet = Subnet([10, 210]);
        let first = |last: Option<&str>| {
            subnet.after(last.map(|last| last.parse().unwrap())).next().unwrap().to_string()
        };
        assert_eq!(first(None), "10.210.0.2");
        assert_eq!(first(Some("10.210.0.2")), "10.210.0.3");
        assert_eq!(first(Some("10.210.255.254")), "10.210.0.2");
        assert_eq!(first(Some("10.9.0.77")), "10.210.0.2");
        let all: std::collections::HashSet<_> = subnet.after(None).collect();
        assert_eq!(all.len(), 65533);
    }
}
