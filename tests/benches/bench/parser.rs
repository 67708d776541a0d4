//! Measures the exposition parser on the captures of a real TorchServe, and on one large document.

use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pushscale_sidecar::exposition;
use pushscale_tests::programs;

use crate::spread::Spread;

const ROUNDS: usize = 9;
const ROUND: Duration = Duration::from_millis(300);

/// Prints MB/s, and the ratio to another parser and to a search for line ends.
pub(crate) fn run() {
    let captures = captures();
    let models = vec![a_thousand_models()];
    for (name, pages) in [
        ("the 144 captured pages", &captures),
        ("one page of 1 MB, 3,000 models, no comments", &models),
    ] {
        let ours = rate(pages, |page| {
            let lines = exposition::parse(page).map(|line| line.unwrap().value);
            lines.sum()
        });
        let labels = rate(pages, |page| {
            let samples = exposition::parse(page).map(|line| line.unwrap());
            samples
                .map(|sample| sample.value + sample.labels.iter().count() as f64)
                .sum()
        });
        let lines = rate(pages, |page| {
            memchr::memchr_iter(b'\n', page).count() as f64
        });
        let peer = rate(pages, |page| {
            let text = std::str::from_utf8(page).unwrap();
            let lines = text.lines().map(|line| Ok(line.to_owned()));
            prometheus_parse::Scrape::parse(lines)
                .unwrap()
                .samples
                .len() as f64
        });
        println!("  {name}, MB/s (min / median / mean / max)");
        println!("    every line checked      {ours:.0}");
        println!("    and every label read    {labels:.0}");
        println!(
            "    prometheus-parse        {peer:.0}: ours is {:.0} ×",
            labels.median() / peer.median()
        );
        println!(
            "    only finding line ends  {lines:.0}: ours is {:.3} ×",
            ours.median() / lines.median()
        );
    }
}

fn rate(pages: &[Vec<u8>], work: impl Fn(&[u8]) -> f64) -> Spread {
    let bytes: usize = pages.iter().map(Vec::len).sum();
    let rounds = (0..ROUNDS).map(|_| {
        let start = Instant::now();
        let mut times = 0;
        while start.elapsed() < ROUND {
            for page in pages {
                black_box(work(black_box(page)));
            }
            times += 1;
        }
        (bytes * times) as f64 / start.elapsed().as_secs_f64() / 1e6
    });
    Spread::of(rounds.collect())
}

fn captures() -> Vec<Vec<u8>> {
    let directory = programs::repository().join("crates/sidecar/testdata/torchserve");
    let mut files = Vec::new();
    collect(&directory, &mut files);
    files.sort();
    assert_eq!(files.len(), 144);
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|ending| ending == "prom") {
            files.push(path);
        }
    }
}

/// A page of a server with very many models: nothing but samples.
fn a_thousand_models() -> Vec<u8> {
    let mut page = String::new();
    for model in 0.. {
        for counter in [
            "ts_queue_latency_microseconds",
            "ts_inference_latency_microseconds",
            "ts_inference_requests_total",
        ] {
            let labels = format!(
                "model_name=\"model-{model}\",model_version=\"default\",hostname=\"torchserve-0\","
            );
            page.push_str(&format!("{counter}{{{labels}}} 6.964412060550002E8\n"));
        }
        if page.len() >= 1_000_000 {
            break;
        }
    }
    page.into_bytes()
}
