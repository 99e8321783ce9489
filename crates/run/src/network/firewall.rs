//! Other people's firewalls: whether one of them stops what containers send.

use super::netlink::{Socket, attributes, find, name};
use super::nft;
use super::rules::TABLE;

/// `NF_INET_FORWARD`.
const FORWARD: u32 = 2;
/// `NF_DROP`, as the policy of a chain.
const DROP: u32 = 0;

/// Says of each chain that drops all that is forwarded unless a rule allows it, and whose table has no
/// rule on the bridge, how to let containers through. It looks at nf_tables, where `nft` and today's
/// `iptables` keep their rules.
pub(super) fn notices(socket: &Socket, bridge: &str) -> Vec<String> {
    // Who may not look learns nothing here, and changing rules has failed or will fail by itself.
    let Ok(chains) = nft::chains(socket) else { return Vec::new() };
    let mut notices = Vec::new();
    for chain in &chains {
        let Some(family) = chain.body.first().copied() else { continue };
        let found = attributes(&chain.body, 4);
        let text = |kind| find(&found, kind).map(name).unwrap_or_default();
        let (table, chain) = (text(1), text(3));
        let hook = find(&found, 4).map(|hook| attributes(hook, 0)).unwrap_or_default();
        let stops =
            number(find(&hook, 1)) == Some(FORWARD) && number(find(&found, 5)) == Some(DROP);
        let concerned = family == nft::IPV4 || family == nft::INET;
        if !stops || !concerned || table == TABLE || mentions(socket, family, &table, bridge) {
            continue;
        }
        notices.push(notice(&chains_way(&chains, family, &table), &table, &chain, bridge));
    }
    notices
}

/// Which program the table belongs to, seen by its chains.
fn chains_way(chains: &[super::netlink::Answer], family: u8, table: &str) -> String {
    let docker = chains.iter().any(|chain| {
        let found = attributes(&chain.body, 4);
        let is = |kind, wanted: &str| find(&found, kind).map(name).as_deref() == Some(wanted);
        chain.body.first() == Some(&family) && is(1, table) && is(3, "DOCKER-USER")
    });
    if docker { "DOCKER-USER".to_owned() } else { "FORWARD".to_owned() }
}

fn notice(way: &str, table: &str, chain: &str, bridge: &str) -> String {
    let cure = if chain == "FORWARD" {
        format!("iptables -I {way} -i {bridge} -j ACCEPT; iptables -I {way} -o {bridge} -j ACCEPT")
    } else {
        format!("a rule in it that accepts iifname {bridge} and one for oifname {bridge}")
    };
    format!(
        "the firewall of this machine (table {table}, chain {chain}) drops what it forwards, so \
         containers reach nothing beyond the machine; missing: {cure}"
    )
}

/// Whether some rule of a table names the bridge: then somebody has thought of it.
fn mentions(socket: &Socket, family: u8, table: &str, bridge: &str) -> bool {
    let Ok(rules) = nft::rules(socket, family, table) else { return false };
    let wanted = bridge.as_bytes();
    rules.iter().any(|rule| rule.body.windows(wanted.len()).any(|window| window == wanted))
}

fn number(bytes: Option<&[u8]>) -> Option<u32> {
    Some(u32::from_be_bytes(bytes?.try_into().ok()?))
}
