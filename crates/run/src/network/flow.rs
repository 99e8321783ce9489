//! Flows the kernel remembers. A flow of UDP keeps going where its first packet went for as long as
//! packets come: to a container that is gone, or past one that is new, unless it is forgotten.

use super::netlink::{ACK, DUMP, Messages, Refusal, Socket, attributes, find};
use rustix::io::Errno;
use std::net::Ipv4Addr;

/// `NFNL_SUBSYS_CTNETLINK`.
const SUBSYSTEM: u16 = 1 << 8;
const GET: u16 = SUBSYSTEM | 1;
const DELETE: u16 = SUBSYSTEM | 2;
/// The family, the version and no resource.
const HEAD: [u8; 4] = [2, 0, 0, 0];
/// `CTA_TUPLE_ORIG`, `CTA_TUPLE_REPLY`, `CTA_STATUS`, `CTA_ID`, `CTA_FILTER`.
const ORIGINAL: u16 = 1;
const REPLY: u16 = 2;
const STATUS: u16 = 3;
const ID: u16 = 12;
const FILTER: u16 = 25;
/// In a tuple: addresses, protocol; in a filter: which of them count.
const ADDRESSES: u16 = 1;
const PROTOCOL: u16 = 2;
const BY_SOURCE: u32 = 1;
const BY_PROTOCOL: u32 = 1 << 3;
const BY_PORT: u32 = 1 << 5;
/// `IPS_SRC_NAT | IPS_DST_NAT`: the flow is translated.
const TRANSLATED: u32 = 1 << 4 | 1 << 5;
const UDP: u8 = 17;

/// Forgets the flows that a container answers.
pub(super) fn forget_container(socket: &Socket, address: Ipv4Addr) -> Result<(), Refusal> {
    let list = Messages::one(GET, DUMP, |body| {
        body.raw(&HEAD)
            .nest(REPLY, |tuple| {
                tuple.nest(ADDRESSES, |addresses| {
                    addresses.attribute(1, &address.octets());
                });
            })
            .nest(FILTER, |filter| {
                filter.number(1, 0).number(2, BY_SOURCE);
            });
    });
    forget(socket, &list, |_| true)
}

/// Forgets the flows to a UDP port that nobody translated, so that the next packet is.
pub(super) fn forget_port(socket: &Socket, port: u16) -> Result<(), Refusal> {
    let list = Messages::one(GET, DUMP, |body| {
        body.raw(&HEAD)
            .nest(ORIGINAL, |tuple| {
                tuple.nest(PROTOCOL, |protocol| {
                    protocol.attribute(1, &[UDP]).attribute(3, &port.to_be_bytes());
                });
            })
            .nest(FILTER, |filter| {
                filter.number(1, BY_PROTOCOL | BY_PORT).number(2, 0);
            });
    });
    forget(socket, &list, |status| status & TRANSLATED == 0)
}

/// Removes what a list gives and a look at its status confirms. Each is named by its beginning and its
/// number, so that one that has been replaced meanwhile stays.
fn forget(socket: &Socket, list: &Messages, wanted: impl Fn(u32) -> bool) -> Result<(), Refusal> {
    for flow in socket.ask(list)? {
        let found = attributes(&flow.body, HEAD.len());
        let status = find(&found, STATUS).and_then(|bytes| bytes.try_into().ok());
        let (Some(original), Some(id)) = (find(&found, ORIGINAL), find(&found, ID)) else {
            continue;
        };
        if !wanted(status.map_or(0, u32::from_be_bytes)) {
            continue;
        }
        let message = Messages::one(DELETE, ACK, |body| {
            body.raw(&HEAD)
                .nest(ORIGINAL, |tuple| {
                    tuple.raw(original);
                })
                .attribute(ID, id);
        });
        match socket.ask(&message) {
            Err(refusal) if refusal.errno != Errno::NOENT => return Err(refusal),
            _ => {}
        }
    }
    Ok(())
}
