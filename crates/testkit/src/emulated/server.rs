//! The handle of an emulated server, and the task that runs it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

use super::connection::{Port, accept};
use super::inference::arrive_over_grpc;
use super::process::Process;
use super::switches::Switches;
use super::worker;
use super::{EmulatedError, ServerOptions};
use crate::reserved_port::ReservedPort;
use crate::{Addresses, MetricsMode};

/// A running server. Dropping it stops the server, like [`EmulatedServer::stop`].
#[derive(Debug)]
pub struct EmulatedServer {
    addresses: Addresses,
    workers: usize,
    switches: Arc<Switches>,
    desired: watch::Sender<DesiredState>,
    ready: watch::Sender<usize>,
    process: Arc<Mutex<Option<Arc<Process>>>>,
    task: JoinHandle<()>,
}

/// The desired state of the server, which the supervisor task applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct DesiredState {
    refuse: bool,
    stop: bool,
}

impl EmulatedServer {
    /// Starts a server on the current tokio runtime. Its addresses are final at once. Connections are refused until the
    /// start delay is over.
    ///
    /// # Errors
    /// The options are invalid, or a port is not available.
    ///
    /// # Panics
    /// There is no tokio runtime.
    pub fn start(options: ServerOptions) -> Result<Self, EmulatedError> {
        options.check()?;
        let take = || {
            let address = SocketAddr::new(options.bind, 0);
            ReservedPort::take(address).map_err(|source| EmulatedError::Port { address, source })
        };
        let ports = Ports {
            inference: take()?,
            management: take()?,
            metrics: take()?,
        };
        let addresses = Addresses {
            inference: ports.inference.address(),
            management: ports.management.address(),
            metrics: ports.metrics.address(),
        };
        let workers = options.models.iter().map(|m| m.workers).sum();
        let switches = Arc::new(Switches::new(options.metrics_mode));
        let first = DesiredState {
            refuse: false,
            stop: false,
        };
        let (desired, desired_rx) = watch::channel(first);
        let ready = watch::Sender::new(0);
        let process = Arc::default();
        let supervisor = Supervisor {
            options,
            ports,
            desired: desired_rx,
            switches: Arc::clone(&switches),
            ready: ready.clone(),
            process: Arc::clone(&process),
        };
        Ok(Self {
            addresses,
            workers,
            switches,
            desired,
            ready,
            process,
            task: tokio::spawn(supervisor.run()),
        })
    }

    /// Returns the addresses of the ports, which may not be open yet.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Waits until all workers are READY. A frozen server and one that refuses connections become ready, too.
    pub async fn ready(&self) {
        let mut ready = self.ready.subscribe();
        // The sender lives as long as `self`, so the wait cannot fail.
        ready.wait_for(|ready| *ready >= self.workers).await.ok();
    }

    /// Returns the queue depth over all versions of a model, without requests in flight; 0 for an unknown model and
    /// before the ports open.
    pub fn waiting(&self, model: &str) -> usize {
        let Some(process) = self.process() else {
            return 0;
        };
        let models = process.models.iter();
        models
            .filter(|m| m.options.name == model)
            .map(|m| m.queue.waiting())
            .sum()
    }

    /// Freezes the server like a stopped Java process (`kill -STOP`): it accepts connections, but sends no data. After
    /// the freeze, it reads what arrived in the meantime.
    pub fn freeze(&self, frozen: bool) {
        self.switches.freeze(frozen);
    }

    /// Closes the three ports and resets all connections, or opens the ports again. Queue, counters and workers
    /// continue.
    pub fn refuse(&self, refuse: bool) {
        self.desired.send_modify(|w| w.refuse = refuse);
    }

    /// Replaces the metrics mode of the options.
    pub fn set_metrics_mode(&self, mode: MetricsMode) {
        self.switches.set_metrics_mode(mode);
    }

    /// Blocks the first `workers` workers of each model version: they keep or take a batch, do not complete it, and
    /// still report READY. 0 lets them continue.
    pub fn block_workers(&self, workers: usize) {
        self.switches.block(workers);
    }

    /// Unregisters a model in the management API, or registers it again. Its counters remain, as with TorchServe.
    pub fn set_registered(&self, model: &str, registered: bool) {
        self.switches.set_registered(model, registered);
    }

    /// Sends `count` requests to the model's default version like gRPC requests: `ts_inference_requests_total` and
    /// pendingRequests include them, but the latency counters do not. Returns how many the queue accepted; 0 for an
    /// unknown model and before the ports open.
    pub fn send_grpc(&self, model: &str, count: usize) -> usize {
        let Some(process) = self.process() else {
            return 0;
        };
        let Ok(found) = process.find(model, None) else {
            return 0;
        };
        (0..count)
            .filter(|_| arrive_over_grpc(&process, found).is_ok())
            .count()
    }

    /// Stops the server. It closes the ports at once and resets the connections of queued requests, like TorchServe on
    /// SIGTERM.
    pub async fn stop(mut self) {
        self.desired.send_modify(|w| w.stop = true);
        // The result of the task does not matter.
        (&mut self.task).await.ok();
    }

    fn process(&self) -> Option<Arc<Process>> {
        self.process.lock().clone()
    }
}

impl Drop for EmulatedServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Ports {
    inference: ReservedPort,
    management: ReservedPort,
    metrics: ReservedPort,
}

struct Supervisor {
    options: ServerOptions,
    ports: Ports,
    desired: watch::Receiver<DesiredState>,
    switches: Arc<Switches>,
    ready: watch::Sender<usize>,
    process: Arc<Mutex<Option<Arc<Process>>>>,
}

impl Supervisor {
    /// Runs until the server is stopped or its handle is dropped.
    async fn run(mut self) {
        tokio::select! {
            () = sleep(self.options.start_delay) => {}
            _ = self.desired.wait_for(|desired| desired.stop) => return,
        }
        let mut workers = JoinSet::new();
        let process = Process::new(&self.options, &self.switches, self.ready.clone());
        worker::start_all(&process, &self.options, &mut workers);
        *self.process.lock() = Some(Arc::clone(&process));
        let mut listening = JoinSet::new();
        loop {
            let desired = *self.desired.borrow_and_update();
            let closed = listening.is_empty();
            if desired.stop {
                break;
            } else if desired.refuse {
                listening.shutdown().await;
            } else if closed && self.open(&process, &mut listening).is_err() {
                // There is no free file descriptor; the ports themselves are reserved.
                listening.shutdown().await;
                sleep(Duration::from_millis(50)).await;
                continue;
            }
            if self.desired.changed().await.is_err() {
                break;
            }
        }
        *self.process.lock() = None;
        listening.shutdown().await;
        workers.shutdown().await;
    }

    fn open(&self, process: &Arc<Process>, tasks: &mut JoinSet<()>) -> io::Result<()> {
        for (port, reserved) in [
            (Port::Inference, &self.ports.inference),
            (Port::Management, &self.ports.management),
            (Port::Metrics, &self.ports.metrics),
        ] {
            tasks.spawn(accept(reserved.listen()?, port, Arc::clone(process)));
        }
        Ok(())
    }
}
