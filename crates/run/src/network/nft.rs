//! The words of nf_tables: tables, chains, rules of expressions, maps, sent as atomic batches.
//!
//! Numbers of attributes are those of the kernel's `linux/netfilter/nf_tables.h`.

use super::netlink::{ACK, APPEND, Answer, Body, CREATE, DUMP, Messages, Refusal, Socket};
use rustix::io::Errno;
use std::io;
use std::net::Ipv4Addr;

/// `NFPROTO_INET`: both versions of the protocol.
pub(super) const INET: u8 = 1;
/// `NFPROTO_IPV4`.
pub(super) const IPV4: u8 = 2;
/// `NFNL_SUBSYS_NFTABLES`.
const SUBSYSTEM: u16 = 10;
const NEWTABLE: u16 = 0;
const GETTABLE: u16 = 1;
const DELTABLE: u16 = 2;
const NEWCHAIN: u16 = 3;
const GETCHAIN: u16 = 4;
const NEWRULE: u16 = 6;
const GETRULE: u16 = 7;
const NEWSET: u16 = 9;
const NEWSETELEM: u16 = 12;
const DELSETELEM: u16 = 14;
/// `NFNL_MSG_BATCH_BEGIN`, `NFNL_MSG_BATCH_END`.
const BEGIN: u16 = 16;
const END: u16 = 17;
/// The elements of one message: their attributes must fit a length of 16 bits.
const ELEMENTS: usize = 500;
/// The first 16-byte register, and the 4-byte registers it consists of.
pub(super) const REGISTER: u32 = 1;
pub(super) const REGISTER_0: u32 = 8;
pub(super) const REGISTER_1: u32 = 9;
pub(super) const REGISTER_2: u32 = 10;

/// Changes that are made all or none.
#[derive(Debug)]
pub(super) struct Batch {
    messages: Messages,
    table: &'static str,
}

/// Where a base chain hangs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hook {
    pub(super) chain: &'static str,
    pub(super) kind: &'static str,
    pub(super) number: u32,
    pub(super) priority: i32,
}

/// A map that exists in a table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Map {
    pub(super) name: &'static str,
    /// How `nft` names the parts of the key; the kernel carries it unread.
    pub(super) key_type: u32,
    pub(super) key_length: u32,
}

/// What a map holds: a key and where it leads.
pub(super) type Element = (Vec<u8>, Vec<u8>);

/// The expressions of a rule, in the order they are evaluated.
#[derive(Debug, Default)]
pub(super) struct Rule(Body);

/// What a map gives for a published port: `ipv4_addr . inet_service`, as `nft` says.
const TARGET_TYPE: u32 = 7 << 6 | 13;
const TARGET_LENGTH: u32 = 8;

impl Batch {
    pub(super) fn new(table: &'static str) -> Self {
        let mut messages = Messages::default();
        messages.push(BEGIN, 0, |body| {
            // No family, version 0, the subsystem in the network's order.
            body.raw(&[0, 0, 0, 10]);
        });
        Self { messages, table }
    }

    fn push(&mut self, message: u16, flags: u16, fill: impl FnOnce(&mut Body, &str)) {
        let table = self.table;
        self.messages.push(SUBSYSTEM << 8 | message, flags | ACK, |body| {
            fill(body.raw(&[INET, 0, 0, 0]), table);
        });
    }

    /// Makes the table anew, empty, whether it is there or not.
    pub(super) fn reset_table(&mut self, label: &[u8]) {
        self.push(NEWTABLE, CREATE, |body, table| {
            body.text(1, table);
        });
        self.remove_table();
        self.push(NEWTABLE, CREATE, |body, table| {
            body.text(1, table).attribute(6, label);
        });
    }

    pub(super) fn remove_table(&mut self) {
        self.push(DELTABLE, 0, |body, table| {
            body.text(1, table);
        });
    }

    /// Adds a base chain that lets pass what no rule of it stops.
    pub(super) fn chain(&mut self, hook: Hook) {
        self.push(NEWCHAIN, CREATE, |body, table| {
            body.text(1, table)
                .text(3, hook.chain)
                .nest(4, |at| {
                    at.big(1, hook.number).big(2, hook.priority.cast_unsigned());
                })
                .big(5, 1)
                .text(7, hook.kind);
        });
    }

    pub(super) fn rule(&mut self, chain: &str, rule: &Rule) {
        self.push(NEWRULE, CREATE | APPEND, |body, table| {
            body.text(1, table).text(2, chain).nest(4, |list| {
                list.raw(rule.0.bytes());
            });
        });
    }

    pub(super) fn map(&mut self, map: Map, id: u32) {
        self.push(NEWSET, CREATE, |body, table| {
            body.text(1, table)
                .text(2, map.name)
                // NFT_SET_MAP
                .big(3, 8)
                .big(4, map.key_type)
                .big(5, map.key_length)
                .big(6, TARGET_TYPE)
                .big(7, TARGET_LENGTH)
                .big(10, id);
        });
    }

    pub(super) fn add(&mut self, map: Map, elements: &[Element]) {
        self.elements(NEWSETELEM, CREATE, map, elements);
    }

    pub(super) fn take(&mut self, map: Map, elements: &[Element]) {
        self.elements(DELSETELEM, 0, map, elements);
    }

    fn elements(&mut self, message: u16, flags: u16, map: Map, elements: &[Element]) {
        for some in elements.chunks(ELEMENTS) {
            self.push(message, flags, |body, table| {
                body.text(1, table).text(2, map.name).nest(3, |list| {
                    for (key, target) in some {
                        list.nest(1, |element| {
                            element.nest(1, |data| {
                                data.attribute(1, key);
                            });
                            element.nest(2, |data| {
                                data.attribute(1, target);
                            });
                        });
                    }
                });
            });
        }
    }

    pub(super) fn send(mut self, socket: &Socket) -> Result<(), Refusal> {
        self.messages.push(END, 0, |body| {
            body.raw(&[0, 0, 0, 10]);
        });
        socket.ask(&self.messages).map(drop)
    }
}

impl Rule {
    fn expression(mut self, name: &str, fill: impl FnOnce(&mut Body)) -> Self {
        self.0.nest(1, |expression| {
            expression.text(1, name).nest(2, fill);
        });
        self
    }

    fn compare(self, register: u32, equal: bool, value: &[u8]) -> Self {
        self.expression("cmp", |body| {
            body.big(1, register).big(2, u32::from(!equal)).nest(3, |data| {
                data.attribute(1, value);
            });
        })
    }

    fn load_meta(self, key: u32, register: u32) -> Self {
        self.expression("meta", |body| {
            body.big(1, register).big(2, key);
        })
    }

    /// Compares the name of the link it comes in at (6) or goes out at (7).
    fn interface(self, key: u32, name: &str, equal: bool) -> Self {
        let mut padded = name.as_bytes().to_vec();
        padded.resize(16, 0);
        self.load_meta(key, REGISTER).compare(REGISTER, equal, &padded)
    }

    /// It comes in at another link.
    pub(super) fn not_from(self, name: &str) -> Self {
        self.interface(6, name, false)
    }

    /// It goes out at a link.
    pub(super) fn to(self, name: &str) -> Self {
        self.interface(7, name, true)
    }

    /// It goes out at another link.
    pub(super) fn not_to(self, name: &str) -> Self {
        self.interface(7, name, false)
    }

    /// It is version 4 of the protocol.
    pub(super) fn version_4(self) -> Self {
        self.load_meta(15, REGISTER).compare(REGISTER, true, &[IPV4])
    }

    /// Reads bytes of the header: of the network's (1) or the transport's (2).
    fn load(self, base: u32, offset: u32, length: u32, register: u32) -> Self {
        self.expression("payload", |body| {
            body.big(1, register).big(2, base).big(3, offset).big(4, length);
        })
    }

    fn masked(self, length: u32, mask: &[u8]) -> Self {
        self.expression("bitwise", |body| {
            body.big(1, REGISTER).big(2, REGISTER).big(3, length);
            body.nest(4, |data| {
                data.attribute(1, mask);
            });
            body.nest(5, |data| {
                data.attribute(1, &vec![0; mask.len()]);
            });
        })
    }

    fn address(self, offset: u32, network: Ipv4Addr, prefix: u8) -> Self {
        let mask = u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0);
        self.load(1, offset, 4, REGISTER).masked(4, &mask.to_be_bytes()).compare(
            REGISTER,
            true,
            &network.octets(),
        )
    }

    /// It comes from a network.
    pub(super) fn source(self, network: Ipv4Addr, prefix: u8) -> Self {
        self.address(12, network, prefix)
    }

    /// It is for a network.
    pub(super) fn destination(self, network: Ipv4Addr, prefix: u8) -> Self {
        self.address(16, network, prefix)
    }

    /// It is for an address of this machine.
    pub(super) fn for_here(self) -> Self {
        let local = self.expression("fib", |body| {
            // The kind of the destination address; 2 is RTN_LOCAL.
            body.big(1, REGISTER).big(2, 3).big(3, 2);
        });
        local.compare(REGISTER, true, &2_u32.to_ne_bytes())
    }

    /// Whether some of these bits of the connection (0: state, 2: status) are set.
    pub(super) fn connection(self, key: u32, bits: u32, set: bool) -> Self {
        self.expression("ct", |body| {
            body.big(1, REGISTER).big(2, key);
        })
        .masked(4, &bits.to_ne_bytes())
        .compare(REGISTER, !set, &[0; 4])
    }

    /// It advises another way to where it came from: ICMP (protocol 1), type 5.
    pub(super) fn detour(self) -> Self {
        let icmp = self.load_meta(16, REGISTER).compare(REGISTER, true, &[1]);
        icmp.load(2, 0, 1, REGISTER).compare(REGISTER, true, &[5])
    }

    /// Reads the protocol and the port it is for, and before the port its address if so wanted.
    pub(super) fn load_key(self, address: bool) -> Self {
        let rule = self.load_meta(16, REGISTER_0);
        if address {
            rule.load(1, 16, 4, REGISTER_1).load(2, 2, 2, REGISTER_2)
        } else {
            rule.load(2, 2, 2, REGISTER_1)
        }
    }

    /// Looks the registers up in a map; what is not in it ends the rule.
    pub(super) fn look_up(self, map: Map, id: u32) -> Self {
        self.expression("lookup", |body| {
            body.text(1, map.name).big(2, REGISTER_0).big(3, REGISTER).big(4, id);
        })
    }

    /// Sends it to the address and port that [`Self::look_up`] found.
    pub(super) fn redirect(self) -> Self {
        self.expression("nat", |body| {
            body.big(1, 1)
                .big(2, u32::from(IPV4))
                .big(3, REGISTER_0)
                .big(4, REGISTER_0)
                .big(5, REGISTER_1)
                .big(6, REGISTER_1);
        })
    }

    /// Lets it come from the machine's own address on the link it leaves by.
    pub(super) fn masquerade(self) -> Self {
        self.expression("masq", |_| {})
    }

    /// Stops it.
    pub(super) fn drop(self) -> Self {
        self.expression("immediate", |body| {
            body.big(1, 0).nest(2, |data| {
                data.nest(2, |verdict| {
                    verdict.big(1, 0);
                });
            });
        })
    }
}

/// Opens a way to netfilter of this thread's namespace.
pub(super) fn open() -> io::Result<Socket> {
    Socket::open(Some(rustix::net::netlink::NETFILTER))
}

/// What a table was labelled with when it was made; `None` when it is not there.
pub(super) fn label(socket: &Socket, table: &str) -> Result<Option<Vec<u8>>, Refusal> {
    let message = Messages::one(SUBSYSTEM << 8 | GETTABLE, 0, |body| {
        body.raw(&[INET, 0, 0, 0]).text(1, table);
    });
    match socket.ask(&message) {
        Err(refusal) if refusal.errno == Errno::NOENT => Ok(None),
        other => Ok(other?.first().map(|answer| {
            let found = super::netlink::attributes(&answer.body, 4);
            super::netlink::find(&found, 6).unwrap_or_default().to_vec()
        })),
    }
}

/// Every chain of every table and family; the first byte of an answer is the family.
pub(super) fn chains(socket: &Socket) -> Result<Vec<Answer>, Refusal> {
    socket.ask(&Messages::one(SUBSYSTEM << 8 | GETCHAIN, DUMP, |body| {
        body.raw(&[0; 4]);
    }))
}

/// Every rule of a table.
pub(super) fn rules(socket: &Socket, family: u8, table: &str) -> Result<Vec<Answer>, Refusal> {
    socket.ask(&Messages::one(SUBSYSTEM << 8 | GETRULE, DUMP, |body| {
        body.raw(&[family, 0, 0, 0]).text(1, table);
    }))
}
