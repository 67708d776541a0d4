//! The sidecar: scrapes TorchServe in its pod and pushes the readings.

use std::process::ExitCode;

use pushscale_daemon::{config, exit, logging};
use pushscale_sidecar::{Config, PROGRAM};

fn main() -> ExitCode {
    let config = match config::load(&PROGRAM, Config::from_settings) {
        Ok(config) => config,
        Err(code) => return code,
    };
    logging::init(&config.log);

    // One thread, and a short-lived one for DNS lookups: the sidecar shares its pod with a model server.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(1)
        .thread_keep_alive(std::time::Duration::from_secs(1))
        .thread_stack_size(256 * 1024)
        .build();
    exit::run(runtime, async |stop| {
        let bound = pushscale_sidecar::bind(config).await?;
        bound.run(stop).await
    })
}
