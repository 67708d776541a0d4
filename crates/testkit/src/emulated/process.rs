//! One process of the emulated Java server: its models, counters and workers.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::counters::Counters;
use super::model::Model;
use super::options::ServerOptions;
use super::switches::Switches;

/// The state that the tasks of the process share.
#[derive(Debug)]
pub(super) struct Process {
    /// The models, in the order of the options. The first entry with a name is its default version.
    pub(super) models: Vec<Arc<Model>>,
    pub(super) counters: Mutex<Counters>,
    pub(super) switches: Arc<Switches>,
    pub(super) hostname: String,
    /// The number of READY workers.
    ready: watch::Sender<usize>,
}

/// Why a model was not found, with TorchServe's message.
#[derive(Debug)]
pub(super) struct NotFound {
    pub(super) kind: &'static str,
    pub(super) message: String,
}

impl Process {
    /// Creates a process. Its workers do not run yet.
    pub(super) fn new(
        options: &ServerOptions,
        switches: &Arc<Switches>,
        ready: watch::Sender<usize>,
    ) -> Arc<Self> {
        let mut id = 9000;
        let mut models = Vec::with_capacity(options.models.len());
        for model in &options.models {
            models.push(Arc::new(Model::new(model.clone(), id)));
            id += model.workers;
        }
        Arc::new(Self {
            models,
            counters: Mutex::default(),
            switches: Arc::clone(switches),
            hostname: options.hostname.clone(),
            ready,
        })
    }

    /// Records that a worker became READY, or is no longer READY.
    pub(super) fn worker_is_ready(&self, is: bool) {
        let change = if is { 1 } else { -1 };
        self.ready
            .send_modify(|ready| *ready = ready.saturating_add_signed(change));
    }

    /// Returns a model; without `version`, its default version.
    pub(super) fn find(&self, name: &str, version: Option<&str>) -> Result<&Arc<Model>, NotFound> {
        let is_registered = self.switches.is_registered(name);
        let mut named = self
            .models
            .iter()
            .filter(|m| is_registered && m.options.name == name);
        let Some(default) = named.next() else {
            return Err(NotFound {
                kind: "ModelNotFoundException",
                message: format!("Model not found: {name}"),
            });
        };
        let Some(version) = version else {
            return Ok(default);
        };
        std::iter::once(default)
            .chain(named)
            .find(|m| m.options.version == version)
            .ok_or_else(|| NotFound {
                kind: "ModelVersionNotFoundException",
                message: format!("Model version: {version} does not exist for model: {name}"),
            })
    }
}
