//! Leaves out each rule of the queueing model in turn, and prints what that costs or saves (docs/RULES.md).

use std::env;

use pushscale_decision::Rule;
use pushscale_simulator::cluster::{Outcome, simulate};
use pushscale_simulator::control::PushScaling;
use pushscale_simulator::in_parallel;

use crate::environment::number;
use crate::scenarios::{
    NamedScenario, first_random, hostile, random, random_hostile, recurring, shared,
};

/// The figures of a set of scenarios.
#[derive(Clone, Copy, Debug, Default)]
struct Figures {
    violation_seconds: f64,
    pod_hours: f64,
    changes: f64,
    reversals: f64,
    /// The mean over the scenarios.
    max_over_need: f64,
}

/// Prints a table for each set that `SETS` names. `RANDOM` is the number of random scenarios, `RANDOM_HOSTILE` that of
/// random clusters that are hard to scale, `FROM` the first one; `SEEDS` is the number of seeds. The recurring loads
/// have a table each. `RULES` names the rules to leave out, by default all.
pub(crate) fn run() {
    let seeds = number("SEEDS").unwrap_or(1).max(1);
    let (from, count) = (first_random(), number("RANDOM").unwrap_or(24));
    let sets = env::var("SETS").unwrap_or_else(|_| "shared random hostile".to_owned());
    let rules = rules();
    for set in sets.split_whitespace() {
        match set {
            "shared" => print_table("shared", &shared(), &rules, seeds),
            "random" => {
                let name = format!("random from FROM={from}");
                print_table(&name, &random(from, count, None), &rules, seeds);
            }
            "hostile" => print_table("hostile", &hostile(), &rules, seeds),
            "random-hostile" => {
                let scenarios = random_hostile(from, number("RANDOM_HOSTILE").unwrap_or(64), None);
                let name = format!("random hostile from FROM={from}");
                print_table(&name, &scenarios, &rules, seeds);
            }
            "recurring" => {
                for scenario in recurring() {
                    print_table(&scenario.0.clone(), &[scenario], &rules, seeds);
                }
            }
            other => panic!(
                "SETS has {other:?}: there are shared, random, hostile, random-hostile and recurring"
            ),
        }
    }
}

/// Returns the rules that `RULES` names.
fn rules() -> Vec<Rule> {
    let Ok(names) = env::var("RULES") else {
        return Rule::ALL.to_vec();
    };
    let named = names.split_whitespace().map(|name| {
        let rule = Rule::ALL.iter().find(|rule| rule.name() == name);
        *rule.unwrap_or_else(|| panic!("RULES has {name:?}: docs/RULES.md lists them"))
    });
    named.collect()
}

fn print_table(name: &str, scenarios: &[NamedScenario], rules: &[Rule], seeds: u64) {
    let length = scenarios.len();
    println!(
        "\n{length} {name}, {seeds} seeds: the first row has the figures, the others the difference from it"
    );
    println!(
        "| without | violation seconds | pod-hours | changes taken back, % | largest / need |"
    );
    println!("| --- | --- | --- | --- | --- |");
    Rule::leave_out(None);
    let whole = figures(scenarios, seeds);
    row("nothing", |of| of(&whole), false);
    for rule in rules {
        Rule::leave_out(Some(*rule));
        let without = figures(scenarios, seeds);
        row(rule.name(), |of| of(&without) - of(&whole), true);
    }
}

fn row(name: &str, value: impl Fn(&dyn Fn(&Figures) -> f64) -> f64, sign: bool) {
    let cells: [(f64, usize); 4] = [
        (value(&|of| of.violation_seconds), 0),
        (value(&|of| of.pod_hours), 1),
        (value(&|of| 100.0 * of.reversals / of.changes.max(1.0)), 1),
        (value(&|of| of.max_over_need), 2),
    ];
    let cells = cells.map(|(value, digits)| {
        if sign {
            format!("{value:+.digits$}")
        } else {
            format!("{value:.digits$}")
        }
    });
    println!("| {name} | {} |", cells.join(" | "));
}

/// Returns the sums over the scenarios, and the mean over the seeds.
fn figures(scenarios: &[NamedScenario], seeds: u64) -> Figures {
    let runs = scenarios.len() * seeds as usize;
    let outcomes: Vec<Outcome> = in_parallel(
        runs,
        &|number| {
            let spec = &scenarios[number % scenarios.len()].1.cluster;
            let mut ours = PushScaling::of_cluster(spec).unwrap();
            simulate(spec, &mut ours, 1 + (number / scenarios.len()) as u64)
        },
        &mut || {},
    );
    let mut sum = Figures::default();
    for outcome in outcomes {
        sum.violation_seconds += f64::from(outcome.violation_seconds) / seeds as f64;
        sum.pod_hours += outcome.pod_hours / seeds as f64;
        sum.changes += f64::from(outcome.changes);
        sum.reversals += f64::from(outcome.reversals);
        sum.max_over_need += outcome.largest_over_need / runs as f64;
    }
    sum
}
