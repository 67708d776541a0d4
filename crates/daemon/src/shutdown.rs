//! Graceful shutdown: the first signal requests it, a second one aborts the process.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Cancelled when the program shuts down. Clones share the state; tests cancel it directly.
pub type Shutdown = CancellationToken;

/// The exit code after a second signal: 128 + SIGTERM.
const FORCED_EXIT: i32 = 143;

/// Returns a [`Shutdown`] that SIGTERM or SIGINT cancels. A second signal aborts the process without waiting for the
/// grace period.
///
/// # Errors
/// If signal handlers cannot be installed.
pub fn on_signals() -> std::io::Result<Shutdown> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let shutdown = Shutdown::new();
    let requested = shutdown.clone();
    tokio::spawn(async move {
        for second in [false, true] {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            if second {
                tracing::warn!(signal = name, "second signal received, aborting");
                std::process::exit(FORCED_EXIT);
            }
            tracing::info!(signal = name, "signal received, shutting down");
            requested.cancel();
        }
    });
    Ok(shutdown)
}
