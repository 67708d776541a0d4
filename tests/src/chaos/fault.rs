//! The faults.

use std::time::Duration;

use super::attack::Attack;
use super::proxy::Network;
use super::world::World;

/// A fault of the cluster.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// The API server cannot be reached by either aggregator.
    Unreachable(Duration),
    /// Packets of both aggregators to and from the API server are lost.
    PacketsLost(Duration),
    /// Each chunk of data is late.
    SlowNetwork(Duration),
    /// Connections to the API server end within a second.
    ConnectionsCut(Duration),
    /// Requests arrive, but no response does.
    ResponsesLost(Duration),
    /// The process of the API server is paused.
    ApiServerPaused(Duration),
    /// etcd restarts.
    EtcdRestarted,
    /// Only the leader loses the API server, longer than its Lease.
    LeaderPartitioned(Duration),
    /// The leader is killed at once.
    LeaderKilled,
    /// The leader is killed while the response to its write is lost.
    LeaderKilledInWrite,
    /// The leader is paused for longer than its Lease, and continues.
    LeaderPaused(Duration),
    /// The leader is stopped as by a rollout.
    LeaderStopped,
    /// The Lease is deleted.
    LeaseDeleted,
    /// An admission policy rejects every change of the replicas.
    ScaleDenied(Duration),
    /// The PushScaler becomes invalid, and valid again.
    SpecBroken(Duration),
    /// The PushScaler is deleted and created again at once.
    Recreated,
    /// HPAs of other targets change all the time.
    ForeignHpas(Duration),
    /// Hundreds of clients send requests that never end to every port.
    SlowClients(Duration),
    /// Hundreds of clients send invalid requests, and hang up.
    InvalidRequests(Duration),
}

/// All faults. An outage is longer than every timeout.
pub fn faults() -> Vec<Fault> {
    let outage = Duration::from_secs(60);
    let long = Duration::from_secs(20);
    vec![
        Fault::Unreachable(outage),
        Fault::PacketsLost(outage),
        Fault::ApiServerPaused(outage),
        Fault::SlowNetwork(long),
        Fault::ConnectionsCut(long),
        Fault::ResponsesLost(long),
        Fault::EtcdRestarted,
        Fault::LeaderPartitioned(long),
        Fault::LeaderKilled,
        Fault::LeaderKilledInWrite,
        Fault::LeaderPaused(long),
        Fault::LeaderStopped,
        Fault::LeaseDeleted,
        Fault::ScaleDenied(long),
        Fault::SpecBroken(long),
        Fault::Recreated,
        Fault::ForeignHpas(long),
        Fault::SlowClients(long),
        Fault::InvalidRequests(long),
    ]
}

/// The faults of the short form: one of each kind.
pub fn short_faults() -> Vec<Fault> {
    let short = Duration::from_secs(4);
    vec![
        Fault::ResponsesLost(short),
        Fault::ScaleDenied(short),
        Fault::Recreated,
        Fault::LeaseDeleted,
        Fault::LeaderPartitioned(Duration::from_secs(15)),
        Fault::LeaderKilledInWrite,
    ]
}

impl Fault {
    /// The name in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unreachable(_) => "API server unreachable",
            Self::PacketsLost(_) => "packets to and from the API server lost",
            Self::SlowNetwork(_) => "300 ms more for each chunk of data",
            Self::ConnectionsCut(_) => "connections to the API server cut within 1 s",
            Self::ResponsesLost(_) => "responses of the API server lost",
            Self::ApiServerPaused(_) => "API server paused",
            Self::EtcdRestarted => "etcd restarts",
            Self::LeaderPartitioned(_) => "only the leader loses the API server",
            Self::LeaderKilled => "leader killed",
            Self::LeaderKilledInWrite => "leader killed in a write",
            Self::LeaderPaused(_) => "leader paused past its Lease",
            Self::LeaderStopped => "leader stopped (SIGTERM)",
            Self::LeaseDeleted => "Lease deleted",
            Self::ScaleDenied(_) => "admission rejects the scale",
            Self::SpecBroken(_) => "PushScaler invalid for a while",
            Self::Recreated => "PushScaler deleted and created again",
            Self::ForeignHpas(_) => "100 foreign HPAs that change",
            Self::SlowClients(_) => "1,200 slow clients on each aggregator",
            Self::InvalidRequests(_) => "1,200 clients with invalid requests",
        }
    }

    /// Begins the fault, and ends it. The load rises meanwhile, or afterwards if the fault takes no time.
    pub(super) async fn happen(self, world: &mut World<'_>) {
        match self {
            Self::Unreachable(time) => world.network(Network::Refuses, time).await,
            Self::PacketsLost(time) => world.network(Network::Drops, time).await,
            Self::SlowNetwork(time) => {
                let late = Network::Delays(Duration::from_millis(300));
                world.network(late, time).await;
            }
            Self::ConnectionsCut(time) => {
                let cuts = Network::Cuts(Duration::from_secs(1));
                world.network(cuts, time).await;
            }
            Self::ResponsesLost(time) => world.network(Network::LosesResponses, time).await,
            Self::ApiServerPaused(time) => {
                world.cluster().pause("kube-apiserver").unwrap();
                world.observe(time).await;
                world.cluster().resume("kube-apiserver").unwrap();
            }
            Self::EtcdRestarted => world.cluster().restart("etcd").unwrap(),
            Self::LeaderPartitioned(time) => world.partition_leader(time).await,
            Self::LeaderKilled => world.replace_leader("KILL").await,
            Self::LeaderKilledInWrite => {
                let leader = world.leader().await;
                world.set_network(leader, Network::LosesResponses);
                // The write, or the time for it.
                world.observe(Duration::from_secs(3)).await;
                world.replace(leader, "KILL").await;
            }
            Self::LeaderPaused(time) => {
                let leader = world.leader().await;
                world.signal(leader, "STOP");
                world.observe(time).await;
                world.signal(leader, "CONT");
            }
            Self::LeaderStopped => world.replace_leader("TERM").await,
            Self::LeaseDeleted => world.delete_lease(),
            Self::ScaleDenied(time) => {
                world.deny_scale();
                world.observe(time).await;
                world.allow_scale();
            }
            Self::SpecBroken(time) => {
                world.break_spec();
                world.observe(time).await;
                world.mend_spec();
            }
            Self::Recreated => world.recreate(),
            Self::ForeignHpas(time) => world.foreign_hpas(time).await,
            Self::SlowClients(time) => {
                let _attack = Attack::slow(&world.ports());
                world.observe(time).await;
            }
            Self::InvalidRequests(time) => {
                let _attack = Attack::invalid(&world.ports());
                world.observe(time).await;
            }
        }
    }
}
