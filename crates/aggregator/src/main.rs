//! The aggregator: receives readings, decides on replica counts, writes them.

use std::process::ExitCode;

use pushscale_aggregator::{Config, PROGRAM};
use pushscale_daemon::{config, exit, logging, open_files};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some("check") {
        return exit::report(arguments.try_for_each(|url| pushscale_aggregator::check(&url)));
    }
    let config = match config::load(&PROGRAM, Config::from_settings) {
        Ok(config) => config,
        Err(code) => return code,
    };
    logging::init(&config.log);
    open_files::raise_limit();

    exit::run(exit::runtime(), async |signals| {
        let bound = pushscale_aggregator::bind(config).await?;
        bound.run(signals).await
    })
}
