//! Runs the scenarios of the ratio rule in `testdata/ratio`: a policy, then observations with the expected decision.
//!
//! ```text
//! # The reason for the case.
//! policy target=100ms min=1 max=20 [tolerance=0.1] [window=300s] [hpa-compatibility=exact]
//!        [behavior-up=100%/15s,4/15s] [behavior-down=off|1/60s] [up-window=0s]
//! at 0s  replicas=2  a=120ms b=90ms      hold   "within"
//! at 15s             a=400ms b=-         scale 4  "2 reporting"
//! ```
//!
//! A pod is `name=latency`, or `name=` with a state: `pending`, `deleting`, `failed`, `last-reading`, `frozen`,
//! `empty`, `refused`, `warming`, `no-samples`, or `-` for a running pod that does not report. Pods not named on a line
//! are deleted. `scale n` expects a write, which succeeds at once; `replicas=` is the change of another client.
//! `existing=` is the number of pods in the target's status, unknown otherwise. The explanation must contain the text
//! in quotes.

#![cfg(test)]

#[path = "support/alternatives.rs"]
mod alternatives;
#[path = "../../daemon/tests/support/golden.rs"]
mod golden;

use std::fs;
use std::time::Duration;

use pushscale_decision::{
    Amount, Behavior, Bounds, Conditions, HpaCompatibility, Latency, ModelReading, Moment, Outcome,
    Phase, Pod, PodUid, Policy, Reading, Scaler, ScalingPolicy, SelectPolicy, Selector,
    ServerState, TargetLatency, TargetState,
};

use alternatives::check_alternatives;

#[test]
fn the_ratio_rule_meets_the_expectations_of_all_scenarios() {
    for file in golden::files("testdata/ratio", "", 10) {
        let text = fs::read_to_string(&file).unwrap();
        run(&text).unwrap_or_else(|problem| panic!("{}:{problem}", file.display()));
    }
}

fn run(text: &str) -> Result<(), String> {
    let mut scaler: Option<Scaler> = None;
    let mut replicas = 0;
    let mut known: Vec<PodUid> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let fail = |what: &str| format!("{}: {what}: {line}", number + 1);
        if let Some(rest) = line.strip_prefix("policy ") {
            let policy = policy(rest).ok_or_else(|| fail("invalid policy"))?;
            match &mut scaler {
                Some(scaler) => scaler.set_policy(policy),
                None => scaler = Some(Scaler::new(policy, Conditions::default())),
            }
            continue;
        }
        let scaler = scaler.as_mut().ok_or_else(|| fail("no policy yet"))?;
        let (facts, quoted) = line.split_once('"').ok_or_else(|| fail("no quotes"))?;
        let quoted = quoted.trim_end_matches('"');
        let mut words = facts.split_whitespace();
        if words.next() != Some("at") {
            return Err(fail("expected policy or at"));
        }
        let now = words
            .next()
            .and_then(seconds)
            .ok_or_else(|| fail("expected a time"))?;
        let now = Moment::at(now);
        let mut expected = None;
        let mut existing = None;
        let mut listed = Vec::new();
        let mut words = words.peekable();
        while let Some(word) = words.next() {
            match word.split_once('=') {
                Some(("replicas", count)) => {
                    replicas = count.parse().map_err(|_| fail("expected a number"))?
                }
                Some(("existing", count)) => {
                    existing = Some(count.parse().map_err(|_| fail("expected a number"))?)
                }
                Some((pod, state)) => {
                    let uid = PodUid::from(pod);
                    report(scaler, now, pod, state).ok_or_else(|| fail("invalid pod"))?;
                    listed.push(uid);
                }
                None if word == "hold" => expected = Some(replicas),
                None if word == "scale" => {
                    let count = words.next().and_then(|count| count.parse().ok());
                    expected = Some(count.ok_or_else(|| fail("expected a number"))?);
                }
                None => return Err(fail("unknown word")),
            }
        }
        for deleted in known.iter().filter(|uid| !listed.contains(uid)) {
            scaler.remove_pod(deleted);
        }
        known = listed;
        let target = TargetState::Known {
            replicas,
            existing,
            selector: Selector::Usable,
            deletes_slow_first: true,
        };
        let decision = scaler.decide(now, &target).clone();
        check_alternatives(&decision);
        if let Outcome::Scale { from, to, .. } = decision.outcome {
            scaler.record_scale(now, from, to);
            replicas = to;
        }
        let explained = format!("{decision}; {}", decision.freshness);
        if Some(replicas) != expected {
            return Err(fail(&format!("decided {explained}")));
        }
        if !explained.contains(quoted) {
            return Err(fail(&format!("explained {explained}")));
        }
    }
    Ok(())
}

fn report(scaler: &mut Scaler, now: Moment, name: &str, word: &str) -> Option<()> {
    let uid = PodUid::from(name);
    let mut pod = Pod::running(name);
    let mut state = ServerState::Ready;
    let mut latency = None;
    let mut terminating = false;
    let mut reports = true;
    match word {
        "-" => reports = false,
        "pending" => {
            pod.phase = Phase::Pending;
            reports = false;
        }
        "failed" => pod.phase = Phase::Failed,
        "deleting" => pod.terminating = true,
        "last-reading" => terminating = true,
        "frozen" => state = ServerState::Frozen,
        "empty" => state = ServerState::Empty,
        "refused" => state = ServerState::Refused,
        "warming" => state = ServerState::WarmingUp,
        "no-samples" => state = ServerState::NoSamplesYet,
        value => latency = Some(Latency::from_secs_f64(seconds(value)?.as_secs_f64())?),
    }
    scaler.apply_pod(now, uid.clone(), pod);
    if reports {
        let reading = Reading {
            source: 1,
            sequence: u64::try_from(now.since_origin().as_millis()).ok()?,
            clock: now.since_origin(),
            fresh_for: Duration::from_secs(3),
            terminating,
            server: state,
            models: latency
                .map(|latency| ModelReading {
                    name: "m".to_owned(),
                    queue_latency: Some(latency),
                    ..ModelReading::default()
                })
                .into_iter()
                .collect(),
        };
        scaler.learn(now, &uid, now, &reading).ok()?;
    }
    Some(())
}

fn policy(words: &str) -> Option<Policy> {
    let mut target = None;
    let (mut min, mut max) = (1, 10);
    let mut hpa_flags = pushscale_decision::HpaFlags::default();
    let mut hpa_compatibility = HpaCompatibility::Guarded;
    let mut behavior: Option<Behavior> = None;
    for word in words.split_whitespace() {
        let (key, value) = word.split_once('=')?;
        match key {
            "target" => target = Some(Latency::from_secs_f64(seconds(value)?.as_secs_f64())?),
            "min" => min = value.parse().ok()?,
            "max" => max = value.parse().ok()?,
            "tolerance" => hpa_flags.tolerance = value.parse().ok()?,
            "window" => hpa_flags.downscale_stabilization = seconds(value)?,
            "hpa-compatibility" => {
                hpa_compatibility = (value == "exact").then_some(HpaCompatibility::Exact)?
            }
            "behavior-up" => {
                let rules = &mut behavior.get_or_insert_default().scale_up;
                if value == "off" {
                    rules.select_policy = SelectPolicy::Disabled;
                } else {
                    rules.policies = value.split(',').map(rate).collect::<Option<_>>()?;
                }
            }
            "behavior-down" => {
                let rules = &mut behavior.get_or_insert_default().scale_down;
                if value == "off" {
                    rules.select_policy = SelectPolicy::Disabled;
                } else {
                    rules.policies = value.split(',').map(rate).collect::<Option<_>>()?;
                }
            }
            "up-window" => {
                behavior
                    .get_or_insert_default()
                    .scale_up
                    .stabilization_window = Some(seconds(value)?)
            }
            _ => return None,
        }
    }
    Some(Policy {
        behavior,
        hpa_flags,
        hpa_compatibility,
        ..Policy::new(Bounds::new(min, max)?, TargetLatency::new(target?)?)
    })
}

fn rate(text: &str) -> Option<ScalingPolicy> {
    let (amount, period) = text.split_once('/')?;
    let amount = match amount.strip_suffix('%') {
        Some(percent) => Amount::Percent(percent.parse().ok()?),
        None => Amount::Pods(amount.parse().ok()?),
    };
    Some(ScalingPolicy {
        amount,
        period: seconds(period)?,
    })
}

fn seconds(text: &str) -> Option<Duration> {
    if let Some(millis) = text.strip_suffix("ms") {
        return Some(Duration::from_millis(millis.parse().ok()?));
    }
    Some(Duration::from_secs_f64(
        text.strip_suffix('s')?.parse().ok()?,
    ))
}
