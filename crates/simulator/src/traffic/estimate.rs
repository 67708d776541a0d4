//! An estimate of the unknown seconds of a trace.

use std::ops::Range;

/// Seconds before and after a gap whose mean is the load at its ends.
const AROUND: usize = 60;

/// Replaces unknown seconds by a straight line between the means of the known values in the minutes before and after,
/// and returns the gaps. At an end of the trace, the mean of the one minute lasts.
pub(super) fn estimate(values: &[Option<f64>]) -> (Vec<f64>, Vec<Range<usize>>) {
    let gaps = gaps(values);
    let mut estimated: Vec<f64> = values
        .iter()
        .map(|value| value.unwrap_or_default())
        .collect();
    for gap in &gaps {
        let before = mean(&values[gap.start.saturating_sub(AROUND)..gap.start]);
        let after = mean(&values[gap.end..values.len().min(gap.end + AROUND)]);
        // One of them is known: both are next to the gap, except at the ends.
        let (from, to) = match (before, after) {
            (Some(from), Some(to)) => (from, to),
            (from, to) => {
                let one = from.or(to).unwrap_or_default();
                (one, one)
            }
        };
        let length = gap.len() as f64;
        for (index, value) in estimated[gap.clone()].iter_mut().enumerate() {
            *value = from + (to - from) * (index as f64 + 0.5) / length;
        }
    }
    (estimated, gaps)
}

/// Returns the gaps: the stretches of unknown values.
pub fn gaps(values: &[Option<f64>]) -> Vec<Range<usize>> {
    let mut gaps: Vec<Range<usize>> = Vec::new();
    for (index, value) in values.iter().enumerate() {
        if value.is_some() {
            continue;
        }
        match gaps.last_mut() {
            Some(gap) if gap.end == index => gap.end += 1,
            _ => gaps.push(index..index + 1),
        }
    }
    gaps
}

fn mean(values: &[Option<f64>]) -> Option<f64> {
    let known: Vec<f64> = values.iter().flatten().copied().collect();
    (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_a_line_between_the_minutes_around_it() {
        let mut values = vec![Some(10.0); 120];
        values.extend([None; 4]);
        values.extend([Some(18.0); 60]);
        // Earlier than the minute before the gap.
        values[0] = Some(1e6);
        let (estimated, gaps) = estimate(&values);
        assert_eq!(gaps, std::slice::from_ref(&(120..124)));
        assert_eq!(estimated[119..125], [10.0, 11.0, 13.0, 15.0, 17.0, 18.0]);
    }

    #[test]
    fn at_the_ends_the_known_minute_lasts() {
        let (estimated, gaps) = estimate(&[None, Some(4.0), None, None]);
        assert_eq!(gaps, [0..1, 2..4]);
        assert_eq!(estimated, [4.0; 4]);
    }
}
