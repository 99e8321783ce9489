//! A request whose body is fed while it is under way.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use reqwest::{RequestBuilder, Response};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::exchange::pieces;

/// Chunks on their way between the one who feeds and the connection.
const WAITING_CHUNKS: usize = 4;

/// A request under way. Dropping it before `finish` cuts the connection, so that the server never
/// takes a part for the whole.
pub(crate) struct Body {
    feed: mpsc::Sender<Bytes>,
    answer: JoinHandle<reqwest::Result<Response>>,
}

/// Why a body took no more.
pub(crate) enum Stop {
    /// The server answered before it had everything.
    Answered(Box<Response>),
    /// The connection broke.
    Broken(reqwest::Error),
    /// Nothing moved for the given time.
    Silent(Duration),
    /// The task that carries the request is gone.
    Gone,
}

impl Body {
    /// Sends `request` with a body of which the announced length must be fed exactly.
    pub(crate) fn start(request: RequestBuilder) -> Self {
        let (feed, chunks) = mpsc::channel::<Bytes>(WAITING_CHUNKS);
        let chunks = stream::unfold(chunks, |mut chunks| async {
            let chunk = chunks.recv().await?;
            Some((Ok::<_, std::convert::Infallible>(chunk), chunks))
        });
        let request = request.body(reqwest::Body::wrap_stream(chunks));
        Self { feed, answer: tokio::spawn(request.send()) }
    }

    /// Feeds the next bytes.
    pub(crate) async fn feed(&mut self, bytes: Bytes, stall: Duration) -> Result<(), Stop> {
        for piece in pieces(bytes) {
            match tokio::time::timeout(stall, self.feed.send(piece)).await {
                Ok(Ok(())) => {}
                // The body was dropped: there is an answer, or an error.
                Ok(Err(_)) => {
                    let outcome = wait(&mut self.answer, stall).await;
                    return Err(outcome.map_or_else(|stop| stop, Stop::answered));
                }
                Err(_) => return Err(Stop::Silent(stall)),
            }
        }
        Ok(())
    }

    /// Ends the body and waits for the answer.
    pub(crate) async fn finish(self, limit: Duration) -> Result<Response, Stop> {
        let Self { feed, answer } = self;
        drop(feed);
        wait(answer, limit).await
    }
}

impl Stop {
    fn answered(response: Response) -> Self {
        Self::Answered(Box::new(response))
    }
}

async fn wait<A>(answer: A, limit: Duration) -> Result<Response, Stop>
where
    A: Future<Output = Result<reqwest::Result<Response>, tokio::task::JoinError>>,
{
    match tokio::time::timeout(limit, answer).await {
        Ok(Ok(Ok(response))) => Ok(response),
        Ok(Ok(Err(error))) => Err(Stop::Broken(error.without_url())),
        Ok(Err(_)) => Err(Stop::Gone),
        Err(_) => Err(Stop::Silent(limit)),
    }
}
