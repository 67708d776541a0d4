//! Runs the scenarios of the queueing model in `testdata/model`: a policy, a fleet, events, and expectations.
//!
//! They are deterministic, unlike those of `docs/SIMULATING.md`.
//!
//! ```text
//! # The reason for the case.
//! policy target=50ms min=1 max=20 [algorithm=ratio] [start=60s] [hold=60s] [fallback=60s/3]
//!        [mode=recommend|off] [pause=up|down] [disabled=up|down] [down=1/300s] [balancing=least-request]
//!        [aggregate=p50…p99] [service=100ms] [workers=4] [scheduled=5]
//! pods 4
//! run 300s load=100/s [service=100ms] [workers=4] [not-reporting=1|all] [frozen=…] [empty=…] [refused=…] [warming=…]
//!          [deleting=1] [stuck] [broken] [crashed=2] [uncounted] [batch=4/200ms] [batch-item=9ms] [grpc=50%]
//!          [averaged] [slow=3/2] [connected=4] [favoured=50%] [second-model=20/s/100ms|none] [interval=10s]
//!          [loading=20s] [without-workers=1] [queue-limit=5] [delayed=20ms]
//! expect replicas=4 [never-below=4] [never-above=9] [writes=0] ["part of the explanation"]
//! expect condition=Stuck=True
//! expect deleted-first=pod-0001
//! expect lacks=maxReplicas             the explanation does not contain this word
//! restart            the aggregator restarts
//! restart-sidecars 2 the sidecars of the two oldest pods restart, their servers do not
//! scale 9            another client scales the target
//! deletes-slow-first false     as with a StatefulSet
//! ```
//!
//! `slow=3/2`: three pods take twice as long, or complete nothing with `3/inf`. `connected=4`: only the four oldest
//! pods get requests. `favoured=50%`: the oldest pod gets half of the requests.
//! `second-model=20/s/100ms`: a second model in every pod; with 0s, its requests are not timed.
//! `loading=20s`: a new pod is ready 20 s before it has workers. `without-workers=1`: the workers of a pod have died.
//! `batch=4/200ms`: batches of up to four requests, for which the server waits 200 ms. `batch-item=9ms`: each further
//! request of a batch takes 9 ms. `workers` counts requests in parallel: two workers with a batch size of 4 are 8.
//! `averaged`: in-flight requests are reported as a mean, like those of TorchServe, and not only rounded.
//! `grpc=50%`: the server does not time half of the requests; it is set before the first request.
//! `interval=10s`: all pods report every 10 s, at the same time.
//! `queue-limit=5`: five requests may wait in a pod. `delayed=20ms`: each request waits that long although a worker is
//! free.
//! `load`, `service`, `workers`, `batch`, `batch-item`, `grpc`, `slow`, `second-model`, `interval`, `queue-limit` and
//! `delayed` apply until another `run` changes them; the other options apply to one `run`. `never-…` and `writes` count
//! since the last `expect`.
//! `PUSHSCALE_GENERATE=1` prints the decision after each line.

#![cfg(test)]

#[path = "support/fake_fleet.rs"]
mod fake_fleet;
#[path = "../../daemon/tests/support/golden.rs"]
mod golden;
#[path = "support/scenario.rs"]
mod scenario;

use std::{env, fs};

use scenario::Scenario;

#[test]
fn the_queue_model_meets_the_expectations_of_all_scenarios() {
    let mut wrong = Vec::new();
    for file in golden::files("testdata/model", "", 20) {
        let text = fs::read_to_string(&file).unwrap();
        if let Err(problem) = run(&text) {
            wrong.push(format!("{}:{problem}", file.display()));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

fn run(text: &str) -> Result<(), String> {
    let mut scenario = Scenario::default();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        scenario
            .line(line)
            .map_err(|what| format!("{}: {what}: {line}", number + 1))?;
        if let Some(fleet) = &scenario.fleet
            && env::var_os("PUSHSCALE_GENERATE").is_some()
        {
            println!(
                "{line}\n    {} s, {} replicas: {}",
                fleet.second - 1000,
                fleet.replicas,
                fleet.last()
            );
        }
    }
    Ok(())
}
