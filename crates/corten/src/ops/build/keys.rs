//! Private keys of files in OpenSSH's own form (`PROTOCOL.key`), for an agent in this process: it lists them and signs
//! (the agent protocol, `draft-ietf-sshm-ssh-agent`). The signatures are those of the library that does TLS.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPairComponents, PublicKeyComponents};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
    ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256,
    RSA_PKCS1_SHA512, RsaEncoding, RsaKeyPair,
};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use corten_run::AgentKeys;

use super::wire::{Reader, number, string, whole};

/// What a file begins with, once it is decoded.
const MAGIC: &[u8] = b"openssh-key-v1\0";
const BEGIN: &str = "-----BEGIN OPENSSH PRIVATE KEY-----";
const END: &str = "-----END OPENSSH PRIVATE KEY-----";

/// `SSH_AGENTC_REQUEST_IDENTITIES` and its answer.
const LIST: (u8, u8) = (11, 12);
/// `SSH_AGENTC_SIGN_REQUEST` and its answer.
const SIGN: (u8, u8) = (13, 14);
/// The flags that ask for RSA with SHA-256 and SHA-512.
const RSA_SHA256: u32 = 2;
const RSA_SHA512: u32 = 4;

/// A private key.
pub(super) struct SshKey {
    /// The public key, as it is sent.
    public: Vec<u8>,
    comment: Vec<u8>,
    signer: Signer,
}

enum Signer {
    Ed25519(Ed25519KeyPair),
    Ecdsa(EcdsaKeyPair, &'static str),
    Rsa(RsaKeyPair),
}

/// Keys that answer for themselves.
pub(super) struct SshKeys(pub(super) Vec<SshKey>);

impl std::fmt::Debug for SshKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SshKeys({})", self.0.len())
    }
}

impl SshKey {
    /// Reads a file, or says why not.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let broken = || "it is a damaged key".to_owned();
        let text = text.trim();
        let body = text.strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(END));
        let Some(body) = body else {
            let why = "it is neither a socket nor a private key in OpenSSH's form (ssh-keygen -p writes a key anew)";
            return Err(why.to_owned());
        };
        let encoded: String = body.split_whitespace().collect();
        let bytes = BASE64_STANDARD.decode(encoded).map_err(|_| broken())?;
        let mut file = Reader(bytes.strip_prefix(MAGIC).ok_or_else(broken)?);
        let (cipher, _kdf, _options) = (file.string(), file.string(), file.string());
        if cipher.ok_or_else(broken)? != b"none" {
            let why = "the key has a passphrase: give it to an agent with ssh-add, and name the agent's socket";
            return Err(why.to_owned());
        }
        if file.number().ok_or_else(broken)? != 1 {
            return Err(broken());
        }
        let public = file.string().ok_or_else(broken)?.to_vec();
        let private = file.string().ok_or_else(broken)?;
        Self::private(public, private)
    }

    fn private(public: Vec<u8>, private: &[u8]) -> Result<Self, String> {
        let broken = || "it is a damaged key".to_owned();
        let mut part = Reader(private);
        let (one, other) = (part.number(), part.number());
        if one.is_none() || one != other {
            return Err(broken());
        }
        let kind = part.string().and_then(|kind| std::str::from_utf8(kind).ok());
        let signer = match kind.ok_or_else(broken)? {
            "ssh-ed25519" => ed25519(&mut part),
            "ecdsa-sha2-nistp256" | "ecdsa-sha2-nistp384" | "ecdsa-sha2-nistp521" => {
                ecdsa(&mut part)
            }
            "ssh-rsa" => rsa(&mut part),
            other => {
                return Err(format!(
                    "keys of the kind {} are not known here",
                    other.escape_debug()
                ));
            }
        };
        let signer = signer.ok_or_else(broken)?;
        let comment = part.string().ok_or_else(broken)?.to_vec();
        Ok(Self { public, comment, signer })
    }

    /// The signature with its kind, as it is sent.
    fn sign(&self, data: &[u8], flags: u32) -> Option<Vec<u8>> {
        let random = SystemRandom::new();
        let mut answer = Vec::new();
        match &self.signer {
            Signer::Ed25519(pair) => {
                string(&mut answer, b"ssh-ed25519")?;
                string(&mut answer, pair.try_sign(data).ok()?.as_ref())?;
            }
            Signer::Ecdsa(pair, kind) => {
                let signature = pair.sign(&random, data).ok()?;
                let (r, s) = signature.as_ref().split_at_checked(signature.as_ref().len() / 2)?;
                let mut both = Vec::new();
                whole(&mut both, r)?;
                whole(&mut both, s)?;
                string(&mut answer, kind.as_bytes())?;
                string(&mut answer, &both)?;
            }
            Signer::Rsa(pair) => {
                // SHA-1 is for nobody any more.
                let (kind, how): (_, &'static dyn RsaEncoding) = match flags {
                    _ if flags & RSA_SHA512 != 0 => ("rsa-sha2-512", &RSA_PKCS1_SHA512),
                    _ if flags & RSA_SHA256 != 0 => ("rsa-sha2-256", &RSA_PKCS1_SHA256),
                    _ => return None,
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(how, &random, data, &mut signature).ok()?;
                string(&mut answer, kind.as_bytes())?;
                string(&mut answer, &signature)?;
            }
        }
        Some(answer)
    }
}

impl AgentKeys for SshKeys {
    fn answer(&self, question: &[u8]) -> Option<Vec<u8>> {
        let (kind, rest) = question.split_first()?;
        let mut rest = Reader(rest);
        let mut answer = Vec::new();
        match *kind {
            kind if kind == LIST.0 => {
                answer.push(LIST.1);
                number(&mut answer, self.0.len())?;
                for key in &self.0 {
                    string(&mut answer, &key.public)?;
                    string(&mut answer, &key.comment)?;
                }
            }
            kind if kind == SIGN.0 => {
                let (public, data, flags) = (rest.string()?, rest.string()?, rest.number()?);
                let key = self.0.iter().find(|key| key.public == public)?;
                answer.push(SIGN.1);
                string(&mut answer, &key.sign(data, flags)?)?;
            }
            _ => return None,
        }
        Some(answer)
    }
}

fn ed25519(part: &mut Reader<'_>) -> Option<Signer> {
    let public = part.string()?;
    // The seed and, again, the public key.
    let seed = part.string()?.get(..32)?;
    Ed25519KeyPair::from_seed_and_public_key(seed, public).ok().map(Signer::Ed25519)
}

fn ecdsa(part: &mut Reader<'_>) -> Option<Signer> {
    let (curve, public, scalar) = (part.string()?, part.string()?, part.whole()?);
    let (how, kind, size) = match curve {
        b"nistp256" => (&ECDSA_P256_SHA256_FIXED_SIGNING, "ecdsa-sha2-nistp256", 32),
        b"nistp384" => (&ECDSA_P384_SHA384_FIXED_SIGNING, "ecdsa-sha2-nistp384", 48),
        b"nistp521" => (&ECDSA_P521_SHA512_FIXED_SIGNING, "ecdsa-sha2-nistp521", 66),
        _ => return None,
    };
    let mut private = vec![0; usize::checked_sub(size, scalar.len())?];
    private.extend(scalar);
    let pair = EcdsaKeyPair::from_private_key_and_public_key(how, &private, public).ok()?;
    Some(Signer::Ecdsa(pair, kind))
}

fn rsa(part: &mut Reader<'_>) -> Option<Signer> {
    let (n, e, d) = (part.whole()?, part.whole()?, part.whole()?);
    let (inverse, p, q) = (part.whole()?, part.whole()?, part.whole()?);
    let rest = |prime: &[u8]| remainder(d, &less_one(prime)?);
    let (d_p, d_q) = (rest(p)?, rest(q)?);
    let public_key = PublicKeyComponents { n, e };
    let parts =
        KeyPairComponents { public_key, d, p, q, dP: &d_p[..], dQ: &d_q[..], qInv: inverse };
    RsaKeyPair::from_components(&parts).ok().map(Signer::Rsa)
}

/// An odd number less one.
fn less_one(odd: &[u8]) -> Option<Vec<u8>> {
    let (last, most) = odd.split_last()?;
    let mut bytes = most.to_vec();
    bytes.push(last.checked_sub(1)?);
    Some(bytes)
}

/// What is left of `number` once it is divided by `by`; both begin with their greatest byte.
fn remainder(number: &[u8], by: &[u8]) -> Option<Vec<u8>> {
    let by: Vec<u8> = std::iter::once(0).chain(by.iter().copied()).collect();
    if by.iter().all(|byte| *byte == 0) {
        return None;
    }
    let mut rest = vec![0_u8; by.len()];
    for byte in number {
        for bit in (0..8).rev() {
            let mut carry = byte >> bit & 1;
            for place in rest.iter_mut().rev() {
                (*place, carry) = (*place << 1 | carry, *place >> 7);
            }
            if rest >= by {
                let mut borrow = 0;
                for (place, less) in rest.iter_mut().zip(&by).rev() {
                    let (one, under) = place.overflowing_sub(*less);
                    let (two, again) = one.overflowing_sub(borrow);
                    (*place, borrow) = (two, u8::from(under || again));
                }
            }
        }
    }
    Some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remainders_are_those_of_numbers() {
        for (number, by) in [(1_000_003_u64, 7_u64), (u64::MAX, 65_537), (5, 9), (0, 3), (256, 256)]
        {
            let rest = remainder(&number.to_be_bytes(), &by.to_be_bytes()).unwrap();
            let rest = rest.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
            assert_eq!(rest, number % by, "{number} {by}");
        }
        assert_eq!(remainder(&[1], &[0, 0]), None);
    }

    #[test]
    fn what_is_no_key_is_said() {
        let said = |text: &str| SshKey::parse(text).err().unwrap();
        assert!(said("-----BEGIN RSA PRIVATE KEY-----").contains("OpenSSH's form"));
        assert_eq!(said(&format!("{BEGIN}\n!\n{END}\n")), "it is a damaged key");
        let file =
            |bytes: &[u8]| said(&format!("{BEGIN}\n{}\n{END}\n", BASE64_STANDARD.encode(bytes)));
        assert_eq!(file(b"other"), "it is a damaged key");
        let mut locked = MAGIC.to_vec();
        locked.extend(b"\0\0\0\x0aaes256-ctr\0\0\0\0\0\0\0\0");
        assert!(file(&locked).contains("passphrase"));
        let mut whole = MAGIC.to_vec();
        whole.extend(b"\0\0\0\x04none\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x18");
        whole.extend(b"\0\0\0\x01\0\0\0\x01\0\0\0\x07ssh-dss\0\0\0\0\0");
        assert!(file(&whole).contains("ssh-dss"), "{}", file(&whole));
        for cut in 0..whole.len() {
            file(&whole[..cut]);
        }
    }
}
