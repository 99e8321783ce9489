//! Numbers and strings as ssh writes them (RFC 4251, section 5).

/// What is left to read.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn number(&mut self) -> Option<u32> {
        let (bytes, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*bytes))
    }

    pub(super) fn string(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    /// A number of any size that is not negative, without the zero in front of it.
    pub(super) fn whole(&mut self) -> Option<&'a [u8]> {
        let bytes = self.string()?;
        Some(bytes.strip_prefix(&[0]).unwrap_or(bytes))
    }
}

pub(super) fn number(into: &mut Vec<u8>, number: usize) -> Option<()> {
    into.extend(u32::try_from(number).ok()?.to_be_bytes());
    Some(())
}

pub(super) fn string(into: &mut Vec<u8>, bytes: &[u8]) -> Option<()> {
    number(into, bytes.len())?;
    into.extend(bytes);
    Some(())
}

/// A number of any size that is not negative.
pub(super) fn whole(into: &mut Vec<u8>, bytes: &[u8]) -> Option<()> {
    let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
    let short = bytes.get(start..)?;
    let sign: &[u8] = if short.first().is_some_and(|first| *first >= 0x80) { &[0] } else { &[] };
    string(into, &[sign, short].concat())
}
