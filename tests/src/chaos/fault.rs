//! The faults.

use std::time::Duration;

use super::attack::Attack;
use super::bystanders::Bystanders;
use super::harness::Harness;
use super::port::HonestClients;
use super::proxy::Network;
use super::pushes::Models;

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
    /// The PushScaler is deleted and created again while both aggregators cannot see it, and their watches cannot
    /// continue where they were: 410 Gone.
    Relisted,
    /// Another target is set while the leader writes, and then the first one again.
    Retargeted,
    /// The API server rejects every read of the replicas.
    ReadsDenied(Duration),
    /// Thousands of HPAs of other targets change every 15 s.
    ForeignHpas(Duration),
    /// Hundreds of clients send a byte now and then to every port of every program, and never a whole request.
    SlowClients(Duration),
    /// Hundreds of clients send invalid requests, and hang up.
    InvalidRequests(Duration),
    /// Hundreds of clients send a forged token each, and hang up before it is reviewed.
    ForgedTokens(Duration),
    /// Every pod reports as many models as it can, with long names.
    ManyModels(Duration),
    /// Every pod reports 20 models whose names change with each push.
    ChangingModels(Duration),
    /// The wall clock of one aggregator is ten minutes ahead while it follows and while it leads. Then it is killed.
    ClockAhead,
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
        Fault::Relisted,
        Fault::Retargeted,
        Fault::ReadsDenied(long),
        Fault::ForeignHpas(long),
        Fault::SlowClients(long),
        Fault::InvalidRequests(long),
        Fault::ForgedTokens(long),
        Fault::ManyModels(long),
        Fault::ChangingModels(long),
        Fault::ClockAhead,
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
            Self::Relisted => "410 Gone, and the PushScaler created again before",
            Self::Retargeted => "another target during a write",
            Self::ReadsDenied(_) => "reads of the scale denied",
            Self::ForeignHpas(_) => "2,000 foreign HPAs that change",
            Self::SlowClients(_) => "600 slow clients on each port of all programs",
            Self::InvalidRequests(_) => "1,200 clients with invalid requests",
            Self::ForgedTokens(_) => "1,200 clients with forged tokens that hang up",
            Self::ManyModels(_) => "256 models with long names in each pod",
            Self::ChangingModels(_) => "20 models with new names in each push",
            Self::ClockAhead => "wall clock of one aggregator 10 minutes ahead",
        }
    }

    /// Begins the fault, and ends it. The load rises meanwhile, or afterwards if the fault takes no time.
    pub(super) async fn inject(self, harness: &mut Harness<'_>) {
        match self {
            Self::Unreachable(time) => harness.network(Network::Refuses, time).await,
            Self::PacketsLost(time) => harness.network(Network::Drops, time).await,
            Self::SlowNetwork(time) => {
                let late = Network::Delays(Duration::from_millis(300));
                harness.network(late, time).await;
            }
            Self::ConnectionsCut(time) => {
                let cuts = Network::Cuts(Duration::from_secs(1));
                harness.network(cuts, time).await;
            }
            Self::ResponsesLost(time) => harness.network(Network::LosesResponses, time).await,
            Self::ApiServerPaused(time) => {
                harness.cluster().pause("kube-apiserver").unwrap();
                harness.observe(time).await;
                harness.cluster().resume("kube-apiserver").unwrap();
            }
            Self::EtcdRestarted => harness.cluster().restart("etcd").unwrap(),
            Self::LeaderPartitioned(time) => harness.partition_leader(time).await,
            Self::LeaderKilled => harness.replace_leader("KILL").await,
            Self::LeaderKilledInWrite => {
                let leader = harness.leader().await;
                harness.set_network(leader, Network::LosesResponses);
                // The write, or the time for it.
                harness.observe(Duration::from_secs(3)).await;
                harness.replace(leader, "KILL").await;
            }
            Self::LeaderPaused(time) => {
                let leader = harness.leader().await;
                harness.signal(leader, "STOP");
                harness.observe(time).await;
                harness.signal(leader, "CONT");
            }
            Self::LeaderStopped => harness.replace_leader("TERM").await,
            Self::LeaseDeleted => harness.objects.delete_lease(),
            Self::ScaleDenied(time) => {
                harness.objects.deny_scale();
                harness.observe(time).await;
                harness.objects.allow_scale();
            }
            Self::SpecBroken(time) => {
                harness.objects.invalidate_spec();
                harness.observe(time).await;
                harness.objects.fix_spec();
            }
            Self::Recreated => harness.objects.recreate(),
            Self::Relisted => harness.relist().await,
            Self::Retargeted => harness.retarget_in_write().await,
            Self::ReadsDenied(time) => {
                harness.objects.deny_reads().await;
                harness.observe(time).await;
                harness.objects.permit_reads();
            }
            Self::ForeignHpas(time) => {
                let changes = harness.objects.change_hpas().await;
                harness.observe(time).await;
                harness.objects.delete_hpas(changes).await;
            }
            Self::SlowClients(time) => {
                let others = Bystanders::start(harness.cluster()).await;
                let ports = [harness.all_ports().await, others.ports().await].concat();
                let clients = HonestClients::start(&ports);
                let attack = Attack::slow(&ports);
                harness.observe_reports(self, time).await;
                clients.assert_served().await;
                drop(attack);
                others.end().await;
            }
            Self::InvalidRequests(time) => {
                let _attack = Attack::invalid(&harness.ports());
                harness.observe_reports(self, time).await;
            }
            Self::ForgedTokens(time) => {
                let uid = harness.pod_uid().await;
                let _attack = Attack::forged(&harness.push_ports(), &uid);
                harness.observe_reports(self, time).await;
            }
            Self::ManyModels(time) => {
                harness.set_models(Models::Many).await;
                harness.observe_reports(self, time).await;
                harness.set_models(Models::One).await;
            }
            Self::ChangingModels(time) => {
                harness.set_models(Models::Changing).await;
                harness.observe_reports(self, time).await;
                harness.set_models(Models::One).await;
            }
            Self::ClockAhead => harness.clock_ahead().await,
        }
    }

    /// Panics if the fault did not happen, as far as that shows afterwards.
    pub(super) async fn assert_happened(self, harness: &Harness<'_>) {
        match self {
            Self::Relisted => harness.assert_logged("too old resource version"),
            Self::ForgedTokens(_) => {
                let denied = "pushscale_aggregator_token_reviews_total{outcome=\"denied\"}";
                assert!(
                    harness.total(denied).await > 0,
                    "no forged token was reviewed"
                );
            }
            _ => {}
        }
    }
}
