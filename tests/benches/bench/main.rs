//! The benchmarks. Each measures its baseline in the same run. Start them with `make bench`, or with
//! `cargo bench -p pushscale-tests -- parser ingest decision decide faro simulate sidecar admission reaction
//! autoscalers scale_down status_page fleet soak`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a benchmark prints, and fails by panicking"
)]

#[cfg(feature = "ablation")]
mod ablate;
mod admission;
mod cpu;
mod decide;
mod decision;
mod environment;
mod faro;
mod fleet;
mod ingest;
mod machine;
mod parser;
mod pushes;
mod reaction;
mod scale_down;
mod scenarios;
mod sidecar;
mod simulate;
mod spread;
mod status_page;

fn main() {
    let asked: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with("--"))
        .collect();
    if asked.first().is_some_and(|word| word == sidecar::TICK) {
        return sidecar::tick_for_ever();
    }
    if asked.first().is_some_and(|word| word == fleet::SERVE) {
        return fleet::serve(&asked[1..]);
    }
    machine::print();
    // Not a benchmark: it fails if memory grows.
    if asked == ["soak"] {
        return fleet::soak::run();
    }
    // Takes longer than all others together, and needs a feature.
    #[cfg(feature = "ablation")]
    if asked == ["ablate"] {
        return ablate::run();
    }
    let all: [(&str, fn()); 13] = [
        ("parser", parser::run),
        ("ingest", ingest::run),
        ("decision", decision::run),
        ("decide", decide::run),
        ("faro", faro::run),
        ("simulate", simulate::run),
        ("sidecar", sidecar::run),
        ("admission", admission::run),
        ("reaction", reaction::run),
        ("autoscalers", reaction::autoscalers::run),
        ("scale_down", scale_down::run),
        ("status_page", status_page::run),
        ("fleet", fleet::run),
    ];
    for word in &asked {
        assert!(
            all.iter().any(|(name, _)| name == word),
            "no benchmark {word}: there are {}",
            all.map(|(name, _)| name).join(", ")
        );
    }
    for (name, run) in all {
        if asked.is_empty() || asked.iter().any(|word| word == name) {
            println!("\n{name}");
            run();
        }
    }
}
