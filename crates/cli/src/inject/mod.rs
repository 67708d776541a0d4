//! `pushscale inject`: adds the sidecar to manifests by the rules of the injector, and leaves everything else
//! unchanged.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line prints"
)]

mod edit;
mod file;
mod objects;
mod uninject;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use pushscale_daemon::error::chain;
use pushscale_injector::{Auth, PullPolicy, Sidecar, VERSION, check_aggregator, check_image};

use crate::input;
pub use crate::yaml::Problem;
pub use file::{ObjectResult, ProcessedFile, ProcessedObject, Task, process_file};

/// The options of `pushscale inject`.
#[derive(Debug, Args)]
pub struct InjectOptions {
    /// Manifests, YAML or JSON; `-` reads standard input
    #[arg(short = 'f', long = "filename", value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Remove the sidecar from injected manifests
    #[arg(long)]
    uninject: bool,
    /// The aggregator's headless Service
    #[arg(
        long,
        value_name = "HOST:PORT",
        default_value = "pushscale-aggregator.pushscale.svc.cluster.local.:8490",
        value_parser = aggregator
    )]
    aggregator: String,
    /// The sidecar's image
    #[arg(long, value_name = "IMAGE", default_value_t = format!("pushscale/sidecar:{VERSION}"), value_parser = image)]
    image: String,
    /// TorchServe's container; by default the one that the annotation pushscale.dev/container names, or that looks
    /// like TorchServe by its name or image
    #[arg(long, value_name = "NAME", conflicts_with = "uninject")]
    container: Option<String>,
    /// The namespace of objects without one
    #[arg(short, long, value_name = "NAMESPACE", default_value = "default")]
    namespace: String,
    /// Add the sidecar as a restarting init container; needs Kubernetes 1.29 or later
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    native_sidecar: bool,
    /// How sidecar and aggregator authenticate; must be the same as the aggregator's setting
    #[arg(long, default_value = "token")]
    auth: AuthOption,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum AuthOption {
    /// A token of the pod, over TLS with the aggregator's own CA
    Token,
    /// No authentication, plain HTTP (helm/plain)
    None,
}

fn aggregator(text: &str) -> Result<String, String> {
    check_aggregator(text)
        .map(|()| text.to_owned())
        .map_err(|expected| format!("it must be {expected}"))
}

fn image(text: &str) -> Result<String, String> {
    check_image(text)
        .map(|()| text.to_owned())
        .map_err(|expected| format!("it must be {expected}"))
}

/// Writes the processed files to standard output, as one stream, and what was done with each object to standard error.
/// Writes nothing if any file is wrong, or if no object has a container that looks like TorchServe.
pub fn run(options: &InjectOptions) -> ExitCode {
    let sidecar = Sidecar {
        image: options.image.clone(),
        pull_policy: PullPolicy::IfNotPresent,
        aggregator: options.aggregator.clone(),
        auth: match options.auth {
            AuthOption::Token => Auth::Token,
            AuthOption::None => Auth::None,
        },
        own_namespace: None,
    };
    let task = if options.uninject {
        Task::Uninject
    } else {
        Task::Inject {
            sidecar: &sidecar,
            native_sidecar: options.native_sidecar,
            namespace: &options.namespace,
            container: options.container.as_deref(),
        }
    };
    let mut out = String::new();
    let mut good = true;
    let mut results = Vec::new();
    for path in &options.files {
        let name = path.display();
        let text = match input::read(path) {
            Ok(text) => text,
            Err(error) => {
                eprintln!("{}", chain(&error));
                good = false;
                continue;
            }
        };
        match process_file(&text, task) {
            Ok(file) => {
                for object in &file.objects {
                    good &= object.result != ObjectResult::Error;
                    results.push(object.result);
                    eprintln!(
                        "{name}:{}: {}: {}",
                        object.line, object.name, object.message
                    );
                }
                join(&mut out, &file.text);
            }
            Err(problem) => {
                eprintln!("{name}:{problem}");
                good = false;
            }
        }
    }
    // A manifest may contain other workloads, but at least one has to run TorchServe.
    let no_torchserve = results.contains(&ObjectResult::NotTorchServe)
        && !results.contains(&ObjectResult::HasSidecar);
    if !good || no_torchserve {
        return ExitCode::FAILURE;
    }
    print!("{out}");
    ExitCode::SUCCESS
}

/// Appends a file to the stream, as documents of their own.
fn join(out: &mut String, text: &str) {
    if !out.is_empty() {
        if !out.ends_with('\n') {
            out.push('\n');
        }
        if !text.trim_start().starts_with("---") {
            out.push_str("---\n");
        }
    }
    out.push_str(text);
}
