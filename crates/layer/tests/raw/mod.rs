//! Archives that no honest writer makes: headers field by field.

#![allow(dead_code)]

/// A header block with the checksum still to be computed.
#[derive(Clone)]
pub(crate) struct Header(pub(crate) [u8; 512]);

impl Header {
    /// A POSIX header of this type, name and size.
    pub(crate) fn new(flag: u8, name: &str, size: u64) -> Self {
        let mut header = Self([0; 512]);
        header.0[156] = flag;
        header
            .set(0, name.as_bytes())
            .set(100, b"0000644\0")
            .set(108, b"0000000\0")
            .set(116, b"0000000\0")
            .set(124, format!("{size:011o}\0").as_bytes())
            .set(136, b"00000000000\0")
            .set(257, b"ustar\x0000")
    }

    /// The same in the dialect of GNU.
    pub(crate) fn gnu(flag: u8, name: &str, size: u64) -> Self {
        Self::new(flag, name, size).set(257, b"ustar  \0")
    }

    /// The same from before POSIX.
    pub(crate) fn v7(flag: u8, name: &str, size: u64) -> Self {
        Self::new(flag, name, size).set(257, &[0; 8])
    }

    /// Puts bytes at an offset.
    pub(crate) fn set(mut self, at: usize, bytes: &[u8]) -> Self {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    /// The block with its checksum.
    pub(crate) fn block(self) -> Vec<u8> {
        let block = self.set(148, b"        ");
        let sum: u64 = block.0.iter().map(|byte| u64::from(*byte)).sum();
        block.set(148, format!("{sum:06o}\0 ").as_bytes()).0.to_vec()
    }

    /// The block and its content, padded.
    pub(crate) fn with(self, content: &[u8]) -> Vec<u8> {
        let mut bytes = self.block();
        bytes.extend_from_slice(content);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    }
}

/// A regular file.
pub(crate) fn file(name: &str, content: &[u8]) -> Vec<u8> {
    Header::new(b'0', name, content.len() as u64).with(content)
}

/// A PAX header of type `flag` (`x` or `g`) with these `key=value` records.
pub(crate) fn pax(flag: u8, pairs: &[&str]) -> Vec<u8> {
    let record = |pair: &&str| {
        (pair.len()..)
            .map(|length| format!("{length} {pair}\n"))
            .enumerate()
            .find(|(more, record)| record.len() == pair.len() + more)
            .unwrap()
            .1
    };
    let body: String = pairs.iter().map(record).collect();
    Header::new(flag, "PaxHeaders/x", body.len() as u64).with(body.as_bytes())
}

/// A GNU long name (`L`) or long link (`K`).
pub(crate) fn long(flag: u8, name: &[u8]) -> Vec<u8> {
    Header::gnu(flag, "././@LongLink", name.len() as u64).with(name)
}

/// The blocks in a row with the end of an archive.
pub(crate) fn archive(parts: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = parts.concat();
    bytes.extend_from_slice(&[0; 1024]);
    bytes
}
