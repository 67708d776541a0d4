//! Issues, renews and publishes the certificates of the aggregator and the injector.

use std::process::ExitCode;

use pushscale_certificates::{Config, PROGRAM, RunError};
use pushscale_daemon::{config, exit, logging, shutdown};

fn main() -> ExitCode {
    let config = match config::load(&PROGRAM, Config::from_settings) {
        Ok(config) => config,
        Err(code) => return code,
    };
    logging::init(&config.log);

    let runtime = tokio::runtime::Runtime::new();
    exit::report(runtime.map_err(RunError::from).and_then(|runtime| {
        runtime.block_on(async {
            let stop = shutdown::on_signals()?;
            let bound = pushscale_certificates::bind(config).await?;
            bound.run(stop).await
        })
    }))
}
