//! The table of ours: what every container at the bridge shares, and the ports of each.
//!
//! ```text
//! map at_address   protocol . address . port  →  container's address . port
//! map everywhere   protocol . port            →  container's address . port
//! chain guard       (raw)    drop 127.0.0.0/8 from any wire: the bridge may route it, for localhost
//! chain prerouting  (dstnat) and output: for this machine → the maps
//! chain forward     (filter) drop what comes from elsewhere to a container and is not published
//! chain quiet       (filter) drop ICMP redirects: a port asked for by a neighbour would be sent astray
//! chain postrouting (srcnat) masquerade: containers going out, localhost going in, port to neighbour
//! ```

use super::error::{Doing, NetworkError};
use super::flow;
use super::lease::{Leases, Tenant};
use super::netlink::Socket;
use super::nft::{self, Batch, Element, Hook, Map, Rule};
use super::subnet::{PREFIX, Subnet};
use rustix::io::Errno;
use std::net::{IpAddr, Ipv4Addr};

/// The name of our table.
pub(super) const TABLE: &str = "corten";
/// Changes with every change of the rules below, so that a table of an older make is made anew.
const MAKE: u8 = 1;
const AT_ADDRESS: (Map, u32) =
    (Map { name: "at_address", key_type: (12 << 6 | 7) << 6 | 13, key_length: 12 }, 1);
const EVERYWHERE: (Map, u32) =
    (Map { name: "everywhere", key_type: 12 << 6 | 13, key_length: 8 }, 2);
const LOOPBACK: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 0);
/// `IPS_DST_NAT` of a connection's status.
const REDIRECTED: u32 = 1 << 5;
/// Established and related, of a connection's state.
const KNOWN: u32 = 2 | 4;

/// The rules of the machine for one bridge.
#[derive(Debug)]
pub(super) struct Rules {
    socket: Socket,
    bridge: &'static str,
    subnet: Subnet,
}

impl Rules {
    pub(super) fn open(bridge: &'static str, subnet: Subnet) -> Result<Self, NetworkError> {
        let socket = nft::open().doing(|| "open a socket to netfilter".to_owned())?;
        Ok(Self { socket, bridge, subnet })
    }

    /// The way to netfilter, to look at what others have there.
    pub(super) fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Publishes the ports of one container; the whole table is made when it is not there or is not ours
    /// of today.
    pub(super) fn publish(&self, leases: &Leases, tenant: &Tenant) -> Result<(), NetworkError> {
        let label = nft::label(&self.socket, TABLE).doing(|| format!("look for table {TABLE}"))?;
        if label != Some(self.label()) {
            self.rebuild(leases, None)?;
        } else if !tenant.publish.is_empty() {
            let mut batch = Batch::new(TABLE);
            for (map, elements) in self.elements([tenant]) {
                batch.add(map, &elements);
            }
            batch.send(&self.socket).doing(|| format!("publish the ports of {}", tenant.id))?;
        }
        for port in tenant.publish.iter().filter(|port| port.udp) {
            flow::forget_port(&self.socket, port.host)
                .doing(|| format!("forget flows to UDP port {}", port.host))?;
        }
        Ok(())
    }

    /// Takes the ports of one container back.
    pub(super) fn withdraw(&self, leases: &Leases, tenant: &Tenant) -> Result<(), NetworkError> {
        if tenant.publish.is_empty() {
            return Ok(());
        }
        let mut batch = Batch::new(TABLE);
        for (map, elements) in self.elements([tenant]) {
            batch.take(map, &elements);
        }
        match batch.send(&self.socket) {
            // Something of it is gone already, by somebody else's hand or an earlier try.
            Err(refusal) if refusal.errno == Errno::NOENT => self.rebuild(leases, Some(tenant))?,
            other => other.doing(|| format!("withdraw the ports of {}", tenant.id))?,
        }
        tenant.address.map_or(Ok(()), |address| {
            flow::forget_container(&self.socket, address)
                .doing(|| format!("forget flows to {address}"))
        })
    }

    /// Makes the table anew from the leases, all but one.
    fn rebuild(&self, leases: &Leases, but: Option<&Tenant>) -> Result<(), NetworkError> {
        let tenants = leases.tenants()?;
        let tenants: Vec<&Tenant> =
            tenants.iter().filter(|tenant| but.is_none_or(|but| but.id != tenant.id)).collect();
        let mut batch = Batch::new(TABLE);
        batch.reset_table(&self.label());
        for (map, id) in [AT_ADDRESS, EVERYWHERE] {
            batch.map(map, id);
        }
        self.filters(&mut batch);
        self.translations(&mut batch);
        for (map, elements) in self.elements(tenants) {
            batch.add(map, &elements);
        }
        batch.send(&self.socket).doing(|| format!("make table {TABLE}"))
    }

    fn filters(&self, batch: &mut Batch) {
        let guard = Hook { chain: "guard", kind: "filter", number: 0, priority: -300 };
        batch.chain(guard);
        batch.rule(
            "guard",
            &Rule::default().version_4().not_from("lo").destination(LOOPBACK, 8).drop(),
        );
        let forward = Hook { chain: "forward", kind: "filter", number: 2, priority: 0 };
        batch.chain(forward);
        let strange = Rule::default()
            .to(self.bridge)
            .not_from(self.bridge)
            .connection(0, KNOWN, false)
            .connection(2, REDIRECTED, false)
            .drop();
        batch.rule("forward", &strange);
        let quiet = Hook { chain: "quiet", kind: "filter", number: 3, priority: 0 };
        batch.chain(quiet);
        batch.rule("quiet", &Rule::default().version_4().to(self.bridge).detour().drop());
    }

    fn translations(&self, batch: &mut Batch) {
        for (chain, number) in [("prerouting", 0), ("output", 3)] {
            batch.chain(Hook { chain, kind: "nat", number, priority: -100 });
            for ((map, id), address) in [(AT_ADDRESS, true), (EVERYWHERE, false)] {
                let rule = Rule::default().version_4().for_here();
                batch.rule(chain, &rule.load_key(address).look_up(map, id).redirect());
            }
        }
        let chain = "postrouting";
        batch.chain(Hook { chain, kind: "nat", number: 4, priority: 100 });
        let start = || Rule::default().version_4();
        let inside = || start().source(self.subnet.base(), PREFIX);
        batch.rule(chain, &inside().not_to(self.bridge).masquerade());
        batch.rule(chain, &start().source(LOOPBACK, 8).to(self.bridge).masquerade());
        let neighbour = inside().to(self.bridge).connection(2, REDIRECTED, true);
        batch.rule(chain, &neighbour.masquerade());
    }

    fn elements<'a>(
        &self,
        tenants: impl IntoIterator<Item = &'a Tenant>,
    ) -> [(Map, Vec<Element>); 2] {
        let (mut at_address, mut everywhere) = (Vec::new(), Vec::new());
        for tenant in tenants {
            let Some(address) = tenant.address else { continue };
            for port in &tenant.publish {
                let mut target = address.octets().to_vec();
                target.extend(padded(port.container));
                let mut key = vec![if port.udp { 17 } else { 6 }, 0, 0, 0];
                match port.address {
                    Some(IpAddr::V4(here)) => {
                        key.extend(here.octets());
                        key.extend(padded(port.host));
                        at_address.push((key, target));
                    }
                    // The bridge speaks version 4 alone; `port::settle` refuses the other before.
                    Some(IpAddr::V6(_)) => {}
                    None => {
                        key.extend(padded(port.host));
                        everywhere.push((key, target));
                    }
                }
            }
        }
        [(AT_ADDRESS.0, at_address), (EVERYWHERE.0, everywhere)]
    }

    /// What the table is made for: with another label it is made anew.
    fn label(&self) -> Vec<u8> {
        format!("corten {MAKE} {} {}", self.bridge, self.subnet).into_bytes()
    }
}

/// Removes the table with all in it; one that is not there is none the worse.
pub(super) fn remove() -> Result<(), NetworkError> {
    let socket = nft::open().doing(|| "open a socket to netfilter".to_owned())?;
    let mut batch = Batch::new(TABLE);
    batch.remove_table();
    match batch.send(&socket) {
        Err(refusal) if refusal.errno == Errno::NOENT => Ok(()),
        other => other.doing(|| format!("remove table {TABLE}")),
    }
}

/// A port as a part of a key: in the network's order, filled up to four bytes.
fn padded(port: u16) -> [u8; 4] {
    let [high, low] = port.to_be_bytes();
    [high, low, 0, 0]
}
