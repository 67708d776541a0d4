//! The aggregator: receives readings, decides, writes the scale.

use std::process::ExitCode;

use pushscale_aggregator::{Config, RunError};
use pushscale_daemon::{exit, logging, shutdown};

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    if words.next().as_deref() == Some("check") {
        return exit::report(words.try_for_each(|url| pushscale_aggregator::check(&url)));
    }
    let config = match Config::load() {
        Ok(config) => config,
        Err(mistakes) => return exit::config_errors(&mistakes),
    };
    logging::init(&config.log);

    let runtime = tokio::runtime::Runtime::new();
    exit::report(runtime.map_err(RunError::from).and_then(|runtime| {
        runtime.block_on(async {
            let stop = shutdown::on_signals()?;
            let bound = pushscale_aggregator::bind(config).await?;
            bound.run(stop).await
        })
    }))
}
