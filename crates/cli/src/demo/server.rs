//! Servers in place of a pod's TorchServe: the real one or an emulated one.

use std::time::Duration;

use pushscale_testkit::emulated::{self, EmulatedServer, ModelOptions};
use pushscale_testkit::local_torchserve::{self, LocalTorchServe, RunningServer};
use pushscale_testkit::{Addresses, cache};

use super::error::DemoError;

/// The start delay of an emulated server; as long as that of the real one.
const EMULATED_START: Duration = Duration::from_secs(2);

/// The requests that may wait in a server. On a busy machine a server takes 8 s to start, and with TorchServe's default
/// of 100 the only one rejected 18 of 1,162 requests meanwhile.
const QUEUE_SIZE: usize = 500;

/// The source of servers.
#[derive(Clone, Debug)]
pub(crate) enum Servers {
    Real(LocalTorchServe),
    Emulated,
}

/// A starting or running server.
#[derive(Debug)]
pub(crate) enum Server {
    Real(Box<RunningServer>),
    Emulated(EmulatedServer),
}

impl Servers {
    /// Chooses the real TorchServe if Java and Python are installed, and prints which servers are used.
    pub(crate) async fn find(emulated: bool) -> Result<Self, DemoError> {
        if emulated {
            println!("emulated servers, as requested; the sidecars and the aggregator are real");
            return Ok(Self::Emulated);
        }
        match LocalTorchServe::check().await {
            Ok(programs) => {
                println!(
                    "real TorchServe 0.12.0 (Java {}, Python {})",
                    programs.java_version, programs.python_version
                );
                let torchserve =
                    LocalTorchServe::install(&cache::directory(), |step| println!("  {step} …"))
                        .await?;
                Ok(Self::Real(torchserve))
            }
            Err(missing) => {
                println!("emulated servers: {missing}");
                Ok(Self::Emulated)
            }
        }
    }

    /// Starts a server. Its addresses are known at once, it becomes ready later.
    pub(crate) fn start(&self) -> Result<Server, DemoError> {
        Ok(match self {
            Self::Real(torchserve) => {
                let options = local_torchserve::ServerOptions {
                    job_queue_size: QUEUE_SIZE,
                    ..local_torchserve::ServerOptions::default()
                };
                Server::Real(Box::new(torchserve.launch(options)?))
            }
            Self::Emulated => {
                let options = emulated::ServerOptions {
                    models: vec![ModelOptions {
                        job_queue_size: QUEUE_SIZE,
                        ..ModelOptions::default()
                    }],
                    start_delay: EMULATED_START,
                    ..emulated::ServerOptions::default()
                };
                Server::Emulated(EmulatedServer::start(options)?)
            }
        })
    }
}

impl Server {
    pub(crate) fn addresses(&self) -> Addresses {
        match self {
            Self::Real(server) => server.addresses(),
            Self::Emulated(server) => server.addresses(),
        }
    }

    pub(crate) async fn ready(&mut self) -> Result<(), DemoError> {
        match self {
            Self::Real(server) => server.ready().await?,
            Self::Emulated(server) => server.ready().await,
        }
        Ok(())
    }

    pub(crate) async fn stop(self) -> Result<(), DemoError> {
        match self {
            Self::Real(server) => server.stop().await?,
            Self::Emulated(server) => server.stop().await,
        }
        Ok(())
    }
}
