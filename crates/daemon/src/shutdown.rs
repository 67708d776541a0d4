//! Leaving in order: a first signal asks, a second one insists.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Tells every part of a program that it is time to end. Cloned freely; tests cancel it by hand.
pub type Stop = CancellationToken;

/// EX of a process that was told twice: 128 + SIGTERM.
const INSISTED: i32 = 143;

/// A [`Stop`] that SIGTERM or SIGINT pulls. A second signal ends the process at once: whoever sends two does
/// not want to wait for the grace period.
///
/// # Errors
/// If the process may not handle signals.
pub fn on_signals() -> std::io::Result<Stop> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = Stop::new();
    let pulled = stop.clone();
    tokio::spawn(async move {
        for insisted in [false, true] {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            if insisted {
                tracing::warn!(signal = name, "told twice, ending at once");
                std::process::exit(INSISTED);
            }
            tracing::info!(signal = name, "stopping");
            pulled.cancel();
        }
    });
    Ok(stop)
}
