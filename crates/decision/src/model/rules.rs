//! The rules that the ablation leaves out one by one (docs/RULES.md).

/// Declares [`Rule`] with its names.
macro_rules! rules {
    ($($(#[$doc:meta])* $rule:ident $name:literal,)*) => {
        /// A rule of the queueing model that can be left out, to measure what it costs and saves.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Rule {
            $($(#[$doc])* $rule,)*
        }

        impl Rule {
            /// All rules, in the order in which they apply.
            pub const ALL: &[Self] = &[$(Self::$rule),*];

            /// Returns the name in docs/RULES.md.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$rule => $name,)*
                }
            }
        }
    };
}

rules! {
    /// The service time changes at once if the change exceeds chance.
    ServiceChange "service-change",
    /// The service time rises to at most three times at once.
    MaxRise "max-rise",
    /// The variability of the service time is measured instead of that of exponential times.
    Variation "variation",
    /// Times are corrected by the share of requests that the server times.
    TimedShare "timed-share",
    /// With batching, the service time is at least that of saturated pods.
    FullLoad "full-load",
    /// Until a pod was saturated, batches are filled in steps.
    BatchFill "batch-fill",
    /// With batching, a request waits for the previous batch.
    BatchWait "batch-wait",
    /// Pods that are much slower than the others do not count.
    SlowPods "slow-pods",
    /// Slow pods are replaced, where a scale-down deletes them first.
    Replacement "replacement",
    /// The window of the rate is extended if few requests arrive.
    LongWindow "long-window",
    /// A burst within an extended window counts with what chance explains.
    Burst "burst",
    /// A significant rise counts before the slow window shows it.
    Rise "rise",
    /// A significant trend is extrapolated.
    Trend "trend",
    /// The formula is calibrated with the measured waits.
    Calibration "calibration",
    /// The slowest pods keep within their share of the mean wait, if each pod has its own queue.
    Slowdown "slowdown",
    /// A short queue rejects hardly any requests.
    QueueLimit "queue-limit",
    /// A backlog orders pods.
    Backlog "backlog",
    /// The queues of the existing pods are worked off in time.
    OwnQueues "own-queues",
    /// An order for a backlog is limited to a multiple of the need.
    MaxOrder "max-order",
    /// An order for a backlog is kept for a while.
    KeptOrder "kept-order",
    /// Hold and head-room are chosen by a backtest.
    Backtest "backtest",
    /// A wait takes as long to build up as it lasts.
    ViolationSpan "violation-span",
    /// Replicas are held longer if the arrivals stop at all pods at once.
    Vanished "vanished",
    /// The replicas found at the start are held.
    StartHold "start-hold",
    /// Loads that recur are prepared for.
    Profile "profile",
    /// Pods that were ready and are not any more are replaced.
    Lost "lost",
    /// Pods that get no requests stop orders for a backlog.
    Uneven "uneven",
    /// Serving pods are kept while requests wait.
    KeptWhileWaiting "kept-while-waiting",
    /// Pods that never become ready stop a scale-up.
    Overdue "overdue",
    /// A fleet that completes nothing is not multiplied.
    Stuck "stuck",
    /// With incomplete metrics, long waits double the replicas.
    LatencyGuard "latency-guard",
    /// While the waits exceed the target and the formula, scale-downs are only recommended.
    Envelope "envelope",
}

#[cfg(not(feature = "ablation"))]
impl Rule {
    /// Returns true: only the ablation leaves rules out.
    #[expect(clippy::unused_self, reason = "the ablation's has a condition")]
    pub(crate) const fn applies(self) -> bool {
        true
    }
}

#[cfg(feature = "ablation")]
mod left_out {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::Rule;

    /// The index of the rule that is left out, for the whole process, so that no state has to carry it.
    static LEFT_OUT: AtomicUsize = AtomicUsize::new(usize::MAX);

    impl Rule {
        /// Leaves a rule out of all decisions of this process, or none.
        pub fn leave_out(rule: Option<Self>) {
            let index = rule.map_or(usize::MAX, |rule| rule as usize);
            LEFT_OUT.store(index, Ordering::Relaxed);
        }

        /// Returns whether this rule is not left out.
        pub(crate) fn applies(self) -> bool {
            LEFT_OUT.load(Ordering::Relaxed) != self as usize
        }
    }
}
