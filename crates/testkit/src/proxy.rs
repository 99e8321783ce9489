//! A proxy between a client and any registry that harms connections: it cuts, stalls and corrupts
//! at offsets that a script or a seed chooses. It knows nothing of HTTP, so it stands before real
//! peers too.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use crate::noise::Dice;

/// Which of the two streams of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// From the client to the registry.
    Up,
    /// From the registry to the client.
    Down,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Harm {
    /// The connection is closed in both directions.
    Cut,
    /// The flow stops for a while, then goes on.
    Stall(Duration),
    /// All bits of the byte are flipped.
    Corrupt,
}

/// What is done, in which direction, and at which byte of that flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strike {
    /// The direction.
    pub flow: Flow,
    /// Offset in the bytes of the flow, headers and all.
    pub at: u64,
    /// What is done there.
    pub harm: Harm,
}

/// Which connections are struck, and how.
#[derive(Clone, Debug)]
pub enum Mischief {
    /// None.
    Clean,
    /// The first connections in their order, then none.
    Scripted(Vec<Option<Strike>>),
    /// Each connection, with a chance in percent, by one of the harms, at an offset below `within`
    /// bytes, until `most` were struck.
    Seeded {
        /// The same seed strikes the same connections, counted in the order of their arrival.
        seed: u64,
        /// Chance in percent.
        chance: u8,
        /// Largest offset.
        within: u64,
        /// What may happen.
        harms: Vec<Harm>,
        /// Most strikes.
        most: usize,
    },
}

/// A running proxy; it ends when dropped.
pub struct FaultProxy {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

struct State {
    mischief: Mischief,
    dice: Dice,
    connections: usize,
    planned: usize,
    struck: Vec<Strike>,
}

impl FaultProxy {
    /// A proxy to `upstream`, a `host:port`, on a free port of 127.0.0.1.
    pub fn start(upstream: &str, mischief: Mischief) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let state = Arc::new(Mutex::new(State::new(mischief)));
        let (stop, stopped) = oneshot::channel();
        let (upstream, shared) = (upstream.to_owned(), Arc::clone(&state));
        let thread = std::thread::spawn(move || run(listener, &upstream, &shared, stopped));
        Self { address, state, stop: Some(stop), thread: Some(thread) }
    }

    /// `127.0.0.1:PORT`.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// Other mischief from the next connection on.
    pub fn change(&self, mischief: Mischief) {
        *self.state.lock().unwrap() = State::new(mischief);
    }

    /// The strikes that were reached, in their order.
    pub fn struck(&self) -> Vec<Strike> {
        self.state.lock().unwrap().struck.clone()
    }

    /// Number of connections that came.
    pub fn connections(&self) -> usize {
        self.state.lock().unwrap().connections
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        // The thread ends at once whether or not it still hears the word.
        let _ = self.stop.take().map(|stop| stop.send(()));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

impl State {
    fn new(mischief: Mischief) -> Self {
        let seed = if let Mischief::Seeded { seed, .. } = mischief { seed } else { 0 };
        Self { mischief, dice: Dice::new(seed), connections: 0, planned: 0, struck: Vec::new() }
    }

    /// What is to happen to the next connection.
    fn next(&mut self) -> Option<Strike> {
        let number = self.connections;
        self.connections += 1;
        match &self.mischief {
            Mischief::Clean => None,
            Mischief::Scripted(strikes) => strikes.get(number).copied().flatten(),
            Mischief::Seeded { chance, within, harms, most, .. } => {
                // Rolled every time, so that the order alone decides.
                let (lot, at) = (self.dice.below(100), self.dice.below((*within).max(1)));
                let which = self.dice.below(harms.len().max(1) as u64);
                let flow = if self.dice.below(2) == 0 { Flow::Up } else { Flow::Down };
                let harm = *harms.get(usize::try_from(which).unwrap())?;
                let hit = lot < u64::from(*chance) && self.planned < *most;
                self.planned += usize::from(hit);
                hit.then_some(Strike { flow, at, harm })
            }
        }
    }
}

fn run(
    listener: std::net::TcpListener,
    upstream: &str,
    state: &Arc<Mutex<State>>,
    stopped: oneshot::Receiver<()>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        listener.set_nonblocking(true).unwrap();
        let listener = TcpListener::from_std(listener).unwrap();
        let accept = async {
            while let Ok((client, _)) = listener.accept().await {
                let strike = state.lock().unwrap().next();
                let (upstream, state) = (upstream.to_owned(), Arc::clone(state));
                tokio::spawn(async move {
                    // Whatever ends a connection here, both sides see it end.
                    let _ = relay(client, &upstream, strike, &state).await;
                });
            }
        };
        tokio::select! {
            () = accept => {}
            _ = stopped => {}
        }
    });
}

async fn relay(
    client: TcpStream,
    upstream: &str,
    strike: Option<Strike>,
    state: &Mutex<State>,
) -> std::io::Result<()> {
    let server = TcpStream::connect(upstream).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let on = |flow: Flow| strike.filter(|strike| strike.flow == flow);
    // The first flow that ends by a strike or an error ends the other; one that ends by itself
    // lets the other go on.
    tokio::try_join!(
        pump(from_client, to_server, on(Flow::Up), state),
        pump(from_server, to_client, on(Flow::Down), state),
    )?;
    Ok(())
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut strike: Option<Strike>,
    state: &Mutex<State>,
) -> std::io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    let mut passed = 0_u64;
    loop {
        let length = from.read(&mut buffer).await?;
        if length == 0 {
            return to.shutdown().await;
        }
        let piece = &mut buffer[..length];
        let here = |strike: &Strike| (passed..passed + length as u64).contains(&strike.at);
        let Some(reached) = strike.filter(here) else {
            to.write_all(piece).await?;
            passed += length as u64;
            continue;
        };
        strike = None;
        state.lock().unwrap().struck.push(reached);
        let at = usize::try_from(reached.at - passed).unwrap();
        to.write_all(&piece[..at]).await?;
        to.flush().await?;
        match reached.harm {
            Harm::Cut => return Err(std::io::ErrorKind::ConnectionReset.into()),
            Harm::Stall(pause) => tokio::time::sleep(pause).await,
            Harm::Corrupt => piece[at] = !piece[at],
        }
        to.write_all(&piece[at..]).await?;
        passed += length as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::net::{Shutdown, TcpStream};
    use std::time::Instant;

    /// An upstream that sends back what it gets.
    fn echo() -> String {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                std::thread::spawn(move || {
                    let mut bytes = Vec::new();
                    let _ = stream.read_to_end(&mut bytes);
                    let _ = stream.write_all(&bytes);
                });
            }
        });
        host
    }

    fn through(proxy: &FaultProxy, text: &str) -> Vec<u8> {
        let mut stream = TcpStream::connect(proxy.host()).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut back = Vec::new();
        let _ = stream.read_to_end(&mut back);
        back
    }

    fn strike(flow: Flow, at: u64, harm: Harm) -> Option<Strike> {
        Some(Strike { flow, at, harm })
    }

    #[test]
    fn strikes_land_on_the_byte_they_were_aimed_at() {
        let pause = Duration::from_millis(200);
        let strikes = vec![
            None,
            strike(Flow::Down, 3, Harm::Cut),
            strike(Flow::Up, 1, Harm::Corrupt),
            strike(Flow::Down, 2, Harm::Stall(pause)),
            strike(Flow::Down, 99, Harm::Cut),
        ];
        let proxy = FaultProxy::start(&echo(), Mischief::Scripted(strikes.clone()));
        assert_eq!(through(&proxy, "hello"), b"hello");
        assert_eq!(through(&proxy, "hello"), b"hel");
        assert_eq!(through(&proxy, "hello"), [b'h', !b'e', b'l', b'l', b'o']);
        let started = Instant::now();
        assert_eq!(through(&proxy, "hello"), b"hello");
        assert!(started.elapsed() >= pause);
        assert_eq!(through(&proxy, "hello"), b"hello");
        let reached: Vec<Strike> = strikes.into_iter().flatten().take(3).collect();
        assert_eq!((proxy.struck(), proxy.connections()), (reached, 5));
    }

    #[test]
    fn the_same_seed_plans_the_same() {
        let plan = |seed| Mischief::Seeded {
            seed,
            chance: 50,
            within: 1000,
            harms: vec![Harm::Cut, Harm::Corrupt],
            most: 20,
        };
        let planned = |seed| {
            let mut state = State::new(plan(seed));
            (0..100).map(|_| state.next()).collect::<Vec<_>>()
        };
        assert_eq!(planned(1), planned(1));
        assert_ne!(planned(1), planned(2));
        assert_eq!(planned(1).iter().flatten().count(), 20);
    }
}
