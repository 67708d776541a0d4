//! `pushscale status`: a table of all PushScalers.

mod row;
mod watch;

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use kube::api::ListParams;
use pushscale_api::PushScaler;
use serde_json::{Value, json};

use crate::CommandError;
use crate::cluster::{ClusterOptions, request};
use crate::output::{Colors, print};

pub(crate) use row::is_problem;
use row::{Columns, render};

/// The options of `pushscale status`.
#[derive(Debug, Args)]
pub struct StatusOptions {
    /// Only this PushScaler
    #[arg(value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    cluster: ClusterOptions,
    /// All namespaces
    #[arg(short = 'A', long, conflicts_with = "name")]
    all_namespaces: bool,
    /// Output format; `json` and `yaml` print the PushScalers as kubectl does
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<Format>,
    /// Keep running and print each change; on a terminal the table is redrawn
    #[arg(short, long)]
    watch: bool,
}

/// A format of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Wide,
    Json,
    Yaml,
}

/// Prints the PushScalers.
///
/// # Errors
/// If the cluster cannot be read.
pub async fn run(options: &StatusOptions) -> Result<ExitCode, CommandError> {
    let cluster = options.cluster.connect().await?;
    let api = cluster.scalers(options.all_namespaces);
    let columns = Columns {
        namespace: options.all_namespaces,
        wide: options.output == Some(Format::Wide),
    };
    if options.watch {
        if matches!(options.output, Some(Format::Json | Format::Yaml)) {
            let message =
                "--watch prints a table: use -o wide, or kubectl get pushscalers -w -o json\n";
            clap::Error::raw(ErrorKind::ArgumentConflict, message).exit();
        }
        return watch::run(api, options.name.as_deref(), columns).await;
    }
    let mut scalers = match &options.name {
        Some(name) => {
            let what = format!("PushScaler {}/{name}", cluster.namespace);
            vec![request(&what, api.get(name)).await?]
        }
        None => {
            let parameters = ListParams::default();
            request("the PushScalers", api.list(&parameters))
                .await?
                .items
        }
    };
    scalers.sort_by_key(row::key);
    match options.output {
        Some(Format::Json) => {
            let mut text =
                serde_json::to_string_pretty(&list(scalers)).map_err(CommandError::output)?;
            text.push('\n');
            print(&text)?;
        }
        Some(Format::Yaml) => {
            let text = serde_saphyr::to_string(&list(scalers)).map_err(CommandError::output)?;
            print(&text)?;
        }
        Some(Format::Wide) | None if scalers.is_empty() => {
            let scope = match options.all_namespaces {
                true => "in any namespace".to_owned(),
                false => format!("in namespace {}; -A shows all", cluster.namespace),
            };
            print(&format!("no PushScalers {scope}\n"))?;
        }
        Some(Format::Wide) | None => {
            print(&render(
                &scalers,
                columns,
                Timestamp::now(),
                Colors::detect(),
            ))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns the objects as kubectl's list.
fn list(scalers: Vec<PushScaler>) -> Value {
    json!({ "apiVersion": "v1", "kind": "List", "metadata": {}, "items": scalers })
}
