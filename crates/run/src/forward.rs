//! Passes signals of the watching process on to the container.

use crate::error::Result;
use crate::hub::Hub;
use crate::supervise::Supervisor;
use std::io::Read;
use std::sync::Arc;
use std::thread;

/// What a foreground run passes on: all that can be caught and mean something to another process.
const PASSED: [i32; 11] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGTERM,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGALRM,
    libc::SIGCONT,
    libc::SIGTSTP,
    libc::SIGTTIN,
    libc::SIGTTOU,
];

/// A monitor that is asked to end stops its container, and does not start it again.
pub(crate) fn terminations(supervisor: &Supervisor) -> Result<()> {
    forward(supervisor, &[libc::SIGHUP, libc::SIGINT, libc::SIGTERM], Box::new(|_| {}))
}

/// Passes everything on, and the size of the terminal when that changes.
pub(crate) fn all(supervisor: &Supervisor, resized: Box<dyn Fn(&Hub) + Send>) -> Result<()> {
    let mut signals = PASSED.to_vec();
    signals.push(libc::SIGWINCH);
    forward(supervisor, &signals, resized)
}

fn forward(supervisor: &Supervisor, signals: &[i32], resized: Box<dyn Fn(&Hub) + Send>) -> Result<()> {
    let mut caught = crate::sys::catch(signals)?;
    let (place, id) = (supervisor.place.clone(), supervisor.container.id.clone());
    let hub = Arc::clone(&supervisor.hub);
    let machine = crate::runtime::open(
        &supervisor.container.asked.runtime,
        &supervisor.containers.runtime_root(),
    )?;
    thread::spawn(move || {
        let mut byte = [0];
        while caught.read_exact(&mut byte).is_ok() {
            let [signal] = byte.map(i32::from);
            if signal == libc::SIGWINCH {
                resized(&hub);
                continue;
            }
            if matches!(signal, libc::SIGTERM | libc::SIGINT | libc::SIGHUP) {
                let _ = place.write_bytes("stopped", b"");
            }
            // One that has ended meanwhile needs no signal.
            let _ = machine.signal(&id, signal);
        }
    });
    Ok(())
}
