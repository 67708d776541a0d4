//! `pushscale demo`: the whole loop on one machine. Only Kubernetes is missing: local servers stand for pods, and
//! the scale target starts and stops them. Sidecars, aggregator and decisions are the real ones.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line prints"
)]

mod chart;
mod error;
mod fleet;
mod hpa;
mod live;
mod report;
mod server;
mod world;

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use pushscale_daemon::config::Settings;
use pushscale_daemon::error::chain;
use pushscale_daemon::shutdown;
use pushscale_testkit::load::{Choice, LoadOptions, RunningLoad, Step, Targets};
use pushscale_testkit::open_files;
use tokio::sync::watch;
use tokio::time::timeout;

use error::DemoError;
use fleet::Fleet;
use live::Live;
use report::Report;
use server::Servers;
use world::DemoWorld;

/// How long the first server may take; TorchServe takes two seconds on an idle machine.
const FIRST_SERVER: Duration = Duration::from_secs(120);

/// What may be chosen.
#[derive(Clone, Debug, Args)]
pub struct DemoOptions {
    /// Emulated servers even where a real TorchServe could run
    #[arg(long)]
    emulated: bool,
    /// Requests a second before and after the step; one server of 100 ms a request bears about 9.5
    #[arg(long, default_value_t = 2.0)]
    low: f64,
    /// Requests a second during the step
    #[arg(long, default_value_t = 25.0)]
    high: f64,
    /// How long the step lasts, in seconds
    #[arg(long, default_value_t = 40.0)]
    seconds: f64,
    /// The most servers
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(2..=20))]
    max: u32,
    /// How long requests should wait, in milliseconds
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    target_ms: u32,
    /// Where the report goes
    #[arg(long, default_value = "pushscale-demo")]
    report: PathBuf,
}

/// Before the step, in seconds.
const BEFORE: f64 = 8.0;

/// After the step the low load goes on until the size is back, for so many seconds at the most. The queue model takes
/// a fall of the rate for one when a minute shows it.
const AFTER: f64 = 120.0;

/// Runs the demo. 0 only if the loop scaled up and down.
pub fn run(options: &DemoOptions) -> ExitCode {
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("failed to start: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(play(options)) {
        Ok(report) => {
            println!("{report}");
            if report.scaled_up_and_down() {
                ExitCode::SUCCESS
            } else {
                eprintln!("the size did not go up and down again");
                ExitCode::FAILURE
            }
        }
        Err(error) => {
            eprintln!("error: {}", chain(&error));
            ExitCode::FAILURE
        }
    }
}

async fn play(options: &DemoOptions) -> Result<Report, DemoError> {
    open_files::raise_limit();
    let stop = shutdown::on_signals().map_err(DemoError::Signals)?;
    let servers = Servers::find(options.emulated).await?;

    let bound = pushscale_aggregator::bind(aggregator_config()?).await?;
    let (push, page) = (bound.push_address(), bound.admin_address());
    let (demo_world, mut facts) = DemoWorld::new();
    let aggregator = tokio::spawn(bound.run_with(demo_world.backend(), stop.clone()));
    let events = facts.events().await.ok_or(DemoError::AggregatorEnded)?;
    world::introduce(&events, options.max, options.target_ms).await;

    let (ready, ready_servers) = watch::channel(Vec::new());
    let fleet = Fleet::new(servers, push, events, ready, demo_world.wanted());
    let fleet = tokio::spawn(fleet.run(stop.clone()));
    println!("starting the first server …");
    let mut first = ready_servers.clone();
    timeout(FIRST_SERVER, first.wait_for(|ready| !ready.is_empty()))
        .await
        .map_err(|_| DemoError::NoServer)?
        .map_err(|_| DemoError::NoServer)?;
    println!("status page: http://{page}/");

    let load = start_load(options, ready_servers.clone())?;
    let mut live = Live::new(&load, ready_servers, demo_world.wanted(), facts);
    live.watch(options, &stop).await;
    let history = live.into_history();
    let interrupted = stop.is_cancelled();
    load.stopper().stop();
    let report = Report::new(options, load.finish().await, history, demo_world.writes());
    if !interrupted {
        report.save(&options.report).map_err(DemoError::Report)?;
    }
    stop.cancel();
    end(aggregator, fleet).await;
    if interrupted {
        return Err(DemoError::Interrupted);
    }
    Ok(report)
}

fn aggregator_config() -> Result<pushscale_aggregator::Config, DemoError> {
    let local = (Ipv4Addr::LOCALHOST, 0);
    let local = std::net::SocketAddr::from(local).to_string();
    let pairs = [
        ("PUSHSCALE_AGGREGATOR_LISTEN", local.as_str()),
        ("PUSHSCALE_AGGREGATOR_ADMIN_LISTEN", local.as_str()),
    ];
    Settings::from_pairs(pushscale_aggregator::PREFIX, pairs)
        .and_then(pushscale_aggregator::Config::from_settings)
        .map_err(|mistakes| DemoError::settings(&mistakes))
}

fn start_load(
    options: &DemoOptions,
    ready: watch::Receiver<Vec<std::net::SocketAddr>>,
) -> Result<RunningLoad, DemoError> {
    let step = |rate, seconds| Step { rate, seconds };
    let steps = vec![
        step(options.low, BEFORE),
        step(options.high, options.seconds),
        step(options.low, AFTER),
    ];
    let nowhere = (Ipv4Addr::LOCALHOST, 1).into();
    let mut load = LoadOptions::to(nowhere, steps);
    load.targets = Targets::Changing {
        list: ready,
        choice: Choice::RoundRobin,
    };
    RunningLoad::start(load).map_err(DemoError::Load)
}

async fn end(
    aggregator: tokio::task::JoinHandle<Result<(), pushscale_aggregator::RunError>>,
    fleet: tokio::task::JoinHandle<()>,
) {
    println!("stopping the servers …");
    let both = async {
        if let Err(error) = fleet.await {
            eprintln!("the servers: {error}");
        }
        match aggregator.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => eprintln!("the aggregator: {error}"),
            Err(error) => eprintln!("the aggregator: {error}"),
        }
    };
    if timeout(Duration::from_secs(40), both).await.is_err() {
        eprintln!("some servers did not end in time");
    }
}
