//! The Prometheus text format 0.0.4. For each `.prom` file in `testdata/exposition`, the `.out` file of the same name
//! has the expected samples and errors; `make generate` rewrites it.

#![cfg(test)]

#[path = "../../daemon/tests/support/golden.rs"]
mod golden;

use std::fmt::Write as _;
use std::fs;

use proptest::prelude::*;
use pushscale_sidecar::exposition::{Sample, parse};

#[test]
fn pages_have_the_expected_samples_and_errors() {
    for page in golden::files("testdata/exposition", ".prom", 8) {
        let text = describe(&fs::read(&page).unwrap());
        golden::check(&page.with_extension("out"), &text);
    }
}

fn describe(page: &[u8]) -> String {
    let mut text = String::new();
    for line in parse(page) {
        match line {
            Ok(sample) => {
                write!(text, "{}", sample.name).unwrap();
                for (name, value) in sample.labels.iter() {
                    write!(text, " {name}={value:?}").unwrap();
                }
                write!(text, " → {}", sample.value).unwrap();
                if let Some(timestamp) = sample.timestamp_ms {
                    write!(text, " at {timestamp} ms").unwrap();
                }
                text.push('\n');
            }
            Err(bad) => writeln!(text, "{bad}").unwrap(),
        }
    }
    text
}

/// Name, labels, value and timestamp of a sample.
type SampleParts = (String, Vec<(String, String)>, f64, Option<i64>);

fn sample() -> impl Strategy<Value = SampleParts> {
    let label = ("[a-zA-Z_][a-zA-Z0-9_]{0,12}", any::<String>());
    (
        "[a-zA-Z_:][a-zA-Z0-9_:]{0,24}",
        prop::collection::vec(label, 0..6),
        any::<f64>(),
        prop::option::of(any::<i64>()),
    )
}

fn write_sample(
    (name, labels, value, timestamp): &SampleParts,
    blanks: &str,
    comma: bool,
) -> String {
    let mut line = name.clone();
    if !labels.is_empty() || comma {
        line.push('{');
        for (index, (label, value)) in labels.iter().enumerate() {
            let escaped = value
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n");
            write!(
                line,
                "{blanks}{label}{blanks}={blanks}\"{escaped}\"{blanks}"
            )
            .unwrap();
            if comma || index + 1 < labels.len() {
                line.push(',');
            }
        }
        line.push('}');
    }
    write!(line, " {blanks}{value:?}").unwrap();
    if let Some(timestamp) = timestamp {
        write!(line, " {blanks}{timestamp}").unwrap();
    }
    line
}

fn same(read: &Sample<'_>, (name, labels, value, timestamp): &SampleParts) -> bool {
    let found: Vec<(String, String)> = read
        .labels
        .iter()
        .map(|(name, value)| (name.to_owned(), value.into_owned()))
        .collect();
    read.name == name
        && found == *labels
        && (read.value == *value || (read.value.is_nan() && value.is_nan()))
        && read.timestamp_ms == *timestamp
}

proptest! {
    /// The parser does not panic and returns each line at most once.
    #[test]
    fn any_bytes_are_parsed(page in prop::collection::vec(any::<u8>(), 0..2048)) {
        let lines = page.split(|byte| *byte == b'\n').count();
        prop_assert!(parse(&page).count() <= lines);
    }

    /// The same with the characters of the format, which reach more of the parser.
    #[test]
    fn nearly_valid_pages_are_parsed(page in "[ab{}=\",\\\\n#0-9.eE+\n \t-]{0,400}") {
        let lines = page.split('\n').count();
        prop_assert!(parse(page.as_bytes()).count() <= lines);
    }

    #[test]
    fn written_samples_are_parsed_back(
        samples in prop::collection::vec(sample(), 1..8),
        blanks in "[ \t]{0,2}",
        comma in any::<bool>(),
    ) {
        let lines: Vec<String> = samples
            .iter()
            .map(|sample| write_sample(sample, &blanks, comma))
            .collect();
        let page = lines.join("\n");
        let read: Vec<_> = parse(page.as_bytes()).collect();
        prop_assert_eq!(read.len(), samples.len());
        for (read, sample) in read.iter().zip(&samples) {
            match read {
                Ok(read) => prop_assert!(same(read, sample), "{:?} was {:?}", read, sample),
                Err(bad) => prop_assert!(false, "{}: {}", bad, page),
            }
        }
    }

    /// A bad line does not affect the lines around it.
    #[test]
    fn only_the_bad_line_is_skipped(
        before in sample(),
        after in sample(),
        garbage in "[^\n]{1,80}",
    ) {
        let lines = [
            write_sample(&before, "", false),
            garbage,
            write_sample(&after, "", true),
        ];
        let page = lines.join("\n");
        let read: Vec<_> = parse(page.as_bytes()).collect();
        prop_assert!(matches!(read.first(), Some(Ok(found)) if same(found, &before)));
        prop_assert!(matches!(read.last(), Some(Ok(found)) if same(found, &after)));
    }

    /// Changing one byte of a capture loses at most the line, or two if it was their line break.
    #[test]
    fn one_changed_byte_loses_at_most_two_lines(at in 0_usize..3000, byte in any::<u8>()) {
        let mut page = include_bytes!("../testdata/torchserve/overload-20rps-100ms/t10.prom").to_vec();
        let before = parse(&page).filter(Result::is_ok).count();
        page[at] = byte;
        let after = parse(&page).filter(Result::is_ok).count();
        prop_assert!(after + 2 >= before, "{before} samples before, {after} after");
    }
}
