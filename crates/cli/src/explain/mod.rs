//! `pushscale explain`: why a PushScaler has this replica count, and what would change it.

mod explanation;
mod past;

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;

use crate::CommandError;
use crate::cluster::{Cluster, ClusterError, ClusterOptions, Connection};
use crate::output::{Colors, print};

use explanation::Explanation;
use past::PastTime;

/// How often `--follow` asks for the last decision.
const FOLLOW_INTERVAL: Duration = Duration::from_secs(1);

/// The options of `pushscale explain`.
#[derive(Debug, Args)]
pub struct ExplainOptions {
    /// The PushScaler
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    cluster: ClusterOptions,
    /// The address of an aggregator's admin port, such as `http://127.0.0.1:8491`; default: the leader, through the API
    /// server's port-forward
    #[arg(long, value_name = "URL")]
    aggregator: Option<String>,
    /// Explain the decision at this time: `2026-01-31T12:00:00Z`, or `10m` for ten minutes ago. Recordings of ten pods
    /// reach back about ten minutes, with more pods or more than eight PushScalers less; status.history has the last 10
    /// changes
    #[arg(long, value_name = "TIME", conflicts_with = "follow")]
    at: Option<PastTime>,
    /// Keep running and explain each new outcome
    #[arg(short, long)]
    follow: bool,
}

/// Prints the explanation of the last decision, or of an earlier one.
///
/// # Errors
/// If the PushScaler cannot be read, or if there is no decision at the time.
pub async fn run(options: &ExplainOptions) -> Result<ExitCode, CommandError> {
    let cluster = options.cluster.connect().await?;
    let scaler = cluster.scaler(&options.name).await?;
    let connection = Connection::open(&cluster, options.aggregator.as_deref()).await;
    if let Some(at) = options.at {
        let text = past::explain(&scaler, connection, at.time(Timestamp::now())).await?;
        print(&text)?;
        return Ok(ExitCode::SUCCESS);
    }
    if options.follow {
        return follow(&cluster, options, connection?).await;
    }
    let live = match connection {
        Ok(connection) => live(&cluster, &options.name, &connection).await,
        Err(error) => Err(error),
    };
    let explanation = match live {
        Ok(explanation) => explanation,
        // The status has the same decision, at most ten seconds older, without what would change it.
        Err(error) if options.aggregator.is_none() => Explanation::of_status(&scaler, &error),
        Err(error) => return Err(error.into()),
    };
    print(&explanation.render(Some(&scaler), Timestamp::now(), Colors::detect()))?;
    Ok(ExitCode::SUCCESS)
}

async fn live(
    cluster: &Cluster,
    name: &str,
    connection: &Connection,
) -> Result<Explanation, ClusterError> {
    let view = connection.scaler(&cluster.namespace, name).await?;
    Ok(Explanation::of_view(&view, connection.name()))
}

/// Explains every new outcome, until the aggregator cannot be reached.
async fn follow(
    cluster: &Cluster,
    options: &ExplainOptions,
    connection: Connection,
) -> Result<ExitCode, CommandError> {
    let mut last = None;
    loop {
        let found = live(cluster, &options.name, &connection).await?;
        if last.as_ref() != Some(&found.outcome) {
            let now = Timestamp::now();
            print(&format!(
                "{now:.0}\n{}\n",
                found.render(None, now, Colors::detect())
            ))?;
            last = Some(found.outcome);
        }
        tokio::time::sleep(FOLLOW_INTERVAL).await;
    }
}
