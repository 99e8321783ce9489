//! The token endpoint: `GET` with Basic credentials or none, and the OAuth 2 form of `POST`
//! (distribution's token and oauth documentation).

use std::collections::HashMap;

use bytes::Bytes;
use corten_registry::wire::{ErrorCode, Scope};
use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::JSON;
use crate::access::{Credentials, Principal, TokenService};
use crate::answer::Answer;
use crate::dispatch::Call;
use crate::failure::Failure;
use crate::received::Received;

/// Most bytes of the form in a `POST`.
const MAX_FORM: u64 = 16 * 1024;
/// Most scopes of one request.
const MAX_SCOPES: usize = 64;

/// Answers a request for a token.
pub(crate) async fn answer(
    tokens: &TokenService,
    method: &Method,
    query: Option<&str>,
    (call, mut body): (&Call, Received),
) -> Result<Answer, Failure> {
    match *method {
        Method::GET => by_credentials(tokens, call, &Form::parse(query.unwrap_or_default())),
        Method::POST => {
            let body = body.whole("the form", MAX_FORM).await?;
            by_form(tokens, &Form::parse(&String::from_utf8_lossy(&body)))
        }
        _ => Err(Failure::new(ErrorCode::Unsupported, "GET or POST")
            .header(http::header::ALLOW, "GET, POST")),
    }
}

fn by_credentials(tokens: &TokenService, call: &Call, form: &Form) -> Result<Answer, Failure> {
    let principal = match &call.credentials {
        Credentials::None => Principal::Anonymous,
        Credentials::Basic { user, password } => {
            tokens.verify(user, password).ok_or_else(unauthorized)?
        }
        Credentials::Bearer(_) | Credentials::Malformed => return Err(unauthorized()),
    };
    let offline = form.first("offline_token") == Some("true");
    Ok(issued(tokens, &principal, form, offline))
}

fn by_form(tokens: &TokenService, form: &Form) -> Result<Answer, Failure> {
    let principal = match form.first("grant_type") {
        Some("password") => {
            let (user, password) = (form.first("username"), form.first("password"));
            user.zip(password).and_then(|(user, password)| tokens.verify(user, password))
        }
        Some("refresh_token") => {
            form.first("refresh_token").and_then(|word| tokens.refreshed(word))
        }
        _ => {
            let failure = Failure::new(ErrorCode::Unsupported, "grant_type is not supported");
            return Err(failure.status(StatusCode::BAD_REQUEST));
        }
    };
    let offline = form.first("access_type") == Some("offline");
    Ok(issued(tokens, &principal.ok_or_else(unauthorized)?, form, offline))
}

fn issued(tokens: &TokenService, principal: &Principal, form: &Form, offline: bool) -> Answer {
    let fresh = tokens.issue(principal, &form.scopes());
    let mut body = Map::new();
    let mut put = |key: &str, value: Value| body.insert(key.to_owned(), value);
    put("token", json!(fresh.token));
    put("access_token", json!(fresh.token));
    put("expires_in", json!(fresh.lifetime.as_secs()));
    let scopes: Vec<String> = fresh.scopes.iter().map(Scope::to_string).collect();
    put("scope", json!(scopes.join(" ")));
    if offline && *principal != Principal::Anonymous {
        put("refresh_token", json!(tokens.issue_refresh(principal)));
    } else if let Some(word) = form.first("refresh_token") {
        // Its owner has just proved to know it.
        put("refresh_token", json!(word));
    }
    let body = Value::Object(body).to_string();
    Answer::with_body(StatusCode::OK, JSON, Bytes::from(body))
}

fn unauthorized() -> Failure {
    Failure::new(ErrorCode::Unauthorized, "wrong credentials")
}

/// The fields of a query or of a form (`application/x-www-form-urlencoded`).
struct Form(HashMap<String, Vec<String>>);

impl Form {
    fn parse(text: &str) -> Self {
        let mut fields: HashMap<String, Vec<String>> = HashMap::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let values = fields.entry(decoded(key)).or_default();
            values.push(decoded(value));
        }
        Self(fields)
    }

    fn first(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.first().map(String::as_str)
    }

    fn scopes(&self) -> Vec<Scope> {
        let values = self.0.get("scope").into_iter().flatten();
        values.flat_map(|value| Scope::parse_list(value)).take(MAX_SCOPES).collect()
    }
}

/// A plus is a space here; an escape that is none stays as it is.
fn decoded(text: &str) -> String {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let escape = if byte == b'%' { after.split_at_checked(2) } else { None };
        let value = escape.and_then(|(digits, _)| {
            let hex = digits.iter().all(u8::is_ascii_hexdigit);
            let digits = std::str::from_utf8(digits).ok().filter(|_| hex)?;
            u8::from_str_radix(digits, 16).ok()
        });
        match (value, escape) {
            (Some(value), Some((_, after))) => {
                decoded.push(value);
                rest = after;
            }
            _ => decoded.push(if byte == b'+' { b' ' } else { byte }),
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_decoded() {
        let form = Form::parse(
            "a=x%3Ay+z&&scope=repository:a:pull%20repository:b:push&scope=bad\
                                &scope=repository%3Ac%3Apull&b&c=%zz%4",
        );
        assert_eq!(form.first("a"), Some("x:y z"));
        assert_eq!(form.first("b"), Some(""));
        assert_eq!(form.first("c"), Some("%zz%4"));
        assert_eq!(form.first("d"), None);
        let scopes: Vec<String> = form.scopes().iter().map(Scope::to_string).collect();
        assert_eq!(scopes, ["repository:a:pull", "repository:b:push", "repository:c:pull"]);
    }
}
