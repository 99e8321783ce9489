//! Challenges: how a server asks for credentials (`WWW-Authenticate`, RFC 9110 section 11.6.1;
//! RFC 6750 section 3 and distribution's token documentation for `Bearer`).

use std::fmt;

use super::cursor::{Cursor, write_quoted};

/// Longest value of one header read, in bytes.
pub const MAX_CHALLENGE: usize = 8 * 1024;
/// Most challenges read of all headers together.
const MAX_CHALLENGES: usize = 16;

/// One way in which a server lets itself be convinced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// User and password with each request.
    Basic {
        /// What the credentials are for, in words.
        realm: String,
    },
    /// A token from the token service named here.
    Bearer(Bearer),
    /// A scheme that means nothing to corten, by its name.
    Other(String),
}

/// Where to fetch a token, and for what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bearer {
    /// URL of the token service, as sent: check its scheme and host before use.
    pub realm: String,
    /// Who the token is for.
    pub service: Option<String>,
    /// Scopes it needs, separated by spaces, as sent: see [`super::Scope::parse_list`].
    pub scope: Option<String>,
    /// What was wrong with the token that came with the request, such as `insufficient_scope`.
    pub error: Option<String>,
}

impl Challenge {
    /// Reads the values of all `WWW-Authenticate` headers of an answer, in their order. What is
    /// beyond the limits, or a `Bearer` without a realm, is left out.
    pub fn parse<'a>(values: impl IntoIterator<Item = &'a str>) -> Vec<Self> {
        let values = values.into_iter().filter(|value| value.len() <= MAX_CHALLENGE);
        let mut challenges = Vec::new();
        for value in values {
            let mut cursor = Cursor::new(value);
            while let Some((scheme, parameters)) = next(&mut cursor) {
                if challenges.len() == MAX_CHALLENGES {
                    return challenges;
                }
                challenges.extend(Self::of(scheme, parameters));
            }
        }
        challenges
    }

    fn of(scheme: &str, parameters: Vec<(String, String)>) -> Option<Self> {
        let find = |name: &str| {
            let mut all = parameters.iter();
            all.find(|(key, _)| key == name).map(|(_, value)| value.clone())
        };
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic { realm: find("realm").unwrap_or_default() });
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Some(Self::Other(scheme.to_owned()));
        }
        let realm = find("realm").filter(|realm| !realm.is_empty())?;
        let (service, scope, error) = (find("service"), find("scope"), find("error"));
        Some(Self::Bearer(Bearer { realm, service, scope, error }))
    }
}

/// The next scheme with its parameters, their names in lower case.
fn next<'a>(cursor: &mut Cursor<'a>) -> Option<(&'a str, Vec<(String, String)>)> {
    let scheme = loop {
        cursor.skip_commas();
        if cursor.is_done() {
            return None;
        }
        match cursor.token() {
            // No token stands here: what it is belongs to nobody, up to the next element.
            "" => {
                cursor.value();
                cursor.until(|c| c == ',');
            }
            scheme => break scheme,
        }
    };
    let mut parameters = Vec::new();
    loop {
        let mut ahead = cursor.ahead();
        ahead.skip_commas();
        let name = ahead.token();
        ahead.skip_space();
        if name.is_empty() || !ahead.take('=') {
            // Another scheme, a lone word (token68), or the end.
            skip_word(cursor);
            return Some((scheme, parameters));
        }
        ahead.skip_space();
        parameters.push((name.to_ascii_lowercase(), ahead.value()));
        *cursor = ahead;
    }
}

/// Skips what stands between a scheme and the comma that ends its challenge.
fn skip_word(cursor: &mut Cursor<'_>) {
    cursor.until(|c| c == ',');
}

impl fmt::Display for Challenge {
    /// Writes the challenge as a server sends it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Basic { realm } => {
                f.write_str("Basic ")?;
                write_quoted(f, "realm", realm)
            }
            Self::Other(scheme) => f.write_str(scheme),
            Self::Bearer(bearer) => {
                f.write_str("Bearer ")?;
                write_quoted(f, "realm", &bearer.realm)?;
                let rest = [
                    ("service", &bearer.service),
                    ("scope", &bearer.scope),
                    ("error", &bearer.error),
                ];
                for (name, value) in rest {
                    if let Some(value) = value {
                        f.write_str(",")?;
                        write_quoted(f, name, value)?;
                    }
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        let own = |text: Option<&str>| text.map(str::to_owned);
        let (service, scope) = (own(service), own(scope));
        Challenge::Bearer(Bearer { realm: realm.to_owned(), service, scope, error: None })
    }

    fn basic(realm: &str) -> Challenge {
        Challenge::Basic { realm: realm.to_owned() }
    }

    fn other(scheme: &str) -> Challenge {
        Challenge::Other(scheme.to_owned())
    }

    #[test]
    fn challenges_of_the_field_are_read() {
        let url = "https://auth.example.com/token";
        let cases: Vec<(&[&str], Vec<Challenge>)> = vec![
            (
                &[
                    "Bearer realm=\"https://auth.example.com/token\",service=\"registry.example.com\",\
                   scope=\"repository:a/b:pull,push\"",
                ],
                vec![bearer(url, Some("registry.example.com"), Some("repository:a/b:pull,push"))],
            ),
            (
                &["bearer  REALM = https://auth.example.com/token , Service=x"],
                vec![bearer(url, Some("x"), None)],
            ),
            (&["Basic realm=\"a \\\"b\\\\c\\\" é\""], vec![basic("a \"b\\c\" é")]),
            (&["Basic"], vec![basic("")]),
            (
                &["Basic realm=\"x, Bearer realm=y\", Bearer realm=\"z\", Negotiate, Digest a=b"],
                vec![
                    basic("x, Bearer realm=y"),
                    bearer("z", None, None),
                    other("Negotiate"),
                    other("Digest"),
                ],
            ),
            (&["Basic realm=a", "Bearer realm=b"], vec![basic("a"), bearer("b", None, None)]),
            (&["Negotiate YWJj==, Basic realm=a"], vec![other("Negotiate"), basic("a")]),
            (&["Bearer realm=\"unterminated"], vec![bearer("unterminated", None, None)]),
            (&["Bearer service=x", "Bearer realm=\"\"", "", ",,", "\"", "=,=", "\\"], vec![]),
            (&["\"x, y\", Basic realm=a"], vec![basic("a")]),
        ];
        for (values, wanted) in cases {
            assert_eq!(Challenge::parse(values.iter().copied()), wanted, "{values:?}");
        }
    }

    #[test]
    fn the_error_of_a_bearer_challenge_is_kept() {
        let read = Challenge::parse(["Bearer realm=a,error=\"insufficient_scope\""]);
        let [Challenge::Bearer(bearer)] = read.as_slice() else { panic!("{read:?}") };
        assert_eq!(bearer.error.as_deref(), Some("insufficient_scope"));
    }

    #[test]
    fn what_is_written_is_read_back() {
        let error = Some("invalid_token".to_owned());
        let mut full = Bearer { realm: "r\"\\".to_owned(), error, ..Bearer::default() };
        full.scope = Some("repository:a:pull repository:b:pull".to_owned());
        for challenge in [Challenge::Bearer(full), basic("a, \"b\""), other("Negotiate")] {
            assert_eq!(Challenge::parse([challenge.to_string().as_str()]), [challenge]);
        }
        assert_eq!(basic("a\r\nX: y").to_string(), "Basic realm=\"a  X: y\"");
    }

    #[test]
    fn limits_hold() {
        let long = format!("Basic realm=\"{}\"", "a".repeat(MAX_CHALLENGE));
        assert_eq!(Challenge::parse([long.as_str()]), []);
        let many = "Basic realm=a,".repeat(100);
        assert_eq!(Challenge::parse([many.as_str()]).len(), MAX_CHALLENGES);
    }
}
