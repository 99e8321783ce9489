//! Links, addresses and routes of one network namespace.

use super::error::{Doing, NetworkError};
use super::netlink::{self, ACK, Body, CREATE, DUMP, EXCLUSIVE, Messages, Socket, find, word};
use rustix::io::Errno;
use rustix::thread::LinkNameSpaceType;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

const NEWLINK: u16 = 16;
const DELLINK: u16 = 17;
const GETLINK: u16 = 18;
const NEWADDR: u16 = 20;
const NEWROUTE: u16 = 24;
const GETROUTE: u16 = 26;
/// `IFF_UP`.
const UP: u32 = 1;
const INET: u8 = 2;
const IFLA_ADDRESS: u16 = 1;
const IFLA_NAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_NET_NS_FD: u16 = 28;
const INFO_KIND: u16 = 1;
const INFO_DATA: u16 = 2;
const INFO_SLAVE_KIND: u16 = 4;
const INFO_SLAVE_DATA: u16 = 5;
const VETH_PEER: u16 = 1;
/// `IFLA_BRPORT_MODE`.
const HAIRPIN: u16 = 4;
/// The lengths of the fixed parts of the kernel's messages.
const LINK_HEAD: usize = 16;
const ROUTE_HEAD: usize = 12;
/// The index of `lo`, which is the first link of every namespace.
const LOOPBACK: u32 = 1;

/// Speaks of the links, addresses and routes of a namespace.
#[derive(Debug)]
pub(super) struct Routing(Socket);

/// A link that exists.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub(super) index: u32,
    pub(super) mtu: u32,
    pub(super) kind: String,
}

/// A route for version 4 of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) destination: Ipv4Addr,
    pub(super) length: u8,
    pub(super) out: Option<u32>,
}

/// The two ends of a pair: one at the bridge, one in the container.
#[derive(Debug)]
pub(super) struct Pair<'a> {
    pub(super) name: &'a str,
    pub(super) bridge: &'a Link,
    pub(super) inner: &'a str,
    pub(super) hardware: [u8; 6],
    pub(super) namespace: BorrowedFd<'a>,
}

impl Routing {
    /// For the namespace of this thread.
    pub(super) fn here() -> Result<Self, NetworkError> {
        Socket::open(None).map(Self).doing(|| "open a routing socket".to_owned())
    }

    /// For another namespace: the socket is made by a thread that goes there and ends, so that no other
    /// thread ever leaves its own.
    pub(super) fn inside(namespace: BorrowedFd<'_>) -> Result<Self, NetworkError> {
        std::thread::scope(|scope| {
            let going = scope.spawn(|| {
                let kind = Some(LinkNameSpaceType::Network);
                rustix::thread::move_into_link_name_space(namespace.as_fd(), kind)
                    .doing(|| "enter the container's network namespace".to_owned())?;
                Self::here()
            });
            going.join().unwrap_or_else(|_| {
                Err(std::io::Error::other("the thread ended early"))
                    .doing(|| "enter the container's network namespace".to_owned())
            })
        })
    }

    /// The link of a name, if there is one.
    pub(super) fn link(&self, name: &str) -> Result<Option<Link>, NetworkError> {
        self.find(|body| {
            body.raw(&head(0, 0)).text(IFLA_NAME, name);
        })
        .doing(|| format!("look for link {name}"))
    }

    /// The link of a number, if there is one.
    pub(super) fn link_at(&self, index: u32) -> Result<Option<Link>, NetworkError> {
        self.find(|body| {
            body.raw(&head(index, 0));
        })
        .doing(|| format!("look for link {index}"))
    }

    fn find(&self, fill: impl FnOnce(&mut Body)) -> Result<Option<Link>, netlink::Refusal> {
        let answers = match self.0.ask(&Messages::one(GETLINK, 0, fill)) {
            Err(refusal) if refusal.errno == Errno::NODEV => return Ok(None),
            other => other?,
        };
        Ok(answers.first().and_then(|answer| read_link(&answer.body)))
    }

    pub(super) fn add_bridge(
        &self,
        name: &str,
        mtu: u32,
        hardware: [u8; 6],
    ) -> Result<(), NetworkError> {
        let message = Messages::one(NEWLINK, CREATE | EXCLUSIVE | ACK, |body| {
            body.raw(&head(0, UP))
                .text(IFLA_NAME, name)
                .number(IFLA_MTU, mtu)
                .attribute(IFLA_ADDRESS, &hardware)
                .nest(IFLA_LINKINFO, |info| {
                    info.text(INFO_KIND, "bridge");
                });
        });
        self.0.ask(&message).map(drop).doing(|| format!("make bridge {name}"))
    }

    /// Makes a pair of links, one end at the bridge and up, the other in the container's namespace. The
    /// bridge may send back by the end what came in by it: where netfilter sees bridged packets, a port
    /// that a container asks the machine for and has itself is led back so.
    pub(super) fn add_pair(&self, pair: &Pair<'_>) -> Result<(), NetworkError> {
        let fd = u32::try_from(pair.namespace.as_raw_fd()).unwrap_or(u32::MAX);
        let mut messages = Messages::one(NEWLINK, CREATE | EXCLUSIVE | ACK, |body| {
            body.raw(&head(0, UP))
                .text(IFLA_NAME, pair.name)
                .number(IFLA_MTU, pair.bridge.mtu)
                .number(IFLA_MASTER, pair.bridge.index)
                .nest(IFLA_LINKINFO, |info| {
                    info.text(INFO_KIND, "veth").nest(INFO_DATA, |data| {
                        data.nest(VETH_PEER, |peer| {
                            peer.raw(&head(0, 0))
                                .text(IFLA_NAME, pair.inner)
                                .number(IFLA_MTU, pair.bridge.mtu)
                                .attribute(IFLA_ADDRESS, &pair.hardware)
                                .number(IFLA_NET_NS_FD, fd);
                        });
                    });
                });
        });
        messages.push(NEWLINK, ACK, |body| {
            body.raw(&head(0, 0)).text(IFLA_NAME, pair.name).nest(IFLA_LINKINFO, |info| {
                info.text(INFO_SLAVE_KIND, "bridge").nest(INFO_SLAVE_DATA, |data| {
                    data.attribute(HAIRPIN, &[1]);
                });
            });
        });
        let doing = || format!("make links {} and {} of the container", pair.name, pair.inner);
        self.0.ask(&messages).map(drop).doing(doing)
    }

    /// Removes a link; one that is not there is none the worse.
    pub(super) fn remove(&self, name: &str) -> Result<(), NetworkError> {
        let message = Messages::one(DELLINK, ACK, |body| {
            body.raw(&head(0, 0)).text(IFLA_NAME, name);
        });
        match self.0.ask(&message) {
            Err(refusal) if refusal.errno == Errno::NODEV => Ok(()),
            other => other.map(drop).doing(|| format!("remove link {name}")),
        }
    }

    /// Gives a link an address and sets it up. Both may be so already.
    pub(super) fn settle(
        &self,
        link: &Link,
        address: Ipv4Addr,
        prefix: u8,
    ) -> Result<(), NetworkError> {
        match self.0.ask(&Messages::one(NEWADDR, CREATE | EXCLUSIVE | ACK, |body| {
            add_address(body, link.index, address, prefix);
        })) {
            Err(refusal) if refusal.errno != Errno::EXIST => {
                Err(refusal).doing(|| format!("give the bridge the address {address}"))?;
            }
            _ => {}
        }
        let up = Messages::one(NEWLINK, ACK, |body| {
            body.raw(&head(link.index, UP));
        });
        self.0.ask(&up).map(drop).doing(|| "set the bridge up".to_owned())
    }

    /// Sets the loopback and one link up, with an address and the way out.
    pub(super) fn furnish(
        &self,
        link: &Link,
        address: Ipv4Addr,
        prefix: u8,
        gateway: Ipv4Addr,
    ) -> Result<(), NetworkError> {
        let mut messages = Messages::default();
        for index in [LOOPBACK, link.index] {
            messages.push(NEWLINK, ACK, |body| {
                body.raw(&head(index, UP));
            });
        }
        messages.push(NEWADDR, CREATE | EXCLUSIVE | ACK, |body| {
            add_address(body, link.index, address, prefix);
        });
        messages.push(NEWROUTE, CREATE | EXCLUSIVE | ACK, |body| {
            // Family, no destination, the main table, set at boot, anywhere, unicast.
            body.raw(&[INET, 0, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0])
                .attribute(5, &gateway.octets())
                .number(4, link.index);
        });
        let steps = ["set lo up", "set eth0 up", "give eth0 its address", "set the default route"];
        self.0.ask(&messages).map(drop).map_err(|refusal| {
            let at = usize::try_from(refusal.message).unwrap_or(0).wrapping_sub(1);
            let step = steps.get(at).copied().unwrap_or("speak of links");
            NetworkError::System {
                doing: format!("{step} in the container"),
                source: refusal.into(),
            }
        })
    }

    /// Every route of every table.
    pub(super) fn routes(&self) -> Result<Vec<Route>, NetworkError> {
        let message = Messages::one(GETROUTE, DUMP, |body| {
            body.raw(&[INET, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        });
        let answers = self.0.ask(&message).doing(|| "list routes".to_owned())?;
        Ok(answers.iter().filter_map(|answer| read_route(&answer.body)).collect())
    }
}

/// The fixed part of a message on a link: family, type, index, flags, which of them to change.
fn head(index: u32, flags: u32) -> [u8; LINK_HEAD] {
    let mut head = [0; LINK_HEAD];
    for (at, value) in [(4, index), (8, flags), (12, flags)] {
        for (place, byte) in head.iter_mut().skip(at).zip(value.to_ne_bytes()) {
            *place = byte;
        }
    }
    head
}

fn add_address(body: &mut Body, index: u32, address: Ipv4Addr, prefix: u8) {
    let mut head = vec![INET, prefix, 0, 0];
    head.extend_from_slice(&index.to_ne_bytes());
    let broadcast = address.to_bits() | u32::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
    body.raw(&head)
        .attribute(2, &address.octets())
        .attribute(1, &address.octets())
        .attribute(4, &Ipv4Addr::from_bits(broadcast).octets());
}

fn read_link(body: &[u8]) -> Option<Link> {
    let found = netlink::attributes(body, LINK_HEAD);
    let info = find(&found, IFLA_LINKINFO).unwrap_or_default();
    let kind = find(&netlink::attributes(info, 0), INFO_KIND).map(netlink::name);
    Some(Link {
        index: word(body, 4)?,
        mtu: word(find(&found, IFLA_MTU)?, 0)?,
        kind: kind.unwrap_or_default(),
    })
}

fn read_route(body: &[u8]) -> Option<Route> {
    let found = netlink::attributes(body, ROUTE_HEAD);
    let octets: [u8; 4] = match find(&found, 1) {
        Some(bytes) => bytes.try_into().ok()?,
        None => [0; 4],
    };
    let length = *body.get(1)?;
    let out = find(&found, 4).and_then(|bytes| word(bytes, 0));
    Some(Route { destination: octets.into(), length, out })
}
