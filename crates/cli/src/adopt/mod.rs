//! `pushscale adopt`: prints the PushScaler that corresponds to another autoscaler, and changes over to it and back.

#![expect(
    clippy::print_stderr,
    reason = "the manifest is on standard output, and notes are not"
)]

mod adopted;
mod convert;
mod error;
mod hpa_v2;
mod manifest;
mod plan;
mod record;
mod scaled_object;
mod source;
mod switch;

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{ArgGroup, Args};
use kube::Api;
use kube::api::DynamicObject;
use serde_json::Value;

use crate::CommandError;
use crate::cluster::{Cluster, ClusterOptions, request};
use crate::input;
use crate::output::print;

pub use adopted::{AdoptError, Adopted};
pub use convert::convert;
pub use error::SwitchError;
pub use hpa_v2::hpa_as_v2;
pub(crate) use record::{PAUSED, PAUSED_REPLICAS};
use source::Source;
use switch::{Direction, Request, print_notes};

/// The options of `pushscale adopt`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("change").args(["switch", "undo"]))]
pub struct AdoptOptions {
    /// The HorizontalPodAutoscaler or the ScaledObject of KEDA: `hpa/NAME`, `scaledobject/NAME`
    #[arg(value_name = "KIND/NAME", required_unless_present = "file")]
    object: Option<Source>,
    #[command(flatten)]
    cluster: ClusterOptions,
    /// Read the object from a file instead; `-` reads standard input. HorizontalPodAutoscalers of autoscaling/v1, v2,
    /// v2beta1 and v2beta2 and ScaledObjects of keda.sh/v1alpha1 are understood
    #[arg(short, long, value_name = "FILE", conflicts_with_all = ["object", "change"])]
    file: Option<PathBuf>,
    /// Print the HorizontalPodAutoscaler of the file as autoscaling/v2 instead, with nothing else changed: Kubernetes
    /// 1.25 removed v2beta1, and 1.26 v2beta2
    #[arg(long, requires = "file", conflicts_with = "target")]
    print_hpa: bool,
    /// The target latency of the new PushScaler, such as `50ms`; default: that of a metric whose name ends with
    /// queue_latency_microseconds. A ScaledObject has no default
    #[arg(long, value_name = "DURATION", conflicts_with = "undo")]
    target: Option<String>,
    /// Make the PushScaler the autoscaler of the target: store what the undo needs, delete the HorizontalPodAutoscaler
    /// or pause the ScaledObject, and set mode Apply. An interrupted switch is completed by repeating the command
    #[arg(long)]
    switch: bool,
    /// Give the target back: set mode Recommend, and create the HorizontalPodAutoscaler again or resume the
    /// ScaledObject
    #[arg(long)]
    undo: bool,
    /// Print the steps of --switch or --undo, and change nothing
    #[arg(long, requires = "change")]
    dry_run: bool,
    /// With --switch, do not require that the PushScaler has a decision and that an aggregator runs; with --undo, do
    /// not wait for the aggregator, for example because it is not running any more
    #[arg(long, requires = "change")]
    force: bool,
    /// With --switch, the address of the aggregator's admin port, such as `http://127.0.0.1:8491`; default: the leader,
    /// through the API server's port-forward
    #[arg(long, value_name = "URL", requires = "switch")]
    aggregator: Option<String>,
}

/// Prints the PushScaler, and on standard error what it does not take over; or the HorizontalPodAutoscaler as
/// autoscaling/v2; or changes over.
///
/// # Errors
/// If the other autoscaler cannot be read or converted, or the change-over stops.
pub async fn run(options: &AdoptOptions) -> Result<ExitCode, CommandError> {
    let target = options.target.as_deref();
    let object = match (&options.file, &options.object) {
        (Some(file), _) => from_file(file)?,
        (None, Some(source)) => {
            let cluster = options.cluster.connect().await?;
            if options.switch || options.undo {
                let wanted = Request {
                    source,
                    direction: if options.undo {
                        Direction::Undo
                    } else {
                        Direction::Switch
                    },
                    target,
                    force: options.force,
                    dry_run: options.dry_run,
                    aggregator: options.aggregator.as_deref(),
                };
                switch::run(cluster, &wanted).await?;
                return Ok(ExitCode::SUCCESS);
            }
            from_cluster(cluster, source).await?
        }
        // The parser requires one of them.
        (None, None) => Value::Null,
    };
    if options.print_hpa {
        print_yaml(&hpa_as_v2(object)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let adopted = convert(&object, target)?;
    print_yaml(&adopted.manifest)?;
    print_notes(&adopted.notes);
    Ok(ExitCode::SUCCESS)
}

fn print_yaml(manifest: &Value) -> Result<(), CommandError> {
    print(&serde_saphyr::to_string(manifest).map_err(CommandError::output)?)
}

fn from_file(file: &Path) -> Result<Value, CommandError> {
    let text = input::read(file)?;
    let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
    let object = serde_saphyr::from_str(&text).map_err(invalid);
    object.map_err(CommandError::read(file))
}

async fn from_cluster(cluster: Cluster, source: &Source) -> Result<Value, CommandError> {
    let (client, namespace) = (cluster.client, cluster.namespace);
    let resource = source.kind.resource();
    let api: Api<DynamicObject> = Api::namespaced_with(client, &namespace, &resource);
    let what = format!("{} {namespace}/{}", source.kind.as_str(), source.name);
    let object = request(&what, api.get(&source.name)).await?;
    serde_json::to_value(&object).map_err(CommandError::output)
}
