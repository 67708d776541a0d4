//! Decides which failed and rejected pushes are logged as a warning.

/// Failures or rejections in a row before a warning. An aggregator that starts refuses connections, is not ready, or
/// does not know all pods yet, for a few seconds: every sidecar of the cluster would log a line.
const TOLERATED: u32 = 4;

/// The failures and rejections since the last success.
#[derive(Debug, Default)]
pub(super) struct Failures {
    failed: u32,
    rejected: u32,
    /// The last rejection that was logged.
    rejection: Option<String>,
}

impl Failures {
    pub(super) fn accepted(&mut self) {
        *self = Self::default();
    }

    /// Counts a failure, and returns whether to warn: once in a row, because a thousand pods would each log a line per
    /// second.
    pub(super) fn failed(&mut self) -> bool {
        self.failed = self.failed.saturating_add(1);
        self.failed == TOLERATED + 1
    }

    /// Counts a rejection, which needs attention from an operator, and returns whether to warn: once for each error.
    pub(super) fn rejected(&mut self, error: &str) -> bool {
        self.failed = 0;
        self.rejected = self.rejected.saturating_add(1);
        let warns = self.rejected > TOLERATED && self.rejection.as_deref() != Some(error);
        if warns {
            self.rejection = Some(error.to_owned());
        }
        warns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lasts_is_a_warning_and_once() {
        let mut failures = Failures::default();
        for _ in 0..2 {
            let warnings: Vec<_> = (0..20).map(|_| failures.failed()).collect();
            assert_eq!(warnings.iter().position(|warns| *warns), Some(4));
            assert_eq!(warnings.iter().filter(|warns| **warns).count(), 1);
            failures.accepted();
        }
        let warnings = ["one"; 7].map(|error| failures.rejected(error));
        assert_eq!(warnings, [false, false, false, false, true, false, false]);
        // An operator's next step may have another error.
        assert!(failures.rejected("two"));
        // The aggregator fails after it has rejected.
        let warnings = [(); 6].map(|()| failures.failed());
        assert_eq!(warnings, [false, false, false, false, true, false]);
    }
}
