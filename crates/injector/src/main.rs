//! The injector: brings the sidecar into pods as they are made.

use std::process::ExitCode;

use pushscale_daemon::{exit, logging, shutdown};
use pushscale_injector::{Config, RunError};

fn main() -> ExitCode {
    let config = match Config::load() {
        Ok(config) => config,
        Err(mistakes) => return exit::config_errors(&mistakes),
    };
    logging::init(&config.log);

    let runtime = tokio::runtime::Runtime::new();
    exit::report(runtime.map_err(RunError::from).and_then(|runtime| {
        runtime.block_on(async {
            let stop = shutdown::on_signals()?;
            let bound = pushscale_injector::bind(config).await?;
            bound.run(stop).await
        })
    }))
}
