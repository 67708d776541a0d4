//! The injector, an admission webhook that adds the sidecar to new pods.

use std::process::ExitCode;

use pushscale_daemon::{config, exit, logging, open_files};
use pushscale_injector::{Config, PROGRAM};

/// The threads, on any number of cores. A review takes a fraction of a millisecond.
const THREADS: usize = 2;

fn main() -> ExitCode {
    let config = match config::load(&PROGRAM, Config::from_settings) {
        Ok(config) => config,
        Err(code) => return code,
    };
    logging::init(&config.log);
    open_files::raise_limit();

    // Each thread keeps memory of its own, and parses one review at a time.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .enable_all()
        .build();
    exit::run(runtime, async |stop| {
        let bound = pushscale_injector::bind(config).await?;
        bound.run(stop).await
    })
}
