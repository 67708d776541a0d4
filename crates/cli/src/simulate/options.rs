//! What can be given on the command line.

use std::path::PathBuf;

use clap::{Arg, ArgMatches, Args, Command, Error, FromArgMatches};
use pushscale_simulator::control::RIVALS;
use pushscale_simulator::scenario::KEYS;

/// With `--compare` alone.
const USUAL_RIVALS: &str = "hpa,kpa,oracle";

/// Simulates a cluster.
#[derive(Debug, Args)]
pub struct SimulateOptions {
    /// Scenario files; each option of the scenario goes before what they say. None is needed if there are options
    #[arg(value_name = "SCENARIO.txt")]
    pub(crate) scenarios: Vec<PathBuf>,
    /// The PushScaler; without it, one with nothing said but the scenario's target, min and max
    #[arg(short = 'f', long = "filename", value_name = "PUSHSCALER.yaml")]
    pub(crate) manifest: Option<PathBuf>,
    /// Others to compare with, and other PushScalers, after commas
    #[arg(
        long,
        value_name = "WHO",
        num_args = 0..=1,
        default_missing_value = USUAL_RIVALS,
        long_help = rivals_help()
    )]
    pub(crate) compare: Vec<String>,
    /// Runs with other random numbers: how many, or which: 8, 1,2,3 or 5-8
    #[arg(long, value_name = "SEEDS", default_value = "1")]
    pub(crate) seeds: String,
    /// One run, with these random numbers
    #[arg(long, value_name = "SEED", conflicts_with = "seeds")]
    pub(crate) seed: Option<u64>,
    /// Tell each change of size, and why (of the first seed)
    #[arg(long)]
    pub(crate) explain: bool,
    /// Write all figures as JSON; `-` is the standard output, in place of the table
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Into the JSON: every second of every run
    #[arg(long, requires = "json")]
    pub(crate) per_second: bool,
    /// Draw the first seed: load, sizes, waits
    #[arg(long, value_name = "FILE.svg")]
    pub(crate) svg: Option<PathBuf>,
    /// Write the scenario down, with all that was assumed
    #[arg(long, value_name = "SCENARIO.txt")]
    pub(crate) save: Option<PathBuf>,
    /// Folders of traces, for those that are not where they are named; PUSHSCALE_TRACES has more
    #[arg(long, value_name = "FOLDER")]
    pub(crate) traces: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) keys: KeyOptions,
}

/// Values of a scenario's keys, in the order of [`KEYS`]: an option for each.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeyOptions(pub(crate) Vec<(&'static str, String)>);

impl Args for KeyOptions {
    fn augment_args(command: Command) -> Command {
        let heading = "The scenario (docs/SIMULATING.md)";
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

fn rivals_help() -> String {
    let rivals = RIVALS.map(|(usage, meaning)| format!("  {usage}: {meaning}"));
    format!(
        "Others to compare with, after commas; alone it means {USUAL_RIVALS}. They are files of other PushScalers, and\n{}",
        rivals.join("\n")
    )
}
