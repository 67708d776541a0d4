//! The command-line options.

use std::path::PathBuf;

use clap::{Arg, ArgMatches, Args, Command, Error, FromArgMatches};
use pushscale_simulator::control::BASELINES;
use pushscale_simulator::scenario::KEYS;

use super::record::RecordOptions;

/// The value of `--compare` without one.
const DEFAULT_BASELINES: &str = "hpa,kpa,oracle";

/// The options of `pushscale simulate`.
#[derive(Debug, Args)]
pub struct SimulateOptions {
    /// Scenario files; options override their values. May be omitted if the options describe a scenario
    #[arg(value_name = "SCENARIO.txt")]
    pub(crate) scenarios: Vec<PathBuf>,
    /// The PushScaler to simulate; by default one with the scenario's target, min and max
    #[arg(short = 'f', long = "filename", value_name = "PUSHSCALER.yaml")]
    pub(crate) manifest: Option<PathBuf>,
    /// Autoscalers to compare with: baselines and PushScaler manifests, separated by commas
    #[arg(
        long,
        value_name = "AUTOSCALERS",
        num_args = 0..=1,
        default_missing_value = DEFAULT_BASELINES,
        long_help = baselines_help()
    )]
    pub(crate) compare: Vec<String>,
    /// Seeds for the random numbers, one run each: a number of seeds (8) or a list (1,2,3 or 5-8)
    #[arg(long, value_name = "SEEDS", default_value = "1")]
    pub(crate) seeds: String,
    /// A single seed
    #[arg(long, value_name = "SEED", conflicts_with = "seeds")]
    pub(crate) seed: Option<u64>,
    /// Run the scenario with several values of one of its keys, such as target=10ms..1s, or target=10ms..1s/12 for
    /// twelve values; `--svg` then draws bad requests and pod-hours by the key, and where they exceed the SLO of 1% bad
    /// requests. With pod-seconds-per-violation, it draws pod-hours against bad requests
    #[arg(long, value_name = "KEY=FROM..TO", conflicts_with_all = ["explain", "save"])]
    pub(crate) sweep: Option<String>,
    /// Explain each change of the replica count (first seed only)
    #[arg(long)]
    pub(crate) explain: bool,
    /// Write all figures as JSON; `-` writes to standard output instead of the table
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Add every second of every run to the JSON
    #[arg(long, requires = "json")]
    pub(crate) per_second: bool,
    /// Draw load, replica counts and waits (first seed only)
    #[arg(long, value_name = "FILE.svg")]
    pub(crate) svg: Option<PathBuf>,
    /// Save the scenario with all defaults; with --from, the load goes to a file of the same name that ends with .csv
    #[arg(long, value_name = "SCENARIO.txt")]
    pub(crate) save: Option<PathBuf>,
    /// Directories to search for traces, in addition to those in PUSHSCALE_TRACES
    #[arg(long, value_name = "DIR")]
    pub(crate) traces: Vec<PathBuf>,
    #[command(flatten, next_help_heading = "Load of a PushScaler in the cluster")]
    pub(crate) record: RecordOptions,
    #[command(flatten)]
    pub(crate) keys: KeyOptions,
}

/// The values of the scenario's keys, in the order of [`KEYS`]. Each key is an option.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeyOptions(pub(crate) Vec<(&'static str, String)>);

impl Args for KeyOptions {
    fn augment_args(command: Command) -> Command {
        let heading = "Scenario (docs/SIMULATING.md)";
        command.args(KEYS.iter().map(|key| {
            Arg::new(key.name)
                .long(key.name)
                .value_name(key.example)
                .help(key.meaning)
                .help_heading(heading)
        }))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for KeyOptions {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let given = KEYS.iter().filter_map(|key| {
            let value = matches.get_one::<String>(key.name)?;
            Some((key.name, value.clone()))
        });
        Ok(Self(given.collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn baselines_help() -> String {
    let baselines = BASELINES.map(|(usage, meaning)| format!("  {usage}: {meaning}"));
    format!(
        "Autoscalers to compare with, separated by commas; {DEFAULT_BASELINES} if no value is given. Each is a PushScaler manifest or one of\n{}",
        baselines.join("\n")
    )
}
