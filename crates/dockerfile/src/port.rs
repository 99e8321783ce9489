//! EXPOSE: ports and ranges of them.

use std::net::IpAddr;

/// The ports of one word of EXPOSE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exposed {
    /// The first port.
    pub first: u16,
    /// The last one; the first where there is one.
    pub last: u16,
    /// Over which protocol.
    pub protocol: Protocol,
    /// Whether the protocol is written in another case than lower.
    pub(crate) is_cased: bool,
    /// Whether an address or a port of the host stands before.
    pub(crate) is_mapped: bool,
}

/// What is spoken on a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)] // The names say it.
pub enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

impl Protocol {
    /// Its name in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

/// Why a word of EXPOSE is no port.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PortError {
    /// No port stands in it.
    #[error("`{text}` has no port")]
    None {
        /// The word.
        text: String,
    },
    /// The port is no number, or the range ends before it begins.
    #[error("`{port}` is no port and no range of ports")]
    Port {
        /// The port.
        port: String,
    },
    /// There is no such protocol.
    #[error("`{protocol}` is no protocol, only tcp, udp and sctp are")]
    Protocol {
        /// The protocol.
        protocol: String,
    },
    /// What stands before the ports is no address.
    #[error("`{address}` is no address")]
    Address {
        /// The address.
        address: String,
    },
    /// Two ranges of different lengths.
    #[error("the ranges {host} and {container} have different lengths")]
    Lengths {
        /// The host's.
        host: String,
        /// The container's.
        container: String,
    },
}

impl Exposed {
    /// Each port with its protocol, as image configs have them: `80/tcp`.
    pub fn names(&self) -> impl Iterator<Item = String> {
        let protocol = self.protocol.name();
        (self.first..=self.last).map(move |port| format!("{port}/{protocol}"))
    }
}

/// Reads one word of EXPOSE: `[[address:]host-port:]port[-port][/protocol]`. What stands before the
/// container's port is checked and means nothing.
///
/// # Errors
/// What stands in [`PortError`].
///
/// ```
/// let exposed = corten_dockerfile::parse_port("8000-8002/UDP")?;
/// assert_eq!(exposed.names().collect::<Vec<_>>(), ["8000/udp", "8001/udp", "8002/udp"]);
/// # Ok::<(), corten_dockerfile::PortError>(())
/// ```
pub fn parse_port(text: &str) -> Result<Exposed, PortError> {
    let mut parts = text.rsplitn(3, ':');
    let container = parts.next().unwrap_or_default();
    let host = parts.next().unwrap_or_default();
    let address = parts.next().unwrap_or_default();
    let (ports, protocol) = match container.split_once('/') {
        Some((ports, protocol)) => (ports, protocol),
        None => (container, ""),
    };
    if ports.is_empty() {
        return Err(PortError::None { text: text.to_owned() });
    }
    let lower = protocol.to_lowercase();
    let known = match lower.as_str() {
        "" | "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        "sctp" => Protocol::Sctp,
        _ => return Err(PortError::Protocol { protocol: protocol.to_owned() }),
    };
    check_address(address)?;
    let (first, last) = range(ports)?;
    if !host.is_empty() {
        let (host_first, host_last) = range(host)?;
        if last != first && host_last - host_first != last - first {
            let (host, container) = (host.to_owned(), ports.to_owned());
            return Err(PortError::Lengths { host, container });
        }
    }
    Ok(Exposed {
        first,
        last,
        protocol: known,
        is_cased: protocol != lower,
        is_mapped: !(address.is_empty() && host.is_empty()),
    })
}

fn check_address(address: &str) -> Result<(), PortError> {
    let bare = match address.strip_prefix('[') {
        Some(inside) => inside.strip_suffix(']').unwrap_or(address),
        None => address,
    };
    if bare.is_empty() && address.is_empty() || bare.parse::<IpAddr>().is_ok() {
        return Ok(());
    }
    Err(PortError::Address { address: address.to_owned() })
}

fn range(text: &str) -> Result<(u16, u16), PortError> {
    let number = |text: &str| text.parse::<u16>().ok();
    let bounds = match text.split_once('-') {
        Some((first, last)) => number(first).zip(number(last)),
        None => number(text).map(|port| (port, port)),
    };
    bounds
        .filter(|(first, last)| first <= last)
        .ok_or_else(|| PortError::Port { port: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        parse_port(text).unwrap().names().collect()
    }

    #[test]
    fn addresses_and_host_ports_mean_nothing() {
        assert_eq!(names("0.0.0.0:1234-1235:3333-3334/tcp"), ["3333/tcp", "3334/tcp"]);
        for text in
            ["[2001:4860:0:2001::68]::333", "2001:4860:0:2001::68::333", "0.0.0.0::333", "1-9:333"]
        {
            assert_eq!(names(text), ["333/tcp"], "{text}");
            assert!(parse_port(text).unwrap().is_mapped);
        }
        for text in ["[::1]:80:80", "::1:80:80", "::::80", "80:80", "80"] {
            assert_eq!(names(text), ["80/tcp"], "{text}");
        }
    }

    #[test]
    fn what_is_no_port_is_told() {
        for text in ["", "0.0.0.0:1234-1235:/tcp", "localhost:1234:1234/tcp", "80/http", "x", "9-8"]
        {
            assert!(parse_port(text).is_err(), "{text}");
        }
        assert!(matches!(parse_port("1-2:3-5"), Err(PortError::Lengths { .. })));
        assert!(matches!(parse_port("65536"), Err(PortError::Port { .. })));
    }
}
