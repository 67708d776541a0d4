//! A status page of decisions that were made elsewhere, for screenshots and benchmarks. Not part of the API.

use std::net::SocketAddr;
use std::sync::Arc;

use jiff::Timestamp;
use prometheus_client::registry::Registry;
use pushscale_daemon::admin::Admin;
use pushscale_daemon::http_server::{self, BindError, Limits};
use pushscale_daemon::readiness::Readiness;
use pushscale_daemon::shutdown::Shutdown;
use pushscale_decision::{Decision, MeasuredLoad};
use tokio::sync::mpsc;

use crate::history::{History, HistorySender, LoadSample, ScalerSubject};
use crate::leadership::Leadership;
use crate::metrics::Metrics;
use crate::names::{ScalerKey, TargetRef};
use crate::pages::AggregatorPages;
use crate::status_page::StatusPage;

/// A history without a control loop.
#[derive(Debug)]
pub struct RecordedPage {
    history: History,
    sender: HistorySender,
}

/// A scaler of a [`RecordedPage`].
#[derive(Clone, Debug)]
pub struct RecordedScaler(Arc<ScalerSubject>);

impl RecordedScaler {
    /// Names a scaler of a Deployment with the same name.
    pub fn new(namespace: &str, name: &str) -> Self {
        let key = ScalerKey::new(namespace, name);
        let target = TargetRef::deployment(namespace, name);
        Self(Arc::new(ScalerSubject::new(key, &target)))
    }
}

impl RecordedPage {
    /// Creates an empty history, whose queue a task of the current runtime empties.
    pub fn start() -> Self {
        let metrics = Metrics::register(&mut Registry::default());
        let (history, sender, task) = History::start(metrics);
        tokio::spawn(task);
        Self { history, sender }
    }

    /// Records a decision of another time, in order.
    pub fn record(&self, scaler: &RecordedScaler, at: Timestamp, decision: &Arc<Decision>) {
        self.history.record_decision(&scaler.0, at, decision);
    }

    /// Sends a decision of now as the control loop does.
    pub fn send(&mut self, scaler: &RecordedScaler, decision: &Arc<Decision>, is_new: bool) {
        self.sender.decided(&scaler.0, decision, is_new);
    }

    /// Sends the load of ten seconds as the control loop does. `number` counts them.
    pub fn send_load(
        &mut self,
        scaler: &RecordedScaler,
        number: u64,
        start: Timestamp,
        load: MeasuredLoad,
    ) {
        let sample = LoadSample {
            number,
            start,
            load,
        };
        self.sender.load(&scaler.0, sample);
    }

    /// Serves the page until shutdown, and returns its address.
    ///
    /// # Errors
    /// If the port cannot be bound.
    pub async fn serve(
        &self,
        listen: SocketAddr,
        shutdown: Shutdown,
    ) -> Result<SocketAddr, BindError> {
        let bound = http_server::bind("admin", listen).await?;
        let address = bound.address();
        let leadership = Leadership::unlimited();
        let status_page = StatusPage::new(self.history.clone(), leadership, shutdown.clone());
        // No control loop replies.
        let (events, _) = mpsc::channel(1);
        let pages = AggregatorPages {
            events,
            status_page,
        };
        let admin = Admin::new(Readiness::default(), Registry::default(), pages);
        tokio::spawn(bound.serve(Limits::default(), admin, shutdown));
        Ok(address)
    }
}
