//! Issues, renews and publishes the certificates of the aggregator and the injector.

use std::process::ExitCode;

use pushscale_certificates::{Config, PROGRAM};
use pushscale_daemon::{config, exit, logging};

fn main() -> ExitCode {
    let config = match config::load(&PROGRAM, Config::from_settings) {
        Ok(config) => config,
        Err(code) => return code,
    };
    logging::init(&config.log);

    exit::run(exit::runtime(), async |stop| {
        let bound = pushscale_certificates::bind(config).await?;
        bound.run(stop).await
    })
}
