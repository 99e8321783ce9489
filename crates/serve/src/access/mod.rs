//! Access: who sends a request, and whether they may.

mod credentials;
mod roster;
mod tokens;

use async_trait::async_trait;
use corten_registry::wire::{Challenge, Scope};

pub use credentials::Credentials;
pub use roster::{Grant, Passwords, Principal, Roster};
pub(crate) use tokens::Random;
pub use tokens::{TokenService, Tokens};

/// What a request asks to be allowed.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// What it brought along to be known by.
    pub credentials: &'a Credentials,
    /// The host it was sent to, for challenges that point back here.
    pub host: &'a str,
    /// What it wants; `None` where it only asks whether it is welcome.
    pub scope: Option<&'a Scope>,
}

/// Decides who may do what.
#[async_trait]
pub trait Access: Send + Sync {
    /// Succeeds with who it is, when they may do all of the scope.
    async fn authorize(&self, asked: Asked<'_>) -> Result<Principal, Denial>;
}

/// Why a request is not allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denial {
    /// Nobody knows who it is, or a token does not reach: how to bring better credentials.
    Unauthenticated(Vec<Challenge>),
    /// They are known, and may not.
    Forbidden,
}

/// Allows everyone everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct AllowAll;

#[async_trait]
impl Access for AllowAll {
    async fn authorize(&self, _: Asked<'_>) -> Result<Principal, Denial> {
        Ok(Principal::Anonymous)
    }
}
