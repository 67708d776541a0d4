//! The process that runs a cluster: it starts the components, and removes everything when the cluster's owner exits in
//! any way.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use rustix::process::Signal;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::component::Components;
use super::control::{self, PendingRequest, Request};
use super::error::ClusterError;
use super::report::Report;
use super::site::Site;
use super::startup::Startup;
use super::state::StateDir;
use super::sweep::{Logs, sweep};

/// Runs the cluster of this name, whose directory is prepared, until it is stopped. For an `owned` cluster, stdin is a
/// pipe from its owner: when it closes, the cluster stops. Only for the program `pushscale-test-cluster`. Reports on
/// stdout.
///
/// # Errors
///
/// The cluster did not start, or could not be removed.
pub fn supervise(name: &str, owned: bool) -> Result<(), ClusterError> {
    // Detached from the terminal: an interrupt of a test must not hit the process that cleans up.
    rustix::process::setsid().ok();
    let state = StateDir::of(name)?;
    let site = Site::read(state.clone())?;
    let _lock = state.lock()?;
    Report::Locked.send(io::stdout());

    let (events, received) = mpsc::channel();
    let stop = Arc::new(AtomicBool::new(false));
    watch(&state, owned, events, &stop)?;
    let mut startup = Startup {
        components: Components::new(site.clone()),
        site,
        stop,
    };
    match startup.run() {
        Ok(()) => {
            Report::Ready.send(io::stdout());
            let logs = serve(&mut startup.components, &received);
            sweep(&state, logs)
        }
        Err(reason) => {
            let swept = sweep(&state, Logs::Keep);
            let mut text = reason.to_string();
            if let Err(error) = &swept {
                text = format!("{text}\nand then: {error}");
            }
            Report::Failed(text).send(io::stdout());
            Err(reason)
        }
    }
}

/// The events that wake the supervisor.
enum Event {
    /// The owner has exited, or a signal arrived.
    End,
    Request(PendingRequest),
}

/// Starts the threads that wait for the events.
fn watch(
    state: &StateDir,
    owned: bool,
    events: Sender<Event>,
    stop: &Arc<AtomicBool>,
) -> Result<(), ClusterError> {
    if owned {
        let (events, stop) = (events.clone(), Arc::clone(stop));
        std::thread::spawn(move || {
            // The owner writes nothing, so the read returns when the owner exits.
            io::copy(&mut io::stdin(), &mut io::sink()).ok();
            end(&events, &stop);
        });
    }

    let mut signals =
        Signals::new([SIGTERM, SIGINT, SIGHUP]).map_err(ClusterError::io("wait for", "signals"))?;
    let (signal_events, signal_stop) = (events.clone(), Arc::clone(stop));
    std::thread::spawn(move || {
        for _signal in signals.forever() {
            end(&signal_events, &signal_stop);
        }
    });

    let stop = Arc::clone(stop);
    control::listen(state, move |pending| {
        if matches!(pending.request, Request::Stop { .. }) {
            stop.store(true, Ordering::SeqCst);
        }
        events.send(Event::Request(pending)).is_ok()
    })
}

fn end(events: &Sender<Event>, stop: &AtomicBool) {
    stop.store(true, Ordering::SeqCst);
    // The receiver is closed: the cluster is stopping.
    events.send(Event::End).ok();
}

/// Answers requests until the cluster must stop. Returns what to do with the logs.
fn serve(components: &mut Components, events: &Receiver<Event>) -> Logs {
    loop {
        for news in components.reap() {
            // This line is written to the supervisor's own log.
            writeln!(io::stderr(), "{news}").ok();
        }
        match events.recv_timeout(Duration::from_secs(1)) {
            Err(RecvTimeoutError::Timeout) => {}
            // An owner that exits without a request may be a failed test.
            Err(RecvTimeoutError::Disconnected) | Ok(Event::End) => return Logs::Keep,
            Ok(Event::Request(pending)) => {
                let answer = match &pending.request {
                    Request::Pause(component) => components.signal(component, Signal::STOP),
                    Request::Resume(component) => components.signal(component, Signal::CONT),
                    Request::Restart(component) => components.restart(component),
                    Request::Stop { .. } => Ok(()),
                };
                let end = match pending.request {
                    Request::Stop { keep_logs: true } => Some(Logs::Keep),
                    Request::Stop { keep_logs: false } => Some(Logs::Drop),
                    _ => None,
                };
                pending.answer(&answer);
                if let Some(logs) = end {
                    return logs;
                }
            }
        }
    }
}
