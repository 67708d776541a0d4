//! `pushscale-load`: sends requests on schedule, even if responses are slow, and reports the outcomes.
//!
//! It writes the summary as JSON, to standard output or to the file in `--json`.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use pushscale_testkit::load::{
    Arrivals, Connections, LoadError, LoadOptions, LoadReport, RunningLoad, Step, StepStart,
};
use pushscale_testkit::open_files;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::timeout;

/// Sends HTTP POST requests at given rates and measures what each client sees.
#[derive(Debug, Parser)]
#[command(name = "pushscale-load")]
struct Arguments {
    /// The target, http only. A host name is resolved once at startup
    #[arg(long, default_value = "http://127.0.0.1:8080/predictions/sleepy")]
    url: String,
    /// Requests per second
    #[arg(
        long,
        requires = "seconds",
        required_unless_present = "step",
        conflicts_with = "step"
    )]
    rate: Option<f64>,
    /// Duration in seconds
    #[arg(long, requires = "rate")]
    seconds: Option<f64>,
    /// A rate and its duration in seconds; repeat for several steps; a rate of 0 is a pause
    #[arg(long, value_name = "RATE:SECONDS", value_parser = parse_step)]
    step: Vec<Step>,
    /// Use random intervals (Poisson) instead of equal ones
    #[arg(long)]
    poisson: bool,
    /// Seed for the random intervals
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Reuse connections; by default each request opens a new one
    #[arg(long)]
    keep_alive: bool,
    /// Maximum seconds from departure to the last byte of the response
    #[arg(long, default_value_t = 120.0)]
    timeout: f64,
    /// Maximum requests in flight; further requests are not sent and count as not-sent
    #[arg(long, default_value_t = 10_000)]
    max_in_flight: usize,
    /// Body of every request
    #[arg(long, default_value = "{}")]
    body: String,
    /// Content type of the body
    #[arg(long, default_value = "application/json")]
    content_type: String,
    /// Write one line per request: start_s,latency_ms,outcome
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Write the summary to this file instead of standard output
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the unix time in seconds of each step's first request when it is sent, one per line
    #[arg(long, value_name = "FILE")]
    mark: Option<PathBuf>,
}

#[expect(
    clippy::print_stderr,
    reason = "the only place for the reason of a failure"
)]
fn main() -> ExitCode {
    let arguments = Arguments::parse();
    open_files::raise_limit();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(run(&arguments)),
        Err(source) => Err(Error::Runtime(source)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprint!("error: {error}");
            let mut source = std::error::Error::source(&error);
            while let Some(error) = source {
                eprint!(": {error}");
                source = error.source();
            }
            eprintln!();
            ExitCode::FAILURE
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("failed to start the runtime")]
    Runtime(#[source] std::io::Error),
    #[error("invalid URL {0:?}: give http://HOST[:PORT]/PATH")]
    Url(String),
    #[error("failed to resolve {host}: {reason}")]
    Resolve { host: String, reason: String },
    #[error("invalid timeout of {0} s: give a number above 0")]
    Timeout(f64),
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error("failed to write {path}")]
    Write {
        path: String,
        source: std::io::Error,
    },
    #[error("failed to install signal handlers")]
    Signal(#[source] std::io::Error),
}

async fn run(arguments: &Arguments) -> Result<(), Error> {
    let mark = arguments.mark.as_deref().map(create).transpose()?;
    let options = options(arguments).await?;
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::Signal)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::Signal)?;

    let load = RunningLoad::start(options)?;
    let stop = load.stopper();
    let marks = write_marks(mark, load.steps());
    let finish = async { tokio::join!(load.finish(), marks) };
    tokio::pin!(finish);
    let (report, marked) = loop {
        tokio::select! {
            results = &mut finish => break results,
            // Waits for the responses to requests in flight, at most for the timeout.
            _ = terminate.recv() => stop.stop(),
            _ = interrupt.recv() => stop.stop(),
        }
    };
    marked.map_err(|source| at(arguments.mark.as_deref(), source))?;
    write_results(arguments, &report)
}

async fn options(arguments: &Arguments) -> Result<LoadOptions, Error> {
    let bad_url = || Error::Url(arguments.url.clone());
    let rest = arguments.url.strip_prefix("http://").ok_or_else(bad_url)?;
    let (host, path) = rest.split_at(rest.find('/').ok_or_else(bad_url)?);
    let target = resolve(host).await?;
    let steps = match (arguments.rate, arguments.seconds) {
        (Some(rate), Some(seconds)) => vec![Step { rate, seconds }],
        _ => arguments.step.clone(),
    };
    let timeout = Duration::try_from_secs_f64(arguments.timeout).unwrap_or_default();
    if timeout.is_zero() {
        return Err(Error::Timeout(arguments.timeout));
    }
    Ok(LoadOptions {
        path: path.to_owned(),
        host: host.to_owned(),
        content_type: arguments.content_type.clone(),
        body: arguments.body.clone().into_bytes(),
        arrivals: if arguments.poisson {
            Arrivals::Poisson {
                seed: arguments.seed,
            }
        } else {
            Arrivals::Even
        },
        connections: if arguments.keep_alive {
            Connections::KeepAlive
        } else {
            Connections::PerRequest
        },
        timeout,
        max_in_flight: arguments.max_in_flight,
        ..LoadOptions::to(target, steps)
    })
}

async fn resolve(host: &str) -> Result<SocketAddr, Error> {
    let failed = |reason: String| Error::Resolve {
        host: host.to_owned(),
        reason,
    };
    let has_port = host
        .rsplit_once(':')
        .is_some_and(|(_, port)| !port.ends_with(']'));
    let with_port = if has_port {
        host.to_owned()
    } else {
        format!("{host}:80")
    };
    let lookup = tokio::net::lookup_host(with_port);
    match timeout(Duration::from_secs(10), lookup).await {
        Ok(Ok(mut addresses)) => addresses.next().ok_or_else(|| failed("none".to_owned())),
        Ok(Err(error)) => Err(failed(error.to_string())),
        Err(_) => Err(failed("no response within 10 s".to_owned())),
    }
}

fn parse_step(text: &str) -> Result<Step, String> {
    let (rate, seconds) = text
        .split_once(':')
        .ok_or("give RATE:SECONDS, such as 25:60")?;
    let number = |text: &str| text.parse().map_err(|e| format!("{text:?}: {e}"));
    Ok(Step {
        rate: number(rate)?,
        seconds: number(seconds)?,
    })
}

/// Writes the start of each step until the load ends.
async fn write_marks(
    file: Option<File>,
    mut steps: watch::Receiver<Vec<StepStart>>,
) -> std::io::Result<()> {
    let Some(mut file) = file else {
        return Ok(());
    };
    let mut written = 0;
    loop {
        // The sender is dropped at the end of the load. Its last value is still unwritten then.
        let more = steps.changed().await.is_ok();
        let began: Vec<StepStart> = steps.borrow_and_update()[written..].to_vec();
        for step in &began {
            writeln!(file, "{:.6}", step.unix_seconds())?;
        }
        written += began.len();
        if !more {
            return file.flush();
        }
    }
}

#[expect(clippy::print_stdout, reason = "the result of the program")]
fn write_results(arguments: &Arguments, report: &LoadReport) -> Result<(), Error> {
    if let Some(path) = &arguments.csv {
        let out = BufWriter::new(create(path)?);
        report
            .write_csv(out)
            .map_err(|source| at(Some(path), source))?;
    }
    // The summary consists of strings, numbers and lists, so serialization cannot fail.
    let json = serde_json::to_string_pretty(&report.summary()).unwrap_or_default();
    match &arguments.json {
        Some(path) => writeln!(create(path)?, "{json}").map_err(|source| at(Some(path), source)),
        None => {
            println!("{json}");
            Ok(())
        }
    }
}

fn create(path: &Path) -> Result<File, Error> {
    File::create(path).map_err(|source| at(Some(path), source))
}

fn at(path: Option<&Path>, source: std::io::Error) -> Error {
    let path = path.map_or_else(String::new, |p| p.display().to_string());
    Error::Write { path, source }
}
