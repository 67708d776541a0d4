//! The keys of a scenario.

/// One key of a scenario. The command line has an option of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// The name.
    pub name: &'static str,
    /// An example of a value.
    pub example: &'static str,
    /// The meaning and the default.
    pub meaning: &'static str,
}

/// One key per row: its name, an example of a value, and its meaning.
macro_rules! keys {
    ($($name:literal, $example:literal, $meaning:literal;)+) => {
        [$(Key { name: $name, example: $example, meaning: $meaning }),+]
    };
}

/// All keys of a scenario.
pub const KEYS: [Key; 41] = keys! {
    "name", "the load quadruples", "a title; default: the file's name";
    "load", "step:100->400@600", "the arrival rate per second, in the syntax of loads";
    "trace", "nasa.csv", "a recorded load; next to the scenario, or in a directory of traces";
    "skip", "36000", "seconds of the trace to skip; default 0";
    "seconds", "3600", "the duration; default: to the trace's end";
    "service", "100ms", "the mean service time of a request on one worker; default 100ms";
    "cv", "1", "the coefficient of variation of the service time (lognormal); 0 for constant; default 1";
    "pareto", "1.5 x1000",
        "the exponent of a Pareto distribution of the service time, and its maximum in means, in place of cv; default: \
         lognormal";
    "long-requests", "1% x100",
        "a share of the requests, and a factor on their service time, at the same mean; default: none";
    "workers", "4", "workers per pod; default 4";
    "batch", "8", "the maximum number of requests that a worker processes together (batchSize); default 1";
    "batch-delay", "50ms", "how long a worker waits for its batch to fill (maxBatchDelay); default 100ms";
    "batch-growth", "9ms", "what each request of a batch after the first adds to the service time; default 0";
    "queue", "1000",
        "maximum waiting requests per pod (job_queue_size); further ones get 503; default 100, as in TorchServe";
    "balancing", "random", "the load balancing: random, least-outstanding or two-choices; default random";
    "balancers", "3", "load balancers, each of which knows only its own requests; default 1";
    "connections", "400",
        "client connections that stay with their pod, as with keep-alive or gRPC; default 0, each request chooses a \
         pod";
    "grpc-share", "30%",
        "the share of gRPC requests, which TorchServe's latency counters omit, or how it changes: 0%@1200, 90%@6000; \
         default 0%";
    "retries", "2", "how often a client repeats a failed request, after 1 s, 2 s, 4 s and so on; default 0";
    "timeout", "5s",
        "the wait after which a client gives up on a request and repeats it like a failed one, while the pod still \
         processes it; default: none";
    "think-time", "5s",
        "how long each user waits between a response and the next request; the load is then the number of users; \
         default: the load is a rate";
    "contention", "0.5",
        "the share that each other busy worker of the pod adds to the service time, as on a shared GPU; default 0";
    "start-delay", "30s..120s",
        "the time from a pod's creation until it is ready, uniformly distributed or constant; default 30s..120s";
    "start-round", "60s",
        "pods created within this time after the first of a round become ready together with it, as on a new node; \
         default 0";
    "warm-up", "60s x3",
        "for how long after its start a new or restarted server takes longer for each batch, and the factor on the \
         service time; default: not at all";
    "speeds", "0.3", "the standard deviation of the logarithm of the pods' speeds; default 0";
    "deletion", "youngest",
        "the pods that a scale-down deletes first: cost (by deletion cost, as a ReplicaSet) or youngest (as a \
         StatefulSet); default cost";
    "pods", "5", "initial pods; default: enough for the first minute at 70% utilisation";
    "target", "50ms", "the target for the mean wait";
    "objective", "50ms",
        "the wait by which requests are judged, if it differs from the controller's target; default: the target";
    "pod-seconds-per-violation", "366",
        "the price of a second in which requests wait more than 4 times the target, for a fleet of one pod; default \
         366";
    "min", "1", "the minimum number of pods; default 1";
    "max", "80", "the maximum number of pods; default 80";
    "slow", "1200..2400x2", "the factor on the service time in these seconds; several separated by commas";
    "drop", "1500..1800",
        "no pod reports in these seconds, or a share does not: 1500..1800 30%; several separated by commas";
    "burst", "64@600/300",
        "64 requests at once in second 600 and every 300 s, or once: 64@600; several separated by commas";
    "outage", "1200..1800",
        "no request arrives in these seconds, or a share does not: 1200..1800 90%; several separated by commas";
    "fail", "die 2@600",
        "a number or share of ready pods fails: die, freeze, hang, slow, unready, crash-loop or crash-waves, its \
         sidecar restarts (restart-sidecars), or new ones are never-ready; several separated by commas";
    "rollout", "1200x2",
        "all pods are replaced from this second on, a quarter at a time, by pods with a factor on the service time; \
         1200: without one; several separated by commas";
    "scrape-interval", "10s",
        "whole seconds between two scrapes of a sidecar, at different times in each pod; default 1s";
    "start", "2026-01-05T08:00:00Z", "the start time, for schedules; default: that of the trace, if it has one";
};
