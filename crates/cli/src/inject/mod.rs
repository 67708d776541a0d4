//! `pushscale inject`: the sidecar in files, by the same rules as in the cluster, and nothing else in them touched.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line speaks by printing"
)]

mod edit;
mod error;
mod file;
mod insert;
mod objects;
mod take_out;
mod write;

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use pushscale_injector::{PullPolicy, Sidecar, Trust, VERSION, check_aggregator, check_image};

pub use crate::yaml::Problem;
pub use file::{Done, Task, Told, done};

/// Puts the sidecar into manifests, or takes it out.
#[derive(Debug, Args)]
pub struct InjectOptions {
    /// Manifests, YAML or JSON; `-` is the standard input
    #[arg(short = 'f', long = "filename", value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Take the sidecar out of what was injected
    #[arg(long)]
    uninject: bool,
    /// HOST:PORT of the aggregator's headless Service
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
    /// The namespace of objects that do not say theirs
    #[arg(short, long, value_name = "NAMESPACE", default_value = "default")]
    namespace: String,
    /// Is the cluster Kubernetes 1.29 or later? Then the sidecar is an init container that restarts
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    native_sidecar: bool,
    /// How sidecar and aggregator know each other: as the chart's aggregator does, or not at all (helm/plain)
    #[arg(long, value_name = "HOW", default_value = "token")]
    trust: TrustWord,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum TrustWord {
    /// A token of the pod, over TLS by the aggregator's own authority
    Token,
    /// Plain HTTP, and no token
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

/// Writes the files with the sidecar, one after the other, to the standard output, and says on the other what was
/// done with each object. Nothing is written if anything is wrong.
pub fn run(options: &InjectOptions) -> ExitCode {
    let sidecar = Sidecar {
        image: options.image.clone(),
        pull_policy: PullPolicy::IfNotPresent,
        aggregator: options.aggregator.clone(),
        trust: match options.trust {
            TrustWord::Token => Trust::Token,
            TrustWord::None => Trust::None,
        },
        own_namespace: None,
    };
    let task = if options.uninject {
        Task::TakeOut
    } else {
        Task::Inject {
            sidecar: &sidecar,
            native_sidecar: options.native_sidecar,
            namespace: &options.namespace,
        }
    };
    let mut out = String::new();
    let mut good = true;
    for path in &options.files {
        let name = path.display();
        let text = match read(path) {
            Ok(text) => text,
            Err(error) => {
                eprintln!("failed to read {name}: {error}");
                good = false;
                continue;
            }
        };
        match done(&text, task) {
            Ok(done) => {
                for told in &done.objects {
                    good &= !told.is_mistake;
                    eprintln!("{name}:{}: {}: {}", told.line, told.name, told.said);
                }
                join(&mut out, &done.text);
            }
            Err(problem) => {
                eprintln!("{name}:{problem}");
                good = false;
            }
        }
    }
    if !good {
        return ExitCode::FAILURE;
    }
    print!("{out}");
    ExitCode::SUCCESS
}

fn read(path: &Path) -> io::Result<String> {
    if path.as_os_str() == "-" {
        let mut text = String::new();
        io::stdin().lock().read_to_string(&mut text)?;
        return Ok(text);
    }
    std::fs::read_to_string(path)
}

/// Several files are one stream: a document begins with each.
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
