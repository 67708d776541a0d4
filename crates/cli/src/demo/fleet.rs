//! The servers and their sidecars, one pair for each desired pod.

use std::net::SocketAddr;
use std::time::Duration;

use jiff::Timestamp;
use pushscale_aggregator::{CostOwner, DeletionFacts, Event};
use pushscale_daemon::config::Settings;
use pushscale_daemon::error::chain;
use pushscale_daemon::shutdown::Shutdown;
use pushscale_decision::{Phase, Pod, PodUid};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::backend::{Desired, NAMESPACE, watch_id};
use super::error::DemoError;
use super::server::{Server, Servers};

/// How long a server that gets no more requests keeps running to finish its queue. A cluster does this with a preStop
/// hook.
const DRAIN: Duration = Duration::from_secs(2);

/// Keeps the desired number of servers running.
pub(crate) struct Fleet {
    servers: Servers,
    aggregator: SocketAddr,
    events: mpsc::Sender<Event>,
    ready: watch::Sender<Vec<SocketAddr>>,
    desired: watch::Receiver<Desired>,
}

/// One running member and the handle that shuts it down.
struct Member {
    name: String,
    stop: Shutdown,
}

impl Fleet {
    pub(crate) fn new(
        servers: Servers,
        aggregator: SocketAddr,
        events: mpsc::Sender<Event>,
        ready: watch::Sender<Vec<SocketAddr>>,
        desired: watch::Receiver<Desired>,
    ) -> Self {
        Self {
            servers,
            aggregator,
            events,
            ready,
            desired,
        }
    }

    /// Runs until `stop`, then shuts down all servers.
    pub(crate) async fn run(mut self, stop: Shutdown) {
        let mut members: Vec<Member> = Vec::new();
        let mut pods = JoinSet::new();
        let mut number = 0;
        loop {
            let Desired {
                servers,
                stop_first,
            } = self.desired.borrow_and_update().clone();
            let desired = servers as usize;
            // Marked ones stop first, then the youngest, as in a ReplicaSet.
            members.sort_by_key(|member| stop_first.contains(&member.name));
            for member in members.drain(desired.min(members.len())..) {
                member.stop.cancel();
            }
            while members.len() < desired {
                let pod = RunningPod {
                    name: format!("torchserve-{number}"),
                    deletion: DeletionFacts {
                        created: Some(Timestamp::now()),
                        honours_cost: true,
                        cost_owner: CostOwner::None,
                    },
                    aggregator: self.aggregator,
                    events: self.events.clone(),
                    ready: self.ready.clone(),
                };
                number += 1;
                let stop = Shutdown::new();
                members.push(Member {
                    name: pod.name.clone(),
                    stop: stop.clone(),
                });
                pods.spawn(pod.run(self.servers.clone(), stop));
            }
            tokio::select! {
                changed = self.desired.changed() => if changed.is_err() { break },
                () = stop.cancelled() => break,
            }
        }
        for member in &members {
            member.stop.cancel();
        }
        while pods.join_next().await.is_some() {}
    }
}

/// One pod, from its start to its end.
struct RunningPod {
    name: String,
    deletion: DeletionFacts,
    aggregator: SocketAddr,
    events: mpsc::Sender<Event>,
    ready: watch::Sender<Vec<SocketAddr>>,
}

impl RunningPod {
    async fn run(self, servers: Servers, stop: Shutdown) {
        self.send_pod(Phase::Pending, false, false).await;
        if let Err(error) = self.serve(&servers, stop).await {
            println!("  {}: {}", self.name, chain(&error));
        }
        let deleted = Event::PodDeleted {
            watch: watch_id(),
            uid: self.uid(),
        };
        // The control loop may have ended before.
        self.events.send(deleted).await.ok();
    }

    async fn serve(&self, servers: &Servers, stop: Shutdown) -> Result<(), DemoError> {
        let mut server = servers.start()?;
        self.send_pod(Phase::Running, false, false).await;
        let sidecar_stop = Shutdown::new();
        let sidecar = pushscale_sidecar::bind(self.sidecar_config(&server)?).await?;
        let sidecar = tokio::spawn(sidecar.run(sidecar_stop.clone()));

        let address = server.addresses().inference;
        let became_ready = tokio::select! {
            outcome = server.ready() => { outcome?; true }
            () = stop.cancelled() => false,
        };
        if became_ready {
            self.send_pod(Phase::Running, true, false).await;
            self.ready.send_modify(|ready| ready.push(address));
            stop.cancelled().await;
            self.ready
                .send_modify(|ready| ready.retain(|known| *known != address));
            self.send_pod(Phase::Running, true, true).await;
            tokio::time::sleep(DRAIN).await;
        }
        sidecar_stop.cancel();
        if let Ok(outcome) = sidecar.await {
            outcome?;
        }
        server.stop().await
    }

    fn uid(&self) -> PodUid {
        format!("{}-uid", self.name).into()
    }

    async fn send_pod(&self, phase: Phase, ready: bool, deleting: bool) {
        let pod = Pod {
            name: self.name.as_str().into(),
            phase,
            ready,
            terminating: deleting,
        };
        let applied = Event::PodApplied {
            watch: watch_id(),
            uid: self.uid(),
            pod,
            deletion: self.deletion.clone(),
        };
        self.events.send(applied).await.ok();
    }

    fn sidecar_config(&self, server: &Server) -> Result<pushscale_sidecar::Config, DemoError> {
        let ports = server.addresses();
        let metrics = format!("http://{}", ports.metrics);
        let management = format!("http://{}", ports.management);
        let aggregator = self.aggregator.to_string();
        let uid = self.uid();
        let pairs = [
            ("PUSHSCALE_SIDECAR_AGGREGATOR", aggregator.as_str()),
            ("PUSHSCALE_SIDECAR_POD_NAMESPACE", NAMESPACE),
            ("PUSHSCALE_SIDECAR_POD_NAME", self.name.as_str()),
            ("PUSHSCALE_SIDECAR_POD_UID", uid.as_str()),
            ("PUSHSCALE_SIDECAR_METRICS_URL", metrics.as_str()),
            ("PUSHSCALE_SIDECAR_MANAGEMENT_URL", management.as_str()),
            ("PUSHSCALE_SIDECAR_LISTEN", "127.0.0.1:0"),
        ];
        Settings::from_pairs(&pushscale_sidecar::PROGRAM, pairs)
            .and_then(pushscale_sidecar::Config::from_settings)
            .map_err(|errors| DemoError::settings(&errors))
    }
}
