//! The Prometheus text format 0.0.4. Each `.prom` file in `testdata/exposition` has beside it, in the `.out` file of
//! the same name, what is read from it; `make generate` rewrites those.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

use proptest::prelude::*;
use pushscale_sidecar::exposition::{Sample, parse};

#[test]
fn pages_are_read_as_they_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/exposition");
    let mut pages = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let page = entry.unwrap().path();
        if page.extension().is_none_or(|ending| ending != "prom") {
            continue;
        }
        pages += 1;
        let told = tell(&fs::read(&page).unwrap());
        let file = page.with_extension("out");
        if env::var_os("PUSHSCALE_GENERATE").is_some() {
            fs::write(&file, &told).unwrap();
        }
        let kept = fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(kept, told, "{}", page.display());
    }
    assert!(pages >= 8, "{pages}");
}

fn tell(page: &[u8]) -> String {
    let mut told = String::new();
    for line in parse(page) {
        match line {
            Ok(sample) => {
                write!(told, "{}", sample.name).unwrap();
                for (name, value) in sample.labels.iter() {
                    write!(told, " {name}={value:?}").unwrap();
                }
                write!(told, " → {}", sample.value).unwrap();
                if let Some(timestamp) = sample.timestamp_ms {
                    write!(told, " at {timestamp} ms").unwrap();
                }
                told.push('\n');
            }
            Err(bad) => writeln!(told, "{bad}").unwrap(),
        }
    }
    told
}

/// A sample as it is written: name, labels, value, timestamp.
type Written = (String, Vec<(String, String)>, f64, Option<i64>);

fn sample() -> impl Strategy<Value = Written> {
    let label = ("[a-zA-Z_][a-zA-Z0-9_]{0,12}", any::<String>());
    (
        "[a-zA-Z_:][a-zA-Z0-9_:]{0,24}",
        prop::collection::vec(label, 0..6),
        any::<f64>(),
        prop::option::of(any::<i64>()),
    )
}

fn write_sample((name, labels, value, timestamp): &Written, blanks: &str, comma: bool) -> String {
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

fn same(read: &Sample<'_>, (name, labels, value, timestamp): &Written) -> bool {
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
    /// Whatever arrives, it is read to its end, and no line is counted twice or lost.
    #[test]
    fn any_bytes_are_survived(page in prop::collection::vec(any::<u8>(), 0..2048)) {
        let lines = page.split(|byte| *byte == b'\n').count();
        prop_assert!(parse(&page).count() <= lines);
    }

    /// The same with the bytes of the format, which reach further into the parser.
    #[test]
    fn nearly_right_pages_are_survived(page in "[ab{}=\",\\\\n#0-9.eE+\n \t-]{0,400}") {
        let lines = page.split('\n').count();
        prop_assert!(parse(page.as_bytes()).count() <= lines);
    }

    #[test]
    fn what_is_written_is_read(
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

    /// One broken line costs its neighbours nothing.
    #[test]
    fn a_bad_line_is_skipped_alone(
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

    /// A capture with one byte changed: at most that line is lost.
    #[test]
    fn one_wrong_byte_costs_one_line_at_the_most(at in 0_usize..3000, byte in any::<u8>()) {
        let mut page = include_bytes!("../testdata/torchserve/overload-20rps-100ms/t10.prom").to_vec();
        let before = parse(&page).filter(Result::is_ok).count();
        page[at] = byte;
        let after = parse(&page).filter(Result::is_ok).count();
        prop_assert!(after + 2 >= before, "{before} samples, then {after}");
    }
}
