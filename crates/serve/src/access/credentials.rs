//! Credentials: what the `Authorization` header of a request holds.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Longest `Authorization` header read, in bytes.
const MAX_AUTHORIZATION: usize = 16 * 1024;

/// What a request brought along to be known by. Printing it shows no secret.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// Nothing.
    None,
    /// User and password (RFC 7617).
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: String,
    },
    /// A token (RFC 6750).
    Bearer(String),
    /// Something that cannot be read.
    Malformed,
}

impl Credentials {
    /// Reads the value of `Authorization`.
    pub fn parse(header: Option<&str>) -> Self {
        let Some(header) = header else {
            return Self::None;
        };
        let Some((scheme, rest)) = header.trim().split_once(' ') else {
            return Self::Malformed;
        };
        if header.len() > MAX_AUTHORIZATION {
            Self::Malformed
        } else if scheme.eq_ignore_ascii_case("bearer") {
            Self::Bearer(rest.trim().to_owned())
        } else if scheme.eq_ignore_ascii_case("basic") {
            basic(rest.trim()).unwrap_or(Self::Malformed)
        } else {
            Self::Malformed
        }
    }
}

fn basic(encoded: &str) -> Option<Credentials> {
    let decoded = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some(Credentials::Basic { user: user.to_owned(), password: password.to_owned() })
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Basic { user, .. } => write!(f, "Basic({user:?}, ***)"),
            Self::Bearer(_) => f.write_str("Bearer(***)"),
            Self::Malformed => f.write_str("Malformed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_authorization_header_is_read() {
        let user = |user: &str, password: &str| Credentials::Basic {
            user: user.to_owned(),
            password: password.to_owned(),
        };
        let cases = [
            (None, Credentials::None),
            (Some("Basic dTpw"), user("u", "p")),
            (Some("basic  dTpwOng="), user("u", "p:x")),
            (Some("Bearer abc"), Credentials::Bearer("abc".to_owned())),
            (Some("Basic dTpw="), Credentials::Malformed),
            (Some("Basic dXA="), Credentials::Malformed),
            (Some("Basic"), Credentials::Malformed),
            (Some("Negotiate abc"), Credentials::Malformed),
            (Some(""), Credentials::Malformed),
        ];
        for (header, wanted) in cases {
            assert_eq!(Credentials::parse(header), wanted, "{header:?}");
        }
        let long = format!("Bearer {}", "x".repeat(MAX_AUTHORIZATION));
        assert_eq!(Credentials::parse(Some(&long)), Credentials::Malformed);
    }

    #[test]
    fn printing_shows_no_secret() {
        let shown = format!(
            "{:?} {:?}",
            Credentials::parse(Some("Basic dTpzZWNyZXQ=")),
            Credentials::Bearer("secret".to_owned())
        );
        assert_eq!(shown, "Basic(\"u\", ***) Bearer(***)");
    }
}
