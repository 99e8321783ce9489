//! Published ports: whose they are, and that no program of the machine has them.

use super::error::{Doing, NetworkError};
use super::lease::Tenant;
use super::{Publish, Way};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;

/// Takes the ports: each is checked against the other containers and against the programs of the machine,
/// and a port 0 becomes a free one. The sockets keep the ports from programs that come later.
pub(super) fn settle(
    wanted: &[Publish],
    others: &[Tenant],
    way: Way,
) -> Result<(Vec<Publish>, Vec<OwnedFd>), NetworkError> {
    let (mut settled, mut sockets): (Vec<Publish>, Vec<OwnedFd>) = (Vec::new(), Vec::new());
    for port in wanted {
        let mut port = normal(port, way)?;
        if let Some(other) = others.iter().find(|other| collide(&other.publish, &port)) {
            return Err(taken(&port, format!("container {}", other.id)));
        }
        if collide(&settled, &port) {
            return Err(taken(&port, "this container already".to_owned()));
        }
        let (socket, number) = reserve(&port)?;
        port.host = number;
        settled.push(port);
        sockets.push(socket);
    }
    Ok((settled, sockets))
}

/// The same wish with "all addresses" said in one way.
fn normal(port: &Publish, way: Way) -> Result<Publish, NetworkError> {
    let bad = |address, why| NetworkError::BadAddress { port: port.host, address, why };
    if port.container == 0 {
        let address = port.address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        return Err(bad(address, "0 is no port of a container"));
    }
    let address = match port.address {
        Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED)) => None,
        Some(address @ IpAddr::V6(_)) if way == Way::Bridge => {
            return Err(bad(address, "the bridge speaks version 4 of the protocol alone"));
        }
        other => other,
    };
    Ok(Publish { address, ..port.clone() })
}

fn collide(taken: &[Publish], port: &Publish) -> bool {
    taken.iter().any(|other| {
        other.udp == port.udp
            && other.host == port.host
            && port.host != 0
            && (other.address.is_none() || port.address.is_none() || other.address == port.address)
    })
}

/// Binds a socket that nothing is ever read from: what is for the port is redirected before it.
fn reserve(port: &Publish) -> Result<(OwnedFd, u16), NetworkError> {
    let kind = if port.udp { SocketType::DGRAM } else { SocketType::STREAM };
    let doing = || format!("reserve port {}", port.host);
    let address = port.address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, None).doing(doing)?;
    if !port.udp {
        // Connections of a program that has ended linger for a minute; they do not count.
        sockopt::set_socket_reuseaddr(&socket, true).doing(doing)?;
    }
    match rustix::net::bind(&socket, &SocketAddr::new(address, port.host)) {
        Ok(()) => {}
        Err(Errno::ADDRINUSE) => return Err(taken(port, "a program of the machine".to_owned())),
        Err(Errno::ADDRNOTAVAIL) => {
            let why = "the machine does not have this address";
            return Err(NetworkError::BadAddress { port: port.host, address, why });
        }
        Err(error) => return Err(error).doing(doing),
    }
    if !port.udp {
        sockopt::set_socket_reuseaddr(&socket, false).doing(doing)?;
    }
    let bound =
        SocketAddr::try_from(rustix::net::getsockname(&socket).doing(doing)?).doing(doing)?;
    Ok((socket, bound.port()))
}

fn taken(port: &Publish, holder: String) -> NetworkError {
    let protocol = if port.udp { "UDP" } else { "TCP" };
    NetworkError::PortTaken { port: port.host, protocol, holder }
}
