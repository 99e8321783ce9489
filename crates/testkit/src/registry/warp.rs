//! Bending the body of an answer: cut, stalled, corrupted, endless.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use corten_serve::Body;
use futures_util::stream::{self, BoxStream, StreamExt};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, SizeHint};

/// A body as pieces; an error cuts the connection.
pub(super) type Pieces = BoxStream<'static, Result<Bytes, io::Error>>;

/// Pieces no larger than this, so that an offset is met where it is.
const PIECE: usize = 16 * 1024;

/// Time for the connection to send what it has before it is cut.
const FLUSH: Duration = Duration::from_millis(20);

/// The pieces of a body.
pub(super) fn pieces(body: Body, size: usize) -> Pieces {
    let size = size.clamp(1, PIECE);
    // A body that is Send and not Sync is made into a stream by taking it into the state.
    let split = stream::unfold((body, Bytes::new()), move |(mut body, mut rest)| async move {
        while rest.is_empty() {
            match body.frame().await? {
                Ok(frame) => rest = frame.into_data().unwrap_or_default(),
                Err(error) => return Some((Err(error), (body, rest))),
            }
        }
        let piece = rest.split_to(size.min(rest.len()));
        Some((Ok(piece), (body, rest)))
    });
    split.boxed()
}

/// A body of pieces.
pub(super) fn body(pieces: Pieces) -> Body {
    let frames = pieces.map(|piece| piece.map(Frame::data));
    BodyExt::boxed_unsync(StreamBody::new(frames))
}

/// How a body that was shortened ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// As if that were all.
    Clean,
    /// With the connection.
    Cut,
}

/// The first `limit` bytes, or all if there are less, and an end.
pub(super) fn shortened(pieces: Pieces, limit: u64, end: End) -> Pieces {
    let short = stream::unfold((pieces, Some(limit)), move |(mut pieces, left)| async move {
        let left = left?;
        if left > 0
            && let Some(piece) = pieces.next().await
        {
            let piece = piece.map(|mut piece| {
                piece.truncate(usize::try_from(left).unwrap_or(usize::MAX));
                piece
            });
            let length = piece.as_ref().map_or(0, |piece| piece.len() as u64);
            return Some((piece, (pieces, Some(left - length))));
        }
        // What stands before the end is sent only while the body has nothing to give.
        tokio::time::sleep(FLUSH).await;
        let error = || io::Error::new(io::ErrorKind::ConnectionReset, "cut on demand");
        (end == End::Cut).then(|| (Err(error()), (pieces, None)))
    });
    short.boxed()
}

/// A pause after the first `offset` bytes.
pub(super) fn stalled(pieces: Pieces, offset: u64, pause: Duration) -> Pieces {
    let state = (pieces, Some(offset), Bytes::new());
    let slow = stream::unfold(state, move |(mut pieces, mut left, rest)| async move {
        if left == Some(0) {
            tokio::time::sleep(pause).await;
            left = None;
        }
        if !rest.is_empty() {
            return Some((Ok(rest), (pieces, left, Bytes::new())));
        }
        let mut piece = match pieces.next().await? {
            Ok(piece) => piece,
            Err(error) => return Some((Err(error), (pieces, left, rest))),
        };
        let Some(before) = left else {
            return Some((Ok(piece), (pieces, None, rest)));
        };
        let length = usize::try_from(before).unwrap_or(usize::MAX).min(piece.len());
        let rest = piece.split_off(length);
        Some((Ok(piece), (pieces, Some(before - length as u64), rest)))
    });
    slow.boxed()
}

/// A pause after each piece.
pub(super) fn dripping(pieces: Pieces, pause: Duration) -> Pieces {
    let slow = move |piece| async move {
        tokio::time::sleep(pause).await;
        piece
    };
    pieces.then(slow).boxed()
}

/// The byte at `offset` with all its bits flipped.
pub(super) fn corrupted(pieces: Pieces, offset: u64) -> Pieces {
    let mut seen = 0;
    let flip = move |piece: Result<Bytes, io::Error>| {
        let mut bytes = BytesMut::from(piece?.as_ref());
        let place = offset.checked_sub(seen).and_then(|place| usize::try_from(place).ok());
        seen += bytes.len() as u64;
        if let Some(byte) = place.and_then(|place| bytes.get_mut(place)) {
            *byte = !*byte;
        }
        Ok(bytes.freeze())
    };
    pieces.map(flip).boxed()
}

/// Bytes without end.
pub(super) fn endless() -> Pieces {
    stream::repeat_with(|| Ok(Bytes::from_static(&[b' '; PIECE]))).boxed()
}

/// The same body, its bytes counted.
pub(super) fn counted<B>(body: B, count: &Arc<AtomicU64>) -> Body
where
    B: hyper::body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let counted = Counted { body, count: Arc::clone(count) };
    counted.map_err(io::Error::other).boxed_unsync()
}

/// Counts and passes on; what is known of the length stays known.
struct Counted<B> {
    body: B,
    count: Arc<AtomicU64>,
}

impl<B: hyper::body::Body<Data = Bytes> + Unpin> hyper::body::Body for Counted<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            let length = frame.data_ref().map_or(0, |bytes| bytes.len() as u64);
            self.count.fetch_add(length, Ordering::SeqCst);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A body of these bytes.
pub(super) fn plain(bytes: impl Into<Bytes>) -> Body {
    let never = |error: Infallible| -> io::Error { match error {} };
    http_body_util::Full::new(bytes.into()).map_err(never).boxed_unsync()
}
