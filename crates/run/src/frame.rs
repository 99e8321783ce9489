//! What goes over `attach.sock`: frames of a kind, a length and bytes.
//!
//! ```text
//! kind: 1 byte   length: 4 bytes, big endian, at most 65536   payload
//! to the container:  0 input   1 end of input   2 rows, columns (2 bytes each)   3 hello (1: with what was said last)
//! from it:           16 stdout   17 stderr   18 end
//! ```

use crate::log::Stream;
use std::io::{self, Read, Write};

/// The longest payload.
pub(crate) const MAX_PAYLOAD: usize = 65_536;

/// One frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    Input(Vec<u8>),
    EndOfInput,
    Resize { rows: u16, columns: u16 },
    Hello { replay: bool },
    Output(Stream, Vec<u8>),
    End,
}

impl Frame {
    pub(crate) fn write(&self, to: &mut impl Write) -> io::Result<()> {
        match self {
            Self::Input(bytes) => write(to, 0, bytes),
            Self::EndOfInput => write(to, 1, &[]),
            Self::Resize { rows, columns } => {
                let ([a, b], [c, d]) = (rows.to_be_bytes(), columns.to_be_bytes());
                write(to, 2, &[a, b, c, d])
            }
            Self::Hello { replay } => write(to, 3, &[u8::from(*replay)]),
            Self::Output(Stream::Stdout, bytes) => write(to, 16, bytes),
            Self::Output(Stream::Stderr, bytes) => write(to, 17, bytes),
            Self::End => write(to, 18, &[]),
        }
    }

    /// Reads a frame; `None` at the end of the connection.
    pub(crate) fn read(from: &mut impl Read) -> io::Result<Option<Self>> {
        let mut kind = [0];
        if from.read(&mut kind)? == 0 {
            return Ok(None);
        }
        let mut length = [0; 4];
        from.read_exact(&mut length)?;
        let wrong = || io::Error::new(io::ErrorKind::InvalidData, "not a frame of attach");
        let length = usize::try_from(u32::from_be_bytes(length)).map_err(|_| wrong())?;
        if length > MAX_PAYLOAD {
            return Err(wrong());
        }
        let mut payload = vec![0; length];
        from.read_exact(&mut payload)?;
        let frame = match (kind, payload.as_slice()) {
            ([0], _) => Self::Input(payload),
            ([1], []) => Self::EndOfInput,
            ([2], [a, b, c, d]) => Self::Resize {
                rows: u16::from_be_bytes([*a, *b]),
                columns: u16::from_be_bytes([*c, *d]),
            },
            ([3], [replay]) => Self::Hello { replay: *replay == 1 },
            ([16], _) => Self::Output(Stream::Stdout, payload),
            ([17], _) => Self::Output(Stream::Stderr, payload),
            ([18], []) => Self::End,
            _ => return Err(wrong()),
        };
        Ok(Some(frame))
    }
}

fn write(to: &mut impl Write, kind: u8, payload: &[u8]) -> io::Result<()> {
    let length = u32::try_from(payload.len()).map_err(io::Error::other)?;
    let mut bytes = Vec::with_capacity(payload.len() + 5);
    bytes.push(kind);
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(payload);
    to.write_all(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back_and_hostile_ones_are_refused() {
        let frames = [
            Frame::Input(b"a".to_vec()),
            Frame::EndOfInput,
            Frame::Resize { rows: 24, columns: 300 },
            Frame::Hello { replay: true },
            Frame::Output(Stream::Stderr, vec![7; 70]),
            Frame::End,
        ];
        let mut bytes = Vec::new();
        frames.iter().for_each(|frame| frame.write(&mut bytes).unwrap());
        let mut from = bytes.as_slice();
        for frame in &frames {
            assert_eq!(Frame::read(&mut from).unwrap().as_ref(), Some(frame));
        }
        assert_eq!(Frame::read(&mut from).unwrap(), None);
        for bad in [&[0, 255, 255, 255, 255][..], &[2, 0, 0, 0, 1, 0], &[9, 0, 0, 0, 0], &[0, 0, 0]]
        {
            assert!(Frame::read(&mut &bad[..]).is_err());
        }
    }
}
