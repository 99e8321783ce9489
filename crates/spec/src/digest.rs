//! Content addresses: digests, the algorithms that make them, and the two named uses
//! (`DiffId`, `ChainId`) of the image specification.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::Digest as _;

/// An algorithm this implementation can compute (image-spec `descriptor.md`, registered
/// algorithms).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// SHA-256: 64 lower-case hex digits. The one every implementation must have.
    Sha256,
    /// SHA-512: 128 lower-case hex digits.
    Sha512,
    /// BLAKE3 with 256 bits of output: 64 lower-case hex digits.
    Blake3,
}

impl Algorithm {
    /// All registered algorithms.
    pub const ALL: [Algorithm; 3] = [Self::Sha256, Self::Sha512, Self::Blake3];

    /// The registered identifier, as it stands before the colon.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
            Self::Blake3 => "blake3",
        }
    }

    /// Number of hex digits in the encoded portion.
    pub fn encoded_len(self) -> usize {
        match self {
            Self::Sha256 | Self::Blake3 => 64,
            Self::Sha512 => 128,
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == name)
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a text is no digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DigestError {
    /// The text breaks the grammar of `descriptor.md`.
    #[error("'{0}' is not a digest: it must read algorithm:encoded")]
    Grammar(String),
    /// The algorithm is registered and its encoded portion has another form.
    #[error("digest '{0}' does not have the {1} lower-case hex digits that {2} asks for")]
    Encoded(String, usize, Algorithm),
    /// The algorithm is well-formed but cannot be computed here.
    #[error("digest algorithm '{0}' is not supported (sha256, sha512 and blake3 are)")]
    Unsupported(String),
}

/// A content address, `algorithm:encoded` (image-spec `descriptor.md`, Digests).
///
/// Unregistered algorithms are legal to carry; [`Digest::algorithm`] tells whether the digest can
/// be computed here.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Digest {
    text: Box<str>,
    colon: usize,
}

/// Longest digest accepted: far above every registered one, far below what could hurt.
const MAX_DIGEST: usize = 512;

impl Digest {
    /// Reads a digest; registered algorithms must have their exact encoded form.
    pub fn parse(text: &str) -> Result<Self, DigestError> {
        let grammar = || DigestError::Grammar(text.chars().take(80).collect());
        if text.len() > MAX_DIGEST {
            return Err(grammar());
        }
        let (name, encoded) = text.split_once(':').ok_or_else(grammar)?;
        if !is_algorithm_name(name) || !is_encoded(encoded) {
            return Err(grammar());
        }
        if let Some(algorithm) = Algorithm::from_name(name) {
            let hex = encoded.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
            if !hex || encoded.len() != algorithm.encoded_len() {
                let count = algorithm.encoded_len();
                return Err(DigestError::Encoded(text.to_owned(), count, algorithm));
            }
        }
        Ok(Self { text: text.into(), colon: name.len() })
    }

    /// The digest of `bytes` under `algorithm`.
    pub fn of(algorithm: Algorithm, bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(bytes);
        hasher.finish()
    }

    /// The sha256 digest of `bytes`.
    pub fn sha256(bytes: &[u8]) -> Self {
        Self::of(Algorithm::Sha256, bytes)
    }

    /// The whole text, `algorithm:encoded`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The portion before the colon.
    pub fn algorithm_name(&self) -> &str {
        self.text.get(..self.colon).unwrap_or_default()
    }

    /// The portion after the colon.
    pub fn encoded(&self) -> &str {
        self.text.get(self.colon + 1..).unwrap_or_default()
    }

    /// The algorithm, or an error when it cannot be computed here.
    pub fn algorithm(&self) -> Result<Algorithm, DigestError> {
        Algorithm::from_name(self.algorithm_name())
            .ok_or_else(|| DigestError::Unsupported(self.algorithm_name().to_owned()))
    }

    /// The first twelve digits, for people.
    pub fn short(&self) -> &str {
        self.encoded().get(..12).unwrap_or(self.encoded())
    }
}

/// `algorithm ::= component (separator component)*`, separator one of `+._-`.
fn is_algorithm_name(name: &str) -> bool {
    name.split(['+', '.', '_', '-']).all(|component| {
        !component.is_empty()
            && component.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    })
}

fn is_encoded(encoded: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'=' | b'_' | b'-');
    !encoded.is_empty() && encoded.bytes().all(allowed)
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Digest {
    type Err = DigestError;
    fn from_str(text: &str) -> Result<Self, DigestError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Digest {
    type Error = DigestError;
    fn try_from(text: String) -> Result<Self, DigestError> {
        Self::parse(&text)
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.text.into()
    }
}

/// A running hash under one of the registered algorithms; cloning it keeps a point to go on from.
#[derive(Clone)]
pub struct Hasher(State);

#[derive(Clone)]
enum State {
    Sha256(sha2::Sha256),
    Sha512(sha2::Sha512),
    Blake3(Box<blake3::Hasher>),
}

impl Hasher {
    /// Starts at the empty input.
    pub fn new(algorithm: Algorithm) -> Self {
        Self(match algorithm {
            Algorithm::Sha256 => State::Sha256(sha2::Sha256::new()),
            Algorithm::Sha512 => State::Sha512(sha2::Sha512::new()),
            Algorithm::Blake3 => State::Blake3(Box::default()),
        })
    }

    /// Takes the next bytes of the input.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Sha256(hasher) => hasher.update(bytes),
            State::Sha512(hasher) => hasher.update(bytes),
            State::Blake3(hasher) => {
                hasher.update(bytes);
            }
        }
    }

    /// The digest of everything taken so far.
    pub fn finish(self) -> Digest {
        let (algorithm, hex) = match self.0 {
            State::Sha256(hasher) => (Algorithm::Sha256, hex(&hasher.finalize())),
            State::Sha512(hasher) => (Algorithm::Sha512, hex(&hasher.finalize())),
            State::Blake3(hasher) => (Algorithm::Blake3, hex(hasher.finalize().as_bytes())),
        };
        let name = algorithm.as_str();
        Digest { text: format!("{name}:{hex}").into(), colon: name.len() }
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hasher")
    }
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The digest of a layer's uncompressed tar (image-spec `config.md`, Layer DiffID).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DiffId(pub Digest);

impl fmt::Display for DiffId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The digest of a stack of layers (image-spec `config.md`, Layer ChainID).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ChainId(pub Digest);

impl ChainId {
    /// The ChainID of a stack given from the base up; `None` for an empty stack.
    ///
    /// `config.md` leaves the algorithm of `Digest(...)` open; as everywhere in the field it is
    /// sha256, whatever the algorithm of the DiffIDs.
    pub fn of(stack: &[DiffId]) -> Option<Self> {
        let (base, rest) = stack.split_first()?;
        let chain = rest
            .iter()
            .fold(base.0.clone(), |chain, diff| chain_onto(chain.as_str(), diff.0.as_str()));
        Some(Self(chain))
    }
}

impl fmt::Display for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One step of the recursion: `Digest(ChainID + " " + DiffID)`.
fn chain_onto(chain: &str, diff: &str) -> Digest {
    Digest::sha256(format!("{chain} {diff}").as_bytes())
}

#[cfg(test)]
mod tests;
