//! The way of root: a bridge, a pair of links for each container, rules for translation.

use super::error::{Doing, NetworkError};
use super::lease::{Held, Leases, Slot, Tenant};
use super::route::{Link, Pair, Routing};
use super::rules::{self, Rules};
use super::subnet::{PREFIX, Subnet};
use super::{Connected, Private, Way, firewall, resolver};
use std::fs::{self, File};
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// The bridge of all containers.
pub(super) const BRIDGE: &str = "corten0";
/// The name of the link inside a container.
const INNER: &str = "eth0";
/// Where the network of the bridge is remembered.
const MEMORY: &str = "bridge.json";
/// What a link carries at once when no route says otherwise.
const USUAL_MTU: u32 = 1500;

/// The bridge as it is, and what there is to say of it.
#[derive(Debug)]
struct Bridge {
    link: Link,
    subnet: Subnet,
    notices: Vec<String>,
}

/// Connects a container; after an error nothing of it stays.
pub(super) fn connect(
    leases: &Leases,
    id: &str,
    pid: u32,
    wanted: &Private,
) -> Result<Connected, NetworkError> {
    let namespace = open_namespace(pid)?;
    let start = crate::procfs::start_time(pid).ok_or(NetworkError::Gone(pid))?;
    let routing = Routing::here()?;
    let held = leases.lock()?;
    super::drop_tenants(leases, &held, |tenant| tenant == id)?;
    let mut bridge = ensure(leases, &routing)?;
    let (publish, reserved) = super::take_ports(leases, &held, &wanted.publish, Way::Bridge)?;
    let address = take_address(leases, &held, bridge.subnet)?;
    let tenant = Tenant {
        id: id.to_owned(),
        address: Some(address),
        publish: publish.clone(),
        pid,
        start,
        pasta: None,
    };
    leases.keep(&held, &tenant)?;
    let done = Rules::open(BRIDGE, bridge.subnet).and_then(|rules| {
        rules.publish(leases, &tenant)?;
        if !tenant.publish.is_empty() {
            // After the rule that keeps others from it.
            turn_on(&localnet())?;
        }
        bridge.notices.extend(firewall::notices(rules.socket(), BRIDGE));
        // The rest is this container's alone, and the kernel takes its time for links.
        drop(held);
        join(&routing, &bridge, address, &namespace)
    });
    if let Err(error) = done {
        let again = leases.lock()?;
        // The first error says more than one of cleaning up; `collect` comes back for what stays.
        let _ = drop_tenant(leases, &again, &tenant.slot(), address);
        return Err(error);
    }
    let resolvers = resolver::resolvers(Way::Bridge);
    if resolvers.is_empty() {
        bridge.notices.push(
            "every resolver of this machine is on its loopback or missing, so containers have none"
                .to_owned(),
        );
    }
    Ok(Connected {
        way: Way::Bridge,
        address: Some(address.into()),
        gateway: Some(bridge.subnet.gateway().into()),
        resolvers,
        publish,
        reserved,
        notices: bridge.notices,
    })
}

/// Takes away what was made for one lease, and the lease last.
pub(super) fn drop_tenant(
    leases: &Leases,
    _: &Held,
    slot: &Slot,
    address: Ipv4Addr,
) -> Result<(), NetworkError> {
    if let Some(tenant) = leases.tenant(slot) {
        close_localnet(leases, slot)?;
        Rules::open(BRIDGE, Subnet::of(address))?.withdraw(leases, &tenant)?;
    }
    Routing::here()?.remove(&link_name(address))?;
    leases.release(slot)
}

/// The switch by which what comes from the bridge may be for 127.0.0.0/8: what localhost sends to a published port comes
/// back that way.
fn localnet() -> String {
    format!("/proc/sys/net/ipv4/conf/{BRIDGE}/route_localnet")
}

/// Turns that switch off when nobody else has published a port: the machine's loopback is then closed to containers
/// by the kernel itself, whatever becomes of the rules.
fn close_localnet(leases: &Leases, but: &Slot) -> Result<(), NetworkError> {
    for slot in leases.list()?.iter().filter(|slot| slot.id != but.id) {
        if leases.tenant(slot).is_some_and(|tenant| !tenant.publish.is_empty()) {
            return Ok(());
        }
    }
    match fs::write(localnet(), "0") {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).doing(|| format!("turn off {}", localnet()))
        }
        _ => Ok(()),
    }
}

/// Removes the bridge and the rules; only when no lease is left.
pub(super) fn remove(leases: &Leases) -> Result<(), NetworkError> {
    if leases.path(MEMORY).exists() {
        rules::remove()?;
        Routing::here()?.remove(BRIDGE)?;
        leases.remove(MEMORY)?;
    }
    Ok(())
}

fn open_namespace(pid: u32) -> Result<OwnedFd, NetworkError> {
    let path = format!("/proc/{pid}/ns/net");
    match File::open(&path) {
        Ok(file) => Ok(file.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(NetworkError::Gone(pid)),
        Err(error) => Err(error).doing(|| format!("open {path}")),
    }
}

/// Makes the bridge, or whatever it lacks.
fn ensure(leases: &Leases, routing: &Routing) -> Result<Bridge, NetworkError> {
    let remembered: Option<Subnet> = leases.read(MEMORY)?;
    let found = routing.link(BRIDGE)?;
    if let Some(link) = &found
        && link.kind != "bridge"
    {
        let other = io::Error::other("a link of this name is there and is no bridge");
        return Err(other).doing(|| format!("use bridge {BRIDGE}"));
    }
    let (link, subnet) = match (found, remembered) {
        (Some(link), Some(subnet)) => (link, subnet),
        (found, _) => make(leases, routing, found, remembered)?,
    };
    routing.settle(&link, subnet.gateway(), PREFIX)?;
    let mut notices = Vec::new();
    if turn_on("/proc/sys/net/ipv4/ip_forward")? {
        notices
            .push("net.ipv4.ip_forward was off on this machine and has been turned on".to_owned());
    }
    Ok(Bridge { link, subnet, notices })
}

fn make(
    leases: &Leases,
    routing: &Routing,
    found: Option<Link>,
    remembered: Option<Subnet>,
) -> Result<(Link, Subnet), NetworkError> {
    let routes = routing.routes()?;
    let ours = found.as_ref().map(|link| link.index);
    let inhabited = leases.list()?.iter().any(|slot| slot.address.is_some());
    let standing = ours.and_then(|ours| {
        let at = routes.iter().find(|route| route.out == Some(ours) && route.length == PREFIX)?;
        Some(Subnet::of(at.destination))
    });
    let subnet = remembered
        .filter(|subnet| inhabited || !subnet.collides(&routes, ours))
        .or(standing)
        .or_else(|| Subnet::choose(&routes))
        .ok_or_else(|| NetworkError::NoSubnet { bridge: BRIDGE, tried: Subnet::tried() })?;
    leases.write(MEMORY, &subnet)?;
    if let Some(link) = found {
        return Ok((link, subnet));
    }
    // What leaves by the default route should fit it at once.
    let uplink = routes.iter().find(|route| route.length == 0).and_then(|route| route.out);
    let uplink = uplink.map(|index| routing.link_at(index)).transpose()?.flatten();
    let mtu = uplink.map_or(USUAL_MTU, |link| link.mtu.clamp(1280, USUAL_MTU));
    routing.add_bridge(BRIDGE, mtu, hardware(subnet.gateway()))?;
    let missing = || io::Error::other("it is not there after it was made");
    let link = routing.link(BRIDGE)?.ok_or_else(missing);
    Ok((link.doing(|| format!("use bridge {BRIDGE}"))?, subnet))
}

fn take_address(leases: &Leases, held: &Held, subnet: Subnet) -> Result<Ipv4Addr, NetworkError> {
    if let Some(address) = leases.free(held, subnet)? {
        return Ok(address);
    }
    super::drop_dead(leases, held)?;
    leases.free(held, subnet)?.ok_or_else(|| NetworkError::Full(subnet.to_string()))
}

/// Makes the pair of links and furnishes the container's end.
fn join(
    routing: &Routing,
    bridge: &Bridge,
    address: Ipv4Addr,
    namespace: &OwnedFd,
) -> Result<(), NetworkError> {
    let pair = Pair {
        name: &link_name(address),
        bridge: &bridge.link,
        inner: INNER,
        hardware: hardware(address),
        namespace: namespace.as_fd(),
    };
    let inside = Routing::inside(namespace.as_fd())?;
    routing.add_pair(&pair)?;
    let missing = || io::Error::other("it is not there after it was made");
    let link = inside.link(INNER)?.ok_or_else(missing).doing(|| format!("find {INNER}"))?;
    inside.furnish(&link, address, PREFIX, bridge.subnet.gateway())
}

/// The machine's end of a container's pair of links.
fn link_name(address: Ipv4Addr) -> String {
    format!("corten{:08x}", address.to_bits())
}

/// An address of hardware that goes with an address, so that neighbours who remember the one are right
/// about the other whoever has it now.
fn hardware(address: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = address.octets();
    [0x0a, 0x58, a, b, c, d]
}

/// Turns a switch of the kernel on; tells whether it was off.
fn turn_on(path: &str) -> Result<bool, NetworkError> {
    if fs::read(path).doing(|| format!("read {path}"))?.first() == Some(&b'1') {
        return Ok(false);
    }
    fs::write(Path::new(path), "1").doing(|| format!("turn on {path}"))?;
    Ok(true)
}
