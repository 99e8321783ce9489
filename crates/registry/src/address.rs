//! Addresses: from a host to the URL of its API, and which URLs a registry may send us to.

use std::net::IpAddr;

use reqwest::Url;

/// Host whose API lives under another name.
const DOCKER_HUB: &str = "docker.io";

/// Name under which that API lives.
const DOCKER_HUB_API: &str = "registry-1.docker.io";

/// The host to connect to for locations on `host`.
pub(crate) fn api_host(host: &str) -> &str {
    match host {
        DOCKER_HUB | "index.docker.io" => DOCKER_HUB_API,
        other => other,
    }
}

/// Whether `host`, perhaps with a port, is this machine.
pub(crate) fn is_loopback_host(host: &str) -> bool {
    Url::parse(&format!("http://{host}/")).is_ok_and(|url| is_loopback(&url))
}

fn is_loopback(url: &Url) -> bool {
    match literal(url) {
        Some(address) => address.is_loopback(),
        None => url
            .host_str()
            .is_some_and(|name| name.trim_end_matches('.').rsplit('.').next() == Some("localhost")),
    }
}

/// Addresses only meant for the machine itself or its own link: loopback, unspecified, link-local
/// (where clouds keep the secrets of their machines).
fn is_inside(url: &Url) -> bool {
    is_loopback(url)
        || match literal(url) {
            Some(IpAddr::V4(address)) => address.is_unspecified() || address.is_link_local(),
            Some(IpAddr::V6(address)) => {
                address.is_unspecified() || address.is_unicast_link_local()
            }
            None => false,
        }
}

fn literal(url: &Url) -> Option<IpAddr> {
    let host = url.host_str()?;
    let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    let address: IpAddr = host.parse().ok()?;
    Some(address.to_canonical())
}

/// Why a URL that a registry gave is not followed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Misdirected {
    #[error("'{0}' is not a URL that can be followed")]
    NotUrl(String),
    #[error("{0} would leave TLS for plain HTTP")]
    Downgrade(String),
    #[error("{0} is an address inside this machine or its link, which {1} is not")]
    Inside(String, String),
}

/// The URL that `target`, given in an answer from `at`, leads to. `home` is the registry that the
/// whole exchange began with. TLS is never left, and nobody outside sends us inside. A plain
/// `http://` URL to the very host that was reached over TLS (a registry behind a proxy that does
/// not know of it) is corrected.
pub(crate) fn follow(home: &Url, at: &Url, target: &str) -> Result<Url, Misdirected> {
    let clip = || target.chars().take(200).collect::<String>();
    let clip = || clip().split(['?', '#']).next().unwrap_or_default().to_owned();
    let mut url = at.join(target).map_err(|_| Misdirected::NotUrl(clip()))?;
    let bare = url.set_username("").and(url.set_password(None));
    if bare.is_err() || !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(Misdirected::NotUrl(clip()));
    }
    url.set_fragment(None);
    if at.scheme() == "https" && url.scheme() == "http" {
        if url.host_str() != at.host_str() || url.set_scheme("https").is_err() {
            return Err(Misdirected::Downgrade(redacted(&url)));
        }
        let port = at.port();
        if url.set_port(port).is_err() {
            return Err(Misdirected::NotUrl(clip()));
        }
    }
    if is_inside(&url) && !is_inside(home) {
        return Err(Misdirected::Inside(redacted(&url), redacted(home)));
    }
    Ok(url)
}

/// `url` without user, query and fragment, which may hold tokens and signatures.
pub(crate) fn redacted(url: &Url) -> String {
    let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
    format!("{}://{}{port}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path())
}

/// Whether secrets made for `home` may be sent to `url`.
pub(crate) fn same_origin(home: &Url, url: &Url) -> bool {
    home.origin() == url.origin()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    fn from_public(target: &str) -> Result<String, Misdirected> {
        let home = url("https://registry.example.com/v2/");
        follow(&home, &home, target).map(String::from)
    }

    #[test]
    fn loopback_is_known_in_all_its_spellings() {
        for host in ["localhost", "localhost:5000", "127.0.0.1:80", "127.9.9.9", "[::1]:5000"] {
            assert!(is_loopback_host(host), "{host}");
        }
        for host in ["localhost.example.com", "10.0.0.1", "128.0.0.1", "example.com:127"] {
            assert!(!is_loopback_host(host), "{host}");
        }
    }

    #[test]
    fn relative_and_foreign_urls_over_tls_are_followed() {
        let same = from_public("/v2/a/blobs/uploads/1?state=x").unwrap();
        assert_eq!(same, "https://registry.example.com/v2/a/blobs/uploads/1?state=x");
        let cdn = from_public("https://cdn.example.net/x?sig=1").unwrap();
        assert_eq!(cdn, "https://cdn.example.net/x?sig=1");
    }

    #[test]
    fn tls_is_not_left() {
        let error = from_public("http://cdn.example.net/x?sig=secret").unwrap_err();
        assert_eq!(error.to_string(), "http://cdn.example.net/x would leave TLS for plain HTTP");
    }

    #[test]
    fn a_plain_url_to_the_same_host_is_corrected() {
        let same = from_public("http://registry.example.com/v2/u").unwrap();
        assert_eq!(same, "https://registry.example.com/v2/u");
    }

    #[test]
    fn a_public_registry_does_not_send_us_inside() {
        for target in [
            "https://127.0.0.1/x",
            "https://localhost:8443/x",
            "https://169.254.169.254/latest",
            "https://[::ffff:127.0.0.1]/x",
            "https://[fe80::1]/x",
            "https://0.0.0.0/",
        ] {
            let error = from_public(target).unwrap_err();
            assert!(matches!(error, Misdirected::Inside(..)), "{target}: {error}");
        }
    }

    #[test]
    fn users_in_urls_and_other_schemes_are_dropped() {
        let cdn = from_public("https://user:pass@cdn.example.net/x").unwrap();
        assert_eq!(cdn, "https://cdn.example.net/x");
        assert!(matches!(from_public("file:///etc/passwd"), Err(Misdirected::NotUrl(_))));
    }
}
