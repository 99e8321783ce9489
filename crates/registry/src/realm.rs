//! Realms: which token services may see the credential of a registry. A challenge is words of whoever answers for
//! the registry at that moment, so it cannot name a host of its own choice for that.

use reqwest::Url;

use crate::address::{api_host, same_origin};
use crate::token::Asking;
use crate::{Credential, CredentialError};

/// Public registries whose token service is another host, as their own documentation has it. The credentials of
/// each go there and nowhere else.
const KNOWN: [(&str, &str); 3] = [
    ("registry-1.docker.io", "auth.docker.io"),
    ("registry.gitlab.com", "gitlab.com"),
    ("registry.digitalocean.com", "api.digitalocean.com"),
];

/// Whether `service`, which the registry of `asking` calls its token service, or which is the registry itself,
/// may see the credential for it: where token services are named, one of them, else the registry's own origin.
pub(crate) fn is_named(asking: &Asking<'_>, service: &Url) -> bool {
    let host = &asking.location.host;
    // A secret does not leave TLS, whatever is named.
    let as_safe = service.scheme() == "https" || asking.home.scheme() == "http";
    if let Some(named) = asking.connection.transport.token_services.get(host) {
        return as_safe && named.iter().any(|name| names(name, service));
    }
    match KNOWN.iter().find(|(registry, _)| *registry == api_host(host)) {
        Some((_, name)) => as_safe && names(name, service),
        None => same_origin(asking.home, service),
    }
}

/// Whether `name`, a host with a port where it has one, is that of `service`.
fn names(name: &str, service: &Url) -> bool {
    Url::parse(&format!("{}://{name}/", service.scheme()))
        .is_ok_and(|named| named.host_str().is_some() && same_origin(&named, service))
}

/// Why `service` is not shown the credential, where it is not.
pub(crate) fn withheld(
    asking: &Asking<'_>,
    service: &Url,
    credential: Option<&Credential>,
) -> Option<CredentialError> {
    // A token for the registry goes to it alone, whatever service it names.
    let shown =
        matches!(credential, Some(Credential::Password { .. } | Credential::IdentityToken(_)));
    (shown && !is_named(asking, service)).then(|| CredentialError::Withheld {
        registry: asking.location.host.clone(),
        service: service.authority().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use corten_spec::Location;

    use super::*;
    use crate::{Anonymous, Connection, Transport};

    fn is_shown(host: &str, named: &[&str], realm: &str) -> bool {
        let mut transport = Transport::default();
        if !named.is_empty() {
            let named = named.iter().map(|name| (*name).to_owned()).collect();
            transport.token_services.insert(host.to_owned(), named);
        }
        let connection = Connection::new(transport, Arc::new(Anonymous)).unwrap();
        let location = Location { host: host.to_owned(), repository: "a".to_owned() };
        let home = Url::parse(&format!("https://{}/", api_host(host))).unwrap();
        let asking = Asking { connection: &connection, home: &home, location: &location };
        is_named(&asking, &Url::parse(realm).unwrap())
    }

    #[test]
    fn public_registries_work_without_being_told() {
        for (host, realm) in [
            ("docker.io", "https://auth.docker.io/token"),
            ("index.docker.io", "https://auth.docker.io/token"),
            ("registry-1.docker.io", "https://auth.docker.io/token"),
            ("registry.gitlab.com", "https://gitlab.com/jwt/auth"),
            ("registry.digitalocean.com", "https://api.digitalocean.com/v2/registry/auth"),
            ("ghcr.io", "https://ghcr.io/token"),
            ("quay.io", "https://quay.io/v2/auth"),
            ("public.ecr.aws", "https://public.ecr.aws/token/"),
            ("europe-docker.pkg.dev", "https://europe-docker.pkg.dev/v2/token"),
            ("name.azurecr.io", "https://name.azurecr.io/oauth2/token"),
            ("harbor.example", "https://harbor.example/service/token"),
            ("example.com:5050", "https://example.com:5050/jwt/auth"),
        ] {
            assert!(is_shown(host, &[], realm), "{host} {realm}");
        }
    }

    #[test]
    fn another_host_port_or_scheme_is_another_service() {
        for (host, realm) in [
            ("ghcr.io", "https://ghcr.io.example/token"),
            ("ghcr.io", "https://auth.docker.io/token"),
            ("ghcr.io", "https://ghcr.io:8443/token"),
            ("example.com:5050", "https://example.com/jwt/auth"),
            ("docker.io", "https://registry-1.docker.io/token"),
            ("docker.io", "https://auth.docker.io:444/token"),
            ("docker.io", "http://auth.docker.io/token"),
            ("registry.gitlab.com", "https://registry.gitlab.com/token"),
            ("registry.gitlab.com:5000", "https://gitlab.com/jwt/auth"),
        ] {
            assert!(!is_shown(host, &[], realm), "{host} {realm}");
        }
    }

    #[test]
    fn what_is_named_replaces_what_is_known() {
        let named = ["git.example", "auth.example:8443"];
        assert!(is_shown("r.example", &named, "https://git.example/jwt/auth"));
        assert!(is_shown("r.example", &named, "https://auth.example:8443/token"));
        assert!(!is_shown("r.example", &named, "https://auth.example/token"));
        assert!(!is_shown("r.example", &named, "https://r.example/token"));
        assert!(!is_shown("r.example", &named, "http://git.example/jwt/auth"));
        assert!(!is_shown("docker.io", &named, "https://auth.docker.io/token"));
        for nonsense in ["git.example/@x", "x@git.example/", "", "//"] {
            assert!(!is_shown("r.example", &[nonsense], "https://x/token"), "{nonsense}");
        }
    }
}
