//! Runs a simulation second by second.

use std::collections::BTreeMap;

use rand::RngExt as _;
use rand_distr::{Distribution as _, Poisson};

use crate::control::Controller;
use crate::quantity::to_u32_saturating;
use crate::traffic::Traffic;

use super::cost::{node_hours, reversals};
use super::fleet::Fleet;
use super::job::Job;
use super::metrics::Metrics;
use super::outcome::{Change, Outcome, Second};
use super::random::Streams;
use super::retries::Retries;
use super::router::{Choice, Router};
use super::service_times::ServiceTimes;
use super::spec::ClusterSpec;
use super::view::{PodState, PodView, ServerHealth, View};

/// Simulates a cluster under a controller. The same seed gives the same result, and the same load for every controller.
pub fn simulate(spec: &ClusterSpec, controller: &mut dyn Controller, seed: u64) -> Outcome {
    simulate_watched(spec, controller, seed, &|_| {})
}

/// Like [`simulate`], and calls `watch` after every simulated minute.
pub fn simulate_watched(
    spec: &ClusterSpec,
    controller: &mut dyn Controller,
    seed: u64,
    watch: &dyn Fn(usize),
) -> Outcome {
    let mut run = Run::new(spec, seed);
    for second in 0..spec.traffic.seconds() {
        run.simulate_second(second);
        run.apply_controller_decision(second + 1, controller);
        if (second + 1).is_multiple_of(60) {
            watch(60);
        }
    }
    run.finish()
}

struct Run<'a> {
    spec: &'a ClusterSpec,
    streams: Streams,
    fleet: Fleet,
    metrics: Metrics,
    service_times: ServiceTimes,
    replicas: u32,
    router: Router,
    retries: Retries,
    arrived: u64,
    rejected: u64,
    lost: u64,
    /// The pods of each second, including starting and terminating ones.
    pods: Vec<u32>,
    largest: u32,
    sizes: Vec<(u32, u32)>,
    history: Vec<Change>,
    // Buffers that are reused every second.
    times: Vec<f64>,
    arrivals: Vec<Job>,
    ready: Vec<usize>,
    views: Vec<PodView>,
}

impl<'a> Run<'a> {
    fn new(spec: &'a ClusterSpec, seed: u64) -> Self {
        let mut streams = Streams::from_seed(seed);
        let fleet = Fleet::new(spec, &mut streams.pods);
        Self {
            spec,
            fleet,
            streams,
            metrics: Metrics::new(spec.traffic.seconds(), spec.objective()),
            service_times: ServiceTimes::new(spec.cv, spec.pareto, spec.long_requests),
            replicas: spec.pods,
            router: Router::new(spec),
            retries: Retries::new(spec.clients.retries),
            arrived: 0,
            rejected: 0,
            lost: 0,
            pods: Vec::with_capacity(spec.traffic.seconds()),
            largest: spec.pods,
            sizes: Vec::with_capacity(spec.traffic.seconds()),
            history: Vec::new(),
            times: Vec::new(),
            arrivals: Vec::new(),
            ready: Vec::new(),
            views: Vec::new(),
        }
    }

    /// Simulates the time between `second` and the next one.
    fn simulate_second(&mut self, second: usize) {
        let now = second as f64;
        let random = &mut self.streams.faults;
        self.fleet.apply_faults(&self.spec.faults, second, random);
        // New pods replace those that died.
        let random = &mut self.streams.pods;
        self.fleet
            .scale_to(self.replicas, self.spec, now, random, |_| 0);
        self.fleet
            .roll_out(self.replicas, self.spec, second, random);
        self.fleet.mark_ready(now);
        if let Some(timeout) = self.spec.clients.timeout {
            self.fleet.time_out(now, timeout);
        }
        for job in self.fleet.lost.drain(..) {
            if !self.retries.add(job, now) {
                self.lost += 1;
                self.metrics.failed(&job);
            }
        }
        self.route_arrivals(second);
        for pod in &mut self.fleet.pods {
            pod.advance_to(now + 1.0, &mut self.metrics);
        }
    }

    fn route_arrivals(&mut self, second: usize) {
        self.draw_arrivals(second);
        self.ready.clear();
        let pods = &mut self.fleet.pods;
        self.ready
            .extend((0..pods.len()).filter(|index| pods[*index].state == PodState::Ready));
        let arrivals = std::mem::take(&mut self.arrivals);
        self.arrived += arrivals.len() as u64;
        for job in arrivals.iter().copied() {
            let pods = &mut self.fleet.pods;
            let metrics = &mut self.metrics;
            let choice = Choice {
                ready: &self.ready,
                at: job.arrived,
                balancer: job.balancer,
            };
            let random = &mut self.streams.balancing;
            let chosen = self.router.route(self.spec, pods, choice, random, metrics);
            let taken = chosen.is_some_and(|index| {
                let pod = &mut pods[index];
                pod.advance_to(job.arrived, metrics);
                pod.receive(job.arrived, job, self.spec.queue)
            });
            if !taken && !self.retries.add(job, job.arrived) {
                self.rejected += 1;
                self.metrics.failed(&job);
            }
        }
        // The buffer is reused.
        self.arrivals = arrivals;
    }

    /// Draws the requests that arrive in this second, in order of arrival.
    fn draw_arrivals(&mut self, second: usize) {
        let count = self.draw_count(second);
        let burst = arriving(
            self.spec.burst_requests(second),
            self.spec.arriving_share(second),
        );
        self.metrics.arrived(second, count.saturating_add(burst));
        let now = second as f64;
        let random = &mut self.streams.arrivals;
        self.times.clear();
        self.times.extend((0..burst).map(|_| now));
        self.times
            .extend((0..count).map(|_| now + random.random::<f64>()));
        self.times.sort_unstable_by(f64::total_cmp);
        let mean = self.spec.service * self.spec.service_time_factor(second);
        let service_times = self.service_times;
        let Streams {
            services, clients, ..
        } = &mut self.streams;
        let share = self.spec.clients.grpc_share.at(second);
        self.arrivals.clear();
        self.arrivals.extend(self.times.iter().map(|at| Job {
            sent: *at,
            arrived: *at,
            service: mean * service_times.draw(services),
            timed: share == 0.0 || clients.random::<f64>() >= share,
            balancer: Router::balancer(self.spec, clients),
            failures: 0,
            abandoned: false,
        }));
        if self.retries.take_due(now + 1.0, &mut self.arrivals) {
            self.arrivals
                .sort_by(|one, other| one.arrived.total_cmp(&other.arrived));
        }
    }

    fn draw_count(&mut self, second: usize) -> u32 {
        let share = self.spec.arriving_share(second);
        match &self.spec.traffic {
            Traffic::Counts(counts) => {
                arriving(counts.get(second).copied().unwrap_or_default(), share)
            }
            Traffic::Rates(rates) => {
                let load = share * rates.get(second).copied().unwrap_or_default();
                let rate = self.spec.clients.think_time.map_or(load, |think_time| {
                    let sent = self.fleet.awaited() + self.retries.waiting();
                    (load - sent as f64).max(0.0) / think_time
                });
                // `Poisson` rejects a rate of 0, which has no arrivals.
                let drawn =
                    Poisson::new(rate).map(|poisson| poisson.sample(&mut self.streams.arrivals));
                to_u32_saturating(drawn.unwrap_or_default())
            }
        }
    }

    /// Shows the controller the completed second, and applies its decision.
    fn apply_controller_decision(&mut self, over: usize, controller: &mut dyn Controller) {
        let silent = self.publish_readings(over);
        let view = View {
            second: over,
            pods: &self.views,
            replicas: self.replicas,
            arrived: self.arrived,
            silent,
            goal: self.spec.goal,
            workers: self.spec.workers,
            queue: self.spec.queue,
            batching: self.spec.batching,
            scrape_interval: self.spec.scrape_interval,
            deletion: self.spec.deletion,
        };
        let desired = controller.decide(&view);
        self.fleet.remove_drained();
        if let Some(desired) = desired.filter(|desired| *desired != self.replicas) {
            self.history.push(Change {
                second: over,
                from: self.replicas,
                to: desired,
                why: controller.explain(),
            });
            self.largest = self.largest.max(desired);
            let random = &mut self.streams.pods;
            let costs: BTreeMap<u64, u32> = if desired < self.replicas {
                let ready = self.views.iter();
                ready
                    .map(|pod| (pod.id, controller.deletion_cost(pod)))
                    .collect()
            } else {
                BTreeMap::new()
            };
            self.replicas = desired;
            let cost = |pod| costs.get(&pod).copied().unwrap_or(u32::MAX);
            self.fleet
                .scale_to(desired, self.spec, over as f64, random, cost);
        }
        let pods = u32::try_from(self.fleet.pods.len()).unwrap_or(u32::MAX);
        self.pods.push(pods);
        let ready = self.fleet.pods.iter();
        let ready = ready.filter(|pod| pod.state == PodState::Ready).count();
        self.sizes
            .push((self.replicas, u32::try_from(ready).unwrap_or(u32::MAX)));
    }

    /// Updates the readings of all pods that report. Returns whether no pod reports.
    fn publish_readings(&mut self, over: usize) -> bool {
        let gaps = self.spec.gaps.iter();
        let share = gaps
            .filter(|gap| gap.when.contains(&over))
            .map(|gap| gap.share)
            .fold(0.0, f64::max);
        let service_time_factor = self.spec.service_time_factor(over - 1);
        self.views.clear();
        for pod in &mut self.fleet.pods {
            // The same pods do not report during the whole gap.
            let reports = pod.state != PodState::Starting && PodView::position(pod.id) >= share;
            // The fault ends with this second.
            if matches!(pod.health, ServerHealth::Frozen(until) if until <= over as f64) {
                pod.health = ServerHealth::Ready;
            }
            let has_pushed = reports && pod.health == ServerHealth::Ready;
            if has_pushed {
                pod.publish_reading();
            }
            self.views.push(PodView {
                id: pod.id,
                state: pod.state,
                reading: pod.reading,
                has_pushed,
                health: if reports {
                    pod.health
                } else {
                    ServerHealth::Ready
                },
                sidecar_restarts: pod.sidecar_restarts,
                service: self.spec.service * service_time_factor / pod.speed,
            });
        }
        share >= 1.0
    }

    fn finish(mut self) -> Outcome {
        let mut in_system = self.retries.waiting() as u64;
        self.metrics.close();
        for pod in &mut self.fleet.pods {
            in_system += pod.awaited() as u64;
            pod.advance_to(f64::MAX, &mut self.metrics);
        }
        let metrics = &self.metrics;
        let seconds: Vec<Second> = metrics
            .seconds()
            .iter()
            .zip(&self.sizes)
            .map(|(requests, (desired, ready))| Second {
                arrivals: requests.arrived,
                mean_wait: requests.mean_wait(),
                violated: requests.violated(metrics.limit()),
                desired: *desired,
                ready: *ready,
            })
            .collect();
        let violated = seconds.iter().filter(|second| second.violated).count();
        let arrivals: u64 = seconds
            .iter()
            .map(|second| u64::from(second.arrivals))
            .sum();
        let bad = metrics.late + self.rejected + self.lost;
        let pod_seconds: u64 = self.pods.iter().map(|pods| u64::from(*pods)).sum();
        let p95_wait = metrics.quantile(0.95);
        Outcome {
            violation_seconds: u32::try_from(violated).unwrap_or(u32::MAX),
            bad_percent: 100.0 * bad as f64 / arrivals.max(1) as f64,
            mean_wait: metrics.total_wait / metrics.waits_known().max(1) as f64,
            p95_wait,
            p95_over_target: p95_wait / self.spec.objective(),
            p99_wait: metrics.quantile(0.99),
            settled_p95_wait: metrics.settled_quantile(0.95),
            settled_p99_wait: metrics.settled_quantile(0.99),
            arrivals,
            completed: metrics.completed,
            rejected: self.rejected,
            lost: self.lost,
            retries: self.retries.count,
            in_system,
            pod_hours: pod_seconds as f64 / 3600.0,
            node_hours: node_hours(&self.pods),
            changes: u32::try_from(self.history.len()).unwrap_or(u32::MAX),
            reversals: reversals(&self.history),
            starts: self.fleet.starts,
            largest: self.largest,
            largest_over_need: f64::from(self.largest) / f64::from(self.spec.need()),
            seconds,
            history: self.history,
        }
    }
}

/// Returns how many requests arrive during an outage that lets this share of them through.
fn arriving(requests: u32, share: f64) -> u32 {
    to_u32_saturating((f64::from(requests) * share).round())
}
