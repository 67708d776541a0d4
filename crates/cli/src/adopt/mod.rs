//! `pushscale adopt`: prints the PushScaler that corresponds to a HorizontalPodAutoscaler.

#![expect(
    clippy::print_stderr,
    reason = "the manifest is on standard output, and notes are not"
)]

mod convert;

use std::fs;
use std::io::{self, Read as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use kube::Api;
use kube::api::DynamicObject;
use kube::core::GroupVersionKind;
use kube::discovery::ApiResource;
use serde_json::Value;

use crate::CommandError;
use crate::cluster::{ClusterOptions, request};
use crate::output::print;

pub use convert::{AdoptError, Adopted, convert};

/// The options of `pushscale adopt`.
#[derive(Debug, Args)]
pub struct AdoptOptions {
    /// The HorizontalPodAutoscaler: `hpa/NAME`
    #[arg(value_name = "hpa/NAME", required_unless_present = "file", value_parser = hpa_name)]
    object: Option<String>,
    #[command(flatten)]
    cluster: ClusterOptions,
    /// Read the HorizontalPodAutoscaler from a file instead; `-` reads standard input. autoscaling/v1, v2, v2beta1 and
    /// v2beta2 are understood
    #[arg(short, long, value_name = "FILE", conflicts_with = "object")]
    file: Option<PathBuf>,
    /// The target latency, such as `50ms`; default: that of a metric whose name ends with queue_latency_microseconds
    #[arg(long, value_name = "DURATION")]
    target: Option<String>,
}

fn hpa_name(text: &str) -> Result<String, String> {
    let kinds = ["hpa", "horizontalpodautoscaler"];
    match text.split_once('/') {
        Some((kind, name)) if kinds.contains(&kind) && !name.is_empty() => Ok(name.to_owned()),
        _ => Err("must be hpa/NAME".to_owned()),
    }
}

/// Prints the PushScaler, and on standard error what it does not take over.
///
/// # Errors
/// If the HorizontalPodAutoscaler cannot be read or converted.
pub async fn run(options: &AdoptOptions) -> Result<ExitCode, CommandError> {
    let hpa = match (&options.file, &options.object) {
        (Some(file), _) => from_file(file)?,
        (None, name) => from_cluster(options, name.as_deref().unwrap_or_default()).await?,
    };
    let adopted = convert(&hpa, options.target.as_deref())?;
    let text = serde_saphyr::to_string(&adopted.manifest)
        .map_err(|error| CommandError::Output(io::Error::other(error)))?;
    print(&text)?;
    for note in &adopted.notes {
        eprintln!("note: {note}");
    }
    Ok(ExitCode::SUCCESS)
}

fn from_file(file: &PathBuf) -> Result<Value, CommandError> {
    let text = if file.as_os_str() == "-" {
        let mut text = String::new();
        io::stdin()
            .read_to_string(&mut text)
            .map_err(CommandError::read(file))?;
        text
    } else {
        fs::read_to_string(file).map_err(CommandError::read(file))?
    };
    let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
    let object = serde_saphyr::from_str(&text).map_err(invalid);
    object.map_err(CommandError::read(file))
}

async fn from_cluster(options: &AdoptOptions, name: &str) -> Result<Value, CommandError> {
    let cluster = options.cluster.connect().await?;
    // The API server converts every version that it stores.
    let kind = GroupVersionKind::gvk("autoscaling", "v2", "HorizontalPodAutoscaler");
    let resource = ApiResource::from_gvk_with_plural(&kind, "horizontalpodautoscalers");
    let (client, namespace) = (cluster.client, cluster.namespace);
    let api: Api<DynamicObject> = Api::namespaced_with(client, &namespace, &resource);
    let what = format!("HorizontalPodAutoscaler {namespace}/{name}");
    let object = request(&what, api.get(name)).await?;
    serde_json::to_value(&object).map_err(|error| CommandError::Output(error.into()))
}
