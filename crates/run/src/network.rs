//! The network of a container that has a network namespace of its own, and its way out.
//!
//! ```text
//! PLACE/lock                 held while anything below changes
//! PLACE/bridge.json          the network of the bridge, remembered
//! PLACE/last                 the address given last; the next one follows it
//! PLACE/leases/ADDRESS_ID    one container at the bridge: process, published ports
//! PLACE/leases/pasta_ID      one container with pasta
//!
//! machine                                          container
//!   uplink ── NAT (table inet corten) ── corten0 ── corten0ad20002 ══ eth0 10.210.0.2
//!                                     10.210.0.1/16   (veth pair)
//! ```
//!
//! A lease is written before anything is made for it and removed after all of it is gone, so that
//! [`collect`] finds what a kill at any moment left. Rules are changed in atomic batches: what is the
//! same for all containers is made once, a published port is an element of a map.

mod bridge;
mod error;
mod firewall;
mod flow;
mod lease;
mod netlink;
mod nft;
mod pasta;
mod port;
mod resolver;
mod route;
mod rules;
mod subnet;

pub use error::NetworkError;
pub use resolver::resolv_conf;

use lease::Leases;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// What a container wants of a network of its own.
#[derive(Clone, Debug, Default)]
pub struct Private {
    /// The ports to reach it by from outside.
    pub publish: Vec<Publish>,
    /// The directories that may hold the program `pasta`, best first.
    pub programs: Vec<PathBuf>,
}

/// A port of the machine that leads to a port of the container.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Publish {
    /// The machine's address it is published at; `None` for all of them.
    pub address: Option<IpAddr>,
    /// The machine's port; 0 to have a free one chosen.
    pub host: u16,
    /// The container's port.
    pub container: u16,
    /// UDP, not TCP.
    pub udp: bool,
}

/// How a container gets out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// [`Way::Bridge`] for the machine's root, [`Way::Pasta`] for everybody else.
    Auto,
    /// A bridge of the machine with address translation; needs root.
    Bridge,
    /// The program pasta, that speaks for the container with sockets of its own; needs no privilege.
    Pasta,
}

/// A container with a network.
#[derive(Debug)]
pub struct Connected {
    /// Which way was taken: [`Way::Bridge`] or [`Way::Pasta`].
    pub way: Way,
    /// The container's address, where it is known.
    pub address: Option<IpAddr>,
    /// Its gateway, where it is known.
    pub gateway: Option<IpAddr>,
    /// The resolvers that it can reach.
    pub resolvers: Vec<IpAddr>,
    /// The published ports, every port chosen.
    pub publish: Vec<Publish>,
    /// Sockets that keep other programs of the machine off the published ports for as long as they are
    /// held; nothing arrives at them. Traffic flows without them too.
    pub reserved: Vec<OwnedFd>,
    /// What may keep traffic from flowing, or was changed on the machine, in sentences.
    pub notices: Vec<String>,
}

/// Connects the network namespace of a process that was created and has not started yet.
///
/// `place` is the directory for leases, made when it is missing: one for the machine's root, one for
/// each other user. `id` has letters, digits, `_`, `.` and `-`. A container that is connected already is
/// connected anew. After an error nothing stays.
///
/// ```no_run
/// use corten_run::network::{Private, Publish, Way, connect, disconnect};
/// # fn main() -> Result<(), corten_run::network::NetworkError> {
/// let place = std::path::Path::new("/run/corten/network");
/// let web = Publish { address: None, host: 8080, container: 80, udp: false };
/// let wanted = Private { publish: vec![web], programs: vec!["/usr/bin".into()] };
/// let connected = connect(place, "4f1c", 4242, &wanted, Way::Auto)?;
/// assert!(connected.notices.is_empty(), "{:?}", connected.notices);
/// disconnect(place, "4f1c")
/// # }
/// ```
pub fn connect(
    place: &Path,
    id: &str,
    pid: u32,
    wanted: &Private,
    way: Way,
) -> Result<Connected, NetworkError> {
    lease::check_id(id)?;
    let leases = Leases::open(place)?;
    match way {
        Way::Bridge => bridge::connect(&leases, id, pid, wanted),
        Way::Auto if is_root() => bridge::connect(&leases, id, pid, wanted),
        Way::Auto | Way::Pasta => pasta::connect(&leases, id, pid, wanted),
    }
}

/// Takes away all that [`connect`] made for a container. One that is not connected is none the worse.
pub fn disconnect(place: &Path, id: &str) -> Result<(), NetworkError> {
    lease::check_id(id)?;
    if !place.exists() {
        return Ok(());
    }
    let leases = Leases::open(place)?;
    let held = leases.lock()?;
    drop_tenants(&leases, &held, |tenant| tenant == id)
}

/// Takes away what belongs to containers that are not alive, and, when nobody is left at the bridge, the
/// bridge and the rules too.
pub fn collect(place: &Path, alive: &dyn Fn(&str) -> bool) -> Result<(), NetworkError> {
    clear(place, |leases, held| drop_tenants(leases, held, |tenant| !alive(tenant)))
}

/// The same for those whose process is gone, whosever containers they were: what a killed monitor left.
pub fn sweep(place: &Path) -> Result<(), NetworkError> {
    clear(place, drop_dead)
}

fn clear(
    place: &Path,
    drop: impl FnOnce(&Leases, &lease::Held) -> Result<(), NetworkError>,
) -> Result<(), NetworkError> {
    if !place.exists() {
        return Ok(());
    }
    let leases = Leases::open(place)?;
    let held = leases.lock()?;
    drop(&leases, &held)?;
    let empty = leases.list()?.iter().all(|slot| slot.address.is_none());
    if empty { bridge::remove(&leases) } else { Ok(()) }
}

/// Drops the leases of the containers that `gone` names, and what was made for them.
fn drop_tenants(
    leases: &Leases,
    held: &lease::Held,
    gone: impl Fn(&str) -> bool,
) -> Result<(), NetworkError> {
    for slot in leases.list()? {
        if gone(&slot.id) {
            match slot.address {
                Some(address) => bridge::drop_tenant(leases, held, &slot, address)?,
                None => pasta::drop_tenant(leases, &slot)?,
            }
        }
    }
    Ok(())
}

/// Takes the ports a container wants; one whose holder is gone is free.
fn take_ports(
    leases: &Leases,
    held: &lease::Held,
    wanted: &[Publish],
    way: Way,
) -> Result<(Vec<Publish>, Vec<OwnedFd>), NetworkError> {
    if wanted.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    match port::settle(wanted, &leases.tenants()?, way) {
        Err(NetworkError::PortTaken { .. }) => {
            drop_dead(leases, held)?;
            port::settle(wanted, &leases.tenants()?, way)
        }
        other => other,
    }
}

/// Drops the leases of processes that are gone.
fn drop_dead(leases: &Leases, held: &lease::Held) -> Result<(), NetworkError> {
    let tenants = leases.tenants()?;
    let dead: Vec<&str> =
        tenants.iter().filter(|tenant| !tenant.lives()).map(|tenant| tenant.id.as_str()).collect();
    drop_tenants(leases, held, |id| dead.contains(&id))
}

/// Whether this process is root of the machine, not only of a user namespace.
fn is_root() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let whole = map.split_whitespace().eq(["0", "0", "4294967295"]);
    rustix::process::geteuid().is_root() && whole
}
