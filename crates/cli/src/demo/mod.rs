//! `pushscale demo`: runs the whole loop on one machine, without Kubernetes. Local servers take the place of pods, and
//! the scale target starts and stops them. Sidecars, aggregator and decisions are the real ones.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line prints"
)]

mod backend;
mod chart;
mod error;
mod fleet;
mod hpa;
mod monitor;
mod options;
mod report;
mod server;

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use pushscale_daemon::config::Settings;
use pushscale_daemon::error::chain;
use pushscale_daemon::exit::RunError;
use pushscale_daemon::shutdown;
use pushscale_testkit::load::{LoadOptions, RunningLoad, Step, Targets};
use pushscale_testkit::open_files;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::CommandError;
use backend::DemoBackend;
pub use error::DemoError;
use fleet::Fleet;
use monitor::Monitor;
pub use options::DemoOptions;
use options::{AFTER, BEFORE};
use report::Report;
use server::Servers;

/// How long the first server may take to become ready; TorchServe takes two seconds on an idle machine.
const FIRST_SERVER_TIMEOUT: Duration = Duration::from_secs(120);

/// Runs the demo and prints its report. Exits with 0 only if the fleet scaled up and down.
///
/// # Errors
/// If the demo cannot be started, is interrupted, or the fleet did not scale up and down.
pub fn run(options: &DemoOptions) -> Result<ExitCode, CommandError> {
    let runtime = tokio::runtime::Runtime::new().map_err(DemoError::Runtime)?;
    let any_port = (Ipv4Addr::LOCALHOST, 0).into();
    let report = runtime.block_on(run_demo(options, any_port))?;
    println!("{report}");
    if report.scaled_up_and_down() {
        Ok(ExitCode::SUCCESS)
    } else {
        Err(DemoError::NotScaled.into())
    }
}

/// Runs the demo; both ports of the aggregator are bound to `listen`.
async fn run_demo(options: &DemoOptions, listen: SocketAddr) -> Result<Report, DemoError> {
    open_files::raise_limit();
    let stop = shutdown::on_signals().map_err(DemoError::Signals)?;
    let servers = Servers::find(options.emulated).await?;

    let bound = pushscale_aggregator::bind(aggregator_config(listen)?).await?;
    let (push, page) = (bound.push_address(), bound.admin_address());
    let (backend, mut output) = DemoBackend::new();
    let aggregator = tokio::spawn(bound.run_with(backend.backend(), stop.clone()));
    let Some(events) = output.events().await else {
        return Err(match aggregator.await {
            Ok(Err(error)) => error.into(),
            _ => DemoError::AggregatorExited,
        });
    };
    backend::apply_scaler(&events, options.max, options.target_ms).await;

    let (ready, ready_servers) = watch::channel(Vec::new());
    let fleet = Fleet::new(servers, push, events, ready, backend.desired());
    let fleet = tokio::spawn(fleet.run(stop.clone()));
    println!("starting the first server …");
    let mut first = ready_servers.clone();
    timeout(
        FIRST_SERVER_TIMEOUT,
        first.wait_for(|ready| !ready.is_empty()),
    )
    .await
    .map_err(|_| DemoError::NoServer)?
    .map_err(|_| DemoError::NoServer)?;
    println!("status page: http://{page}/");

    let load = start_load(options, ready_servers.clone())?;
    let mut monitor = Monitor::new(&load, ready_servers, backend.desired(), output);
    monitor.watch(options, &stop).await;
    let history = monitor.into_history();
    let interrupted = stop.is_cancelled();
    load.stopper().stop();
    let report = Report::new(options, load.finish().await, history, backend.writes());
    if !interrupted {
        report.save(&options.report).map_err(DemoError::Report)?;
    }
    stop.cancel();
    shut_down(aggregator, fleet).await;
    if interrupted {
        return Err(DemoError::Interrupted);
    }
    Ok(report)
}

fn aggregator_config(listen: SocketAddr) -> Result<pushscale_aggregator::Config, DemoError> {
    let listen = listen.to_string();
    let pairs = [
        ("PUSHSCALE_AGGREGATOR_LISTEN", listen.as_str()),
        ("PUSHSCALE_AGGREGATOR_ADMIN_LISTEN", listen.as_str()),
    ];
    Settings::from_pairs(&pushscale_aggregator::PROGRAM, pairs)
        .and_then(pushscale_aggregator::Config::from_settings)
        .map_err(|errors| DemoError::settings(&errors))
}

fn start_load(
    options: &DemoOptions,
    ready: watch::Receiver<Vec<SocketAddr>>,
) -> Result<RunningLoad, DemoError> {
    let step = |rate, seconds| Step { rate, seconds };
    let steps = vec![
        step(options.low, BEFORE),
        step(options.high, options.seconds),
        step(options.low, AFTER),
    ];
    let nowhere = (Ipv4Addr::LOCALHOST, 1).into();
    let mut load = LoadOptions::to(nowhere, steps);
    load.targets = Targets::Changing(ready);
    RunningLoad::start(load).map_err(DemoError::Load)
}

async fn shut_down(
    aggregator: tokio::task::JoinHandle<Result<(), RunError>>,
    fleet: tokio::task::JoinHandle<()>,
) {
    println!("stopping the servers …");
    let both = async {
        if let Err(error) = fleet.await {
            eprintln!("the servers failed: {error}");
        }
        match aggregator.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => eprintln!("the aggregator failed: {}", chain(&error)),
            Err(error) => eprintln!("the aggregator failed: {error}"),
        }
    };
    if timeout(Duration::from_secs(40), both).await.is_err() {
        eprintln!("some servers did not stop in time");
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Arguments {
        #[command(flatten)]
        options: DemoOptions,
    }

    #[tokio::test]
    async fn an_occupied_port_is_reported_once_with_its_cause() {
        let occupied = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = occupied.local_addr().unwrap();
        let arguments = Arguments::parse_from(["demo", "--emulated"]);
        let error = run_demo(&arguments.options, address).await.err().unwrap();
        let message = chain(&CommandError::from(error)).to_string();
        let expected = format!(
            "failed to run the aggregator: failed to bind {address} for the push server: Address already in use"
        );
        assert!(message.starts_with(&expected), "{message}");
        assert_eq!(message.matches("already in use").count(), 1, "{message}");
    }
}
