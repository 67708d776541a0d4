//! Parses and prints seeds.

/// The maximum number of runs of one scenario; more give no new information.
const MAX_SEEDS: usize = 1000;

const EXPECTED: &str = "expected a number of seeds (8) or a list (1,2,3 or 5-8), at most 1000";

/// Parses a number of seeds (`8` means 1 to 8) or a list (`1,2,3`, `5-8`).
///
/// # Errors
///
/// Returns what is expected.
pub(super) fn parse(text: &str) -> Result<Vec<u64>, String> {
    let wrong = || format!("{text:?}: {EXPECTED}");
    if let Ok(count) = text.trim().parse::<u64>() {
        let allowed = (1..=MAX_SEEDS as u64).contains(&count);
        return allowed.then(|| (1..=count).collect()).ok_or_else(wrong);
    }
    let mut seeds: Vec<u64> = Vec::new();
    for part in text.split(',') {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.trim().parse::<u64>().map_err(|_| wrong());
        let (from, to) = (number(from)?, number(to)?);
        if from > to || to - from >= MAX_SEEDS as u64 {
            return Err(wrong());
        }
        seeds.extend(from..=to);
    }
    let mut sorted = seeds.clone();
    sorted.sort_unstable();
    sorted.dedup();
    if sorted.len() < seeds.len() {
        return Err(format!("{text:?}: a seed occurs twice"));
    }
    if seeds.len() > MAX_SEEDS {
        return Err(wrong());
    }
    Ok(seeds)
}

/// Formats seeds for output.
pub(super) fn name(seeds: &[u64]) -> String {
    match seeds {
        [only] => format!("seed {only}"),
        [first, .., last] if seeds.is_sorted() && last - first == seeds.len() as u64 - 1 => {
            format!("seeds {first} to {last}")
        }
        several => {
            let numbers: Vec<String> = several.iter().map(ToString::to_string).collect();
            format!("seeds {}", numbers.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_a_number_or_a_list() {
        assert_eq!(parse("3"), Ok(vec![1, 2, 3]));
        assert_eq!(parse("7,2,4-5"), Ok(vec![7, 2, 4, 5]));
        assert_eq!(parse("9-9"), Ok(vec![9]));
        for wrong in [
            "0", "", "-1", "5-3", "1001", "a", "1,,2", "1,1", "1-3,2", "0-5000",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn seeds_are_formatted_as_a_range_or_a_list() {
        assert_eq!(name(&[4]), "seed 4");
        assert_eq!(name(&[4, 5, 6]), "seeds 4 to 6");
        assert_eq!(name(&[6, 4, 5]), "seeds 6, 4, 5");
        assert_eq!(name(&[1, 9]), "seeds 1, 9");
    }
}
