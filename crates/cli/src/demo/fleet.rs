//! The servers and their sidecars: as many as are wanted.

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

use super::error::DemoError;
use super::server::{Server, Servers};
use super::world::{NAMESPACE, Wanted, watch_id};

/// Between the moment when a server gets no more requests and its end: what is in its queue is answered. A cluster
/// does this with a preStop hook.
const DRAIN: Duration = Duration::from_secs(2);

/// Keeps as many servers as are wanted.
pub(crate) struct Fleet {
    servers: Servers,
    aggregator: SocketAddr,
    events: mpsc::Sender<Event>,
    ready: watch::Sender<Vec<SocketAddr>>,
    wanted: watch::Receiver<Wanted>,
}

/// One running member, told to go by its stop.
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
        wanted: watch::Receiver<Wanted>,
    ) -> Self {
        Self {
            servers,
            aggregator,
            events,
            ready,
            wanted,
        }
    }

    /// Runs until `stop`, then ends all servers.
    pub(crate) async fn run(mut self, stop: Shutdown) {
        let mut members: Vec<Member> = Vec::new();
        let mut lives = JoinSet::new();
        let mut number = 0;
        loop {
            let Wanted { servers, first } = self.wanted.borrow_and_update().clone();
            let wanted = servers as usize;
            // The youngest go first, as a ReplicaSet has it, after those that were told to.
            members.sort_by_key(|member| first.contains(&member.name));
            for member in members.drain(wanted.min(members.len())..) {
                member.stop.cancel();
            }
            while members.len() < wanted {
                let life = Life {
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
                    name: life.name.clone(),
                    stop: stop.clone(),
                });
                lives.spawn(life.live(self.servers.clone(), stop));
            }
            tokio::select! {
                changed = self.wanted.changed() => if changed.is_err() { break },
                () = stop.cancelled() => break,
            }
        }
        for member in &members {
            member.stop.cancel();
        }
        while lives.join_next().await.is_some() {}
    }
}

/// One pod's life.
struct Life {
    name: String,
    deletion: DeletionFacts,
    aggregator: SocketAddr,
    events: mpsc::Sender<Event>,
    ready: watch::Sender<Vec<SocketAddr>>,
}

impl Life {
    async fn live(self, servers: Servers, stop: Shutdown) {
        self.tell(Phase::Pending, false, false).await;
        if let Err(error) = self.serve(&servers, stop).await {
            println!("  {}: {}", self.name, chain(&error));
        }
        let gone = Event::PodDeleted {
            watch: watch_id(),
            uid: self.uid(),
        };
        // The loop may have ended before its pods.
        self.events.send(gone).await.ok();
    }

    async fn serve(&self, servers: &Servers, stop: Shutdown) -> Result<(), DemoError> {
        let mut server = servers.start()?;
        self.tell(Phase::Running, false, false).await;
        let sidecar_stop = Shutdown::new();
        let sidecar = pushscale_sidecar::bind(self.sidecar_config(&server)?).await?;
        let sidecar = tokio::spawn(sidecar.run(sidecar_stop.clone()));

        let address = server.addresses().inference;
        let became_ready = tokio::select! {
            outcome = server.ready() => { outcome?; true }
            () = stop.cancelled() => false,
        };
        if became_ready {
            self.tell(Phase::Running, true, false).await;
            self.ready.send_modify(|ready| ready.push(address));
            stop.cancelled().await;
            self.ready
                .send_modify(|ready| ready.retain(|known| *known != address));
            self.tell(Phase::Running, true, true).await;
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

    async fn tell(&self, phase: Phase, ready: bool, deleting: bool) {
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
        Settings::from_pairs(pushscale_sidecar::PREFIX, pairs)
            .and_then(pushscale_sidecar::Config::from_settings)
            .map_err(|mistakes| DemoError::settings(&mistakes))
    }
}
