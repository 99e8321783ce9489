//! Unpacking compressed streams: gzip with any number of members, zstd with any number of frames.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::GzDecoder;
use zstd::stream::read::Decoder as ZstdDecoder;

use crate::apart::{self, Codec, Remote, What};
use crate::compression::MAGIC_BYTES;
use crate::{Compression, LayerError, Limits};

/// Base-two logarithm of the largest zstd window taken: 128 MiB, what `zstd` itself takes without
/// being asked for more.
pub const MAX_WINDOW_LOG: u32 = 27;

/// Bytes read from the packed stream at once.
const READ_AHEAD: usize = 128 * 1024;

/// Reads the unpacked bytes of a stream; apart, where [`crate::read_apart`] was called.
///
/// After the last gzip member zeros are tolerated, as `gzip` itself does, because tools that fill
/// whole blocks write them; anything else that is no further member is damage. zstd frames may be
/// mixed with skippable frames; what follows the last frame must be another one.
pub struct Decoder<R> {
    form: Form<R>,
    compression: Compression,
}

enum Form<R> {
    Apart(Box<Remote<Chained<R>>>),
    Plain(Packed<R>),
    Gzip(Gzip<R>),
    Zstd(Box<ZstdDecoder<'static, Packed<R>>>),
}

/// The packed bytes: those read ahead to look at the magic, then the source.
type Chained<R> = io::Chain<io::Cursor<Vec<u8>>, Source<R>>;

type Packed<R> = BufReader<Chained<R>>;

/// The source, its errors marked so that they are not taken for damage of the stream.
struct Source<R>(R);

impl<R: Read> Read for Source<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted => error,
            _ => LayerError::from_io(error).into_io(),
        })
    }
}

impl<R: Read> Decoder<R> {
    /// Looks at the first bytes of `source`. When `announced` says something else than they do,
    /// that is [`LayerError::Compression`]; `None` takes what is found.
    pub fn open(source: R, announced: Option<Compression>) -> Result<Self, LayerError> {
        let (packed, found) = Self::peek(source, announced)?;
        match apart::starter() {
            // There is nothing to unpack.
            _ if found == Compression::None => Self::with(packed, found),
            None => Self::with(packed, found),
            Some(starter) => {
                let how = (What::Unpack, Codec::Layer(found), Limits::default());
                let remote = Remote::start(starter, packed, None, how)?;
                Ok(Self { form: Form::Apart(Box::new(remote)), compression: found })
            }
        }
    }

    /// The same with the entries of the archive between its bytes, in a process started by `starter`.
    pub(crate) fn open_apart(
        source: R,
        announced: Option<Compression>,
        (starter, tolerant, limits): (apart::Starter, bool, Limits),
    ) -> Result<Self, LayerError> {
        let (packed, found) = Self::peek(source, announced)?;
        let how = (What::Read { tolerant }, Codec::Layer(found), limits);
        let remote = Remote::start(starter, packed, None, how)?;
        Ok(Self { form: Form::Apart(Box::new(remote)), compression: found })
    }

    /// The same in this process, of what is known to be packed so.
    pub(crate) fn here(source: R, compression: Compression) -> Result<Self, LayerError> {
        Self::with(io::Cursor::new(Vec::new()).chain(Source(source)), compression)
    }

    fn peek(
        mut source: R,
        announced: Option<Compression>,
    ) -> Result<(Chained<R>, Compression), LayerError> {
        let mut first = Vec::with_capacity(MAGIC_BYTES);
        let limit = MAGIC_BYTES as u64;
        (&mut source).take(limit).read_to_end(&mut first).map_err(LayerError::from_io)?;
        let found = Compression::detect(&first);
        match announced {
            Some(announced) if announced != found => {
                Err(LayerError::Compression { announced, found })
            }
            _ => Ok((io::Cursor::new(first).chain(Source(source)), found)),
        }
    }

    fn with(packed: Chained<R>, compression: Compression) -> Result<Self, LayerError> {
        let packed = BufReader::with_capacity(READ_AHEAD, packed);
        let form = match compression {
            Compression::None => Form::Plain(packed),
            Compression::Gzip => Form::Gzip(Gzip::Member(Box::new(GzDecoder::new(packed)))),
            Compression::Zstd => {
                let mut decoder = ZstdDecoder::with_buffer(packed).map_err(LayerError::Read)?;
                decoder.window_log_max(MAX_WINDOW_LOG).map_err(LayerError::Read)?;
                Form::Zstd(Box::new(decoder))
            }
        };
        Ok(Self { form, compression })
    }

    /// What stands between the bytes, where entries do.
    pub(crate) fn next(&mut self) -> Result<apart::Next, LayerError> {
        match &mut self.form {
            Form::Apart(remote) => remote.next(),
            _ => Ok(apart::Next::Done),
        }
    }

    /// The compression that was found.
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// The source, to ask it what it counted; `None` after an error.
    pub(crate) fn source(&self) -> Option<&R> {
        let packed = match &self.form {
            Form::Apart(remote) => return Some(&remote.source().get_ref().1.0),
            Form::Plain(packed) | Form::Gzip(Gzip::Over(packed)) => packed,
            Form::Gzip(Gzip::Member(decoder)) => decoder.get_ref(),
            Form::Gzip(Gzip::Between) => return None,
            Form::Zstd(decoder) => decoder.get_ref(),
        };
        Some(&packed.get_ref().get_ref().1.0)
    }

    /// The source; what was read ahead is lost.
    pub fn into_inner(self) -> Option<R> {
        let packed = match self.form {
            Form::Apart(remote) => return Some(remote.into_source().into_inner().1.0),
            Form::Plain(packed) | Form::Gzip(Gzip::Over(packed)) => packed,
            Form::Gzip(Gzip::Member(decoder)) => decoder.into_inner(),
            Form::Gzip(Gzip::Between) => return None,
            Form::Zstd(decoder) => decoder.finish(),
        };
        Some(packed.into_inner().into_inner().1.0)
    }
}

impl<R: Read> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let result = match &mut self.form {
            Form::Apart(remote) => return remote.read(buffer),
            Form::Plain(packed) => return packed.read(buffer),
            Form::Gzip(gzip) => gzip.read(buffer),
            Form::Zstd(decoder) => decoder.read(buffer),
        };
        result.map_err(|error| damaged(error, self.compression))
    }
}

/// Errors of the source pass through; what the codec found becomes [`LayerError::Corrupt`].
fn damaged(error: io::Error, compression: Compression) -> io::Error {
    // `ZSTD_error_frameParameter_windowTooLarge`, which the library tells by its text alone.
    if compression == Compression::Zstd && error.to_string().contains("too much memory") {
        let entry = crate::EntryPosition { name: Vec::new(), offset: 0 };
        return LayerError::Limit { entry, what: "window", limit: 1 << MAX_WINDOW_LOG }.into_io();
    }
    use io::ErrorKind::{InvalidData, InvalidInput, Other, UnexpectedEof};
    let of_codec = matches!(error.kind(), InvalidData | InvalidInput | Other | UnexpectedEof);
    let ours = error.get_ref().is_some_and(|inside| inside.is::<LayerError>());
    if of_codec && !ours {
        return LayerError::Corrupt { compression, source: error }.into_io();
    }
    error
}

/// A gzip stream, member by member.
enum Gzip<R> {
    Member(Box<GzDecoder<Packed<R>>>),
    /// While one member gives way to the next.
    Between,
    Over(Packed<R>),
}

impl<R: Read> Gzip<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let Self::Member(decoder) = self else {
                return Ok(0);
            };
            let taken = decoder.read(buffer)?;
            if taken > 0 {
                return Ok(taken);
            }
            let Self::Member(decoder) = std::mem::replace(self, Self::Between) else {
                return Ok(0);
            };
            let mut packed = decoder.into_inner();
            *self = match packed.fill_buf()?.first() {
                None => Self::Over(packed),
                Some(0) => {
                    only_zeros(&mut packed)?;
                    Self::Over(packed)
                }
                Some(_) => Self::Member(Box::new(GzDecoder::new(packed))),
            };
        }
    }
}

fn only_zeros(packed: &mut impl BufRead) -> io::Result<()> {
    loop {
        let buffer = packed.fill_buf()?;
        if buffer.iter().any(|byte| *byte != 0) {
            let kind = io::ErrorKind::InvalidData;
            return Err(io::Error::new(kind, "something other than zeros follows the last member"));
        }
        let taken = buffer.len();
        if taken == 0 {
            return Ok(());
        }
        packed.consume(taken);
    }
}
