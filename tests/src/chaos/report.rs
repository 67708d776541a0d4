//! What a fault has cost.

use std::fmt::Write as _;
use std::time::Duration;

/// The cost of one fault.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The fault.
    pub fault: &'static str,
    /// How long it lasted.
    pub lasted: Duration,
    /// Reductions of the replicas that nothing justified.
    pub wrong_scale_downs: usize,
    /// Moments at which two aggregators led.
    pub second_writers: usize,
    /// Time from the end of the fault until the replicas had followed the load; zero if they did during the fault.
    pub recovery: Duration,
    /// Pods whose pushes are acknowledged and that do not count as reporting afterwards.
    pub lost_readings: usize,
}

impl Outcome {
    /// Whether nothing went wrong. The time to recover is not judged: it depends on the machine.
    pub fn is_clean(&self) -> bool {
        self.wrong_scale_downs == 0 && self.second_writers == 0 && self.lost_readings == 0
    }
}

/// Returns a Markdown table.
pub fn table(outcomes: &[Outcome]) -> String {
    let mut table = String::from(
        "| fault | lasted | wrong scale-downs | second writers | time to recover | lost readings |\n\
         | --- | --- | --- | --- | --- | --- |\n",
    );
    for outcome in outcomes {
        writeln!(
            table,
            "| {} | {:.0} s | {} | {} | {:.1} s | {} |",
            outcome.fault,
            outcome.lasted.as_secs_f64(),
            outcome.wrong_scale_downs,
            outcome.second_writers,
            outcome.recovery.as_secs_f64(),
            outcome.lost_readings,
        )
        .ok();
    }
    table
}
