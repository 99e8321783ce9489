//! PAX extended headers: `length key=value\n` records.

use std::collections::BTreeMap;

use crate::entry::{Attributes, Extent, Mtime};
use crate::tar::block::MAX_SIZE;
use crate::{LayerRule, Limits};

/// The records of one `x` header that describe a file, and all others.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Pax {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) mtime: Option<Mtime>,
    pub(super) xattrs: Attributes,
    pub(super) sparse: Sparse,
    pub(super) others: Attributes,
}

/// The `GNU.sparse.*` records of the three PAX forms.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Sparse {
    pub(super) name: Option<Vec<u8>>,
    pub(super) major: Option<u64>,
    pub(super) minor: Option<u64>,
    pub(super) real_size: Option<u64>,
    /// Size of the file in the forms 0.0 and 0.1.
    pub(super) size: Option<u64>,
    pub(super) pieces: Option<u64>,
    /// The pieces of form 0.0 (records) or 0.1 (one record).
    pub(super) map: Vec<Extent>,
    /// Form 0.0: an offset whose length is still to come.
    pending: Option<u64>,
}

impl Sparse {
    pub(super) fn is_present(&self) -> bool {
        *self != Self::default()
    }
}

/// What a broken record list is refused with: a rule, or the limit that was passed.
#[derive(Debug, PartialEq)]
pub(super) enum PaxFault {
    Rule(LayerRule),
    Limit(&'static str, u64),
}

impl From<LayerRule> for PaxFault {
    fn from(rule: LayerRule) -> Self {
        Self::Rule(rule)
    }
}

const MALFORMED: LayerRule = LayerRule::PaxRecord;

/// Reads the records of an `x` header.
pub(super) fn parse(bytes: &[u8], limits: &Limits) -> Result<Pax, PaxFault> {
    let mut pax = Pax::default();
    let mut seen: BTreeMap<&[u8], &[u8]> = BTreeMap::new();
    let mut xattr_bytes = 0_u64;
    for record in Records(bytes) {
        let (key, value) = record?;
        let repeats = matches!(key, b"GNU.sparse.offset" | b"GNU.sparse.numbytes");
        match seen.insert(key, value) {
            Some(before) if !repeats && before != value => {
                return Err(LayerRule::PaxContradiction.into());
            }
            Some(_) if !repeats => continue,
            _ => {}
        }
        if let Some(name) = key.strip_prefix(b"GNU.sparse.") {
            sparse_record(&mut pax.sparse, name, value, limits)?;
            continue;
        }
        if let Some(name) = xattr_name(key) {
            xattr_bytes += (name.len() + value.len()) as u64;
            if xattr_bytes > limits.xattrs {
                return Err(PaxFault::Limit("xattrs", limits.xattrs));
            }
            put_xattr(&mut pax.xattrs, name, value)?;
            continue;
        }
        plain_record(&mut pax, key, value)?;
    }
    if pax.sparse.pending.is_some() {
        return Err(LayerRule::SparseMap.into());
    }
    Ok(pax)
}

/// Whether a global header holds only what changes no entry.
pub(super) fn is_harmless_global(bytes: &[u8]) -> Result<bool, LayerRule> {
    for record in Records(bytes) {
        let (key, _) = record?;
        let known = matches!(
            key,
            b"path" | b"linkpath" | b"size" | b"uid" | b"gid" | b"mtime" | b"uname" | b"gname"
        );
        let prefixes: [&[u8]; 3] = [b"GNU.", b"SCHILY.", b"LIBARCHIVE."];
        if known || prefixes.iter().any(|prefix| key.starts_with(prefix)) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn plain_record(pax: &mut Pax, key: &[u8], value: &[u8]) -> Result<(), PaxFault> {
    match key {
        b"path" => pax.path = Some(name(value)?),
        b"linkpath" => pax.link = Some(name(value)?),
        b"size" => pax.size = Some(size(value)?),
        b"uid" => pax.uid = Some(id(value)?),
        b"gid" => pax.gid = Some(id(value)?),
        b"mtime" => pax.mtime = Some(time(value)?),
        // Names of owners mean nothing without the machine they come from.
        b"uname" | b"gname" => {}
        // Some readers expand such files and some do not (star's own sparse form).
        b"SCHILY.realsize" => return Err(LayerRule::SparseMap.into()),
        _ => {
            pax.others.insert(key.to_vec(), value.to_vec());
        }
    }
    Ok(())
}

fn xattr_name(key: &[u8]) -> Option<&[u8]> {
    // LIBARCHIVE.xattr holds the name URL-encoded and the value in base64; its twin SCHILY.xattr,
    // which libarchive always writes beside it, holds both as they are.
    key.strip_prefix(b"SCHILY.xattr.")
}

fn put_xattr(xattrs: &mut Attributes, name: &[u8], value: &[u8]) -> Result<(), LayerRule> {
    if name.is_empty() || name.contains(&0) {
        return Err(MALFORMED);
    }
    xattrs.insert(name.to_vec(), value.to_vec());
    Ok(())
}

fn sparse_record(
    sparse: &mut Sparse,
    key: &[u8],
    value: &[u8],
    limits: &Limits,
) -> Result<(), PaxFault> {
    match key {
        b"name" => sparse.name = Some(name(value)?),
        b"major" => sparse.major = Some(decimal(value)?),
        b"minor" => sparse.minor = Some(decimal(value)?),
        b"realsize" => sparse.real_size = Some(size(value)?),
        b"size" => sparse.size = Some(size(value)?),
        b"numblocks" => sparse.pieces = Some(decimal(value)?),
        b"offset" if sparse.pending.is_none() => sparse.pending = Some(size(value)?),
        b"numbytes" => {
            let offset = sparse.pending.take().ok_or(LayerRule::SparseMap)?;
            put_extent(&mut sparse.map, Extent { offset, length: size(value)? }, limits)?;
        }
        b"map" if sparse.map.is_empty() => {
            let mut numbers = value.split(|byte| *byte == b',');
            while let Some(offset) = numbers.next() {
                let length = numbers.next().ok_or(LayerRule::SparseMap)?;
                let extent = Extent { offset: size(offset)?, length: size(length)? };
                put_extent(&mut sparse.map, extent, limits)?;
            }
        }
        _ => return Err(LayerRule::SparseMap.into()),
    }
    Ok(())
}

fn put_extent(map: &mut Vec<Extent>, extent: Extent, limits: &Limits) -> Result<(), PaxFault> {
    if map.len() as u64 >= limits.extents {
        return Err(PaxFault::Limit("extents", limits.extents));
    }
    map.push(extent);
    Ok(())
}

/// Readers differ in whether an empty value deletes the record or empties the name: refused.
fn name(value: &[u8]) -> Result<Vec<u8>, LayerRule> {
    match value {
        b"" => Err(LayerRule::EmptyName),
        _ if value.contains(&0) => Err(LayerRule::NulInName),
        _ => Ok(value.to_vec()),
    }
}

/// Digits and nothing else: no sign, no space, no fraction.
pub(super) fn decimal(value: &[u8]) -> Result<u64, LayerRule> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(LayerRule::Number);
    }
    value.iter().try_fold(0_u64, |number, digit| {
        let shifted = number.checked_mul(10).ok_or(LayerRule::Number)?;
        shifted.checked_add(u64::from(digit - b'0')).ok_or(LayerRule::Number)
    })
}

fn size(value: &[u8]) -> Result<u64, LayerRule> {
    decimal(value).and_then(|size| if size > MAX_SIZE { Err(LayerRule::Number) } else { Ok(size) })
}

fn id(value: &[u8]) -> Result<u32, LayerRule> {
    corten_spec::owner_id(decimal(value)?).ok_or(LayerRule::Number)
}

/// `[-]seconds[.fraction]`; digits beyond nanoseconds are dropped.
fn time(value: &[u8]) -> Result<Mtime, LayerRule> {
    let (negative, value) = match value.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, value),
    };
    let mut parts = value.splitn(2, |byte| *byte == b'.');
    let seconds = decimal(parts.next().unwrap_or_default())?;
    let seconds = i64::try_from(seconds).map_err(|_| LayerRule::Number)?;
    let fraction = parts.next().unwrap_or_default();
    if !fraction.iter().all(u8::is_ascii_digit) {
        return Err(LayerRule::Number);
    }
    let digits = fraction.iter().copied().chain(std::iter::repeat(b'0')).take(9);
    let nanos = digits.fold(0_u32, |nanos, digit| nanos * 10 + u32::from(digit - b'0'));
    Ok(match (negative, nanos) {
        (false, _) => Mtime { seconds, nanos },
        (true, 0) => Mtime { seconds: -seconds, nanos: 0 },
        (true, _) => Mtime { seconds: -seconds - 1, nanos: 1_000_000_000 - nanos },
    })
}

/// The records of an extended header, one after the other.
struct Records<'a>(&'a [u8]);

impl<'a> Iterator for Records<'a> {
    type Item = Result<(&'a [u8], &'a [u8]), LayerRule>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let record = split_record(self.0);
        self.0 = record.map_or(&[], |(_, _, rest)| rest);
        Some(record.map(|(key, value, _)| (key, value)).ok_or(MALFORMED))
    }
}

/// Key, value and what follows the record.
fn split_record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = bytes.iter().take(MAX_LENGTH_DIGITS + 1).position(|byte| *byte == b' ')?;
    let length = usize::try_from(decimal(bytes.get(..space)?).ok()?).ok()?;
    let (record, rest) = bytes.split_at_checked(length)?;
    let record = record.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    let (key, value) = record.split_at_checked(equals)?;
    if key.is_empty() || key.contains(&0) {
        return None;
    }
    Some((key, value.get(1..)?, rest))
}

/// Most digits of a record's length; the limit on all records is far below.
const MAX_LENGTH_DIGITS: usize = 10;

#[cfg(test)]
#[path = "pax_tests.rs"]
mod tests;
