//! The pictures of the documentation. `make screenshots` writes them; without it, the test checks that they exist and
//! show the page of these sources.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::{env, fs};

use jiff::{SignedDuration, Timestamp};
use pushscale_aggregator::recorded_page::{RecordedPage, RecordedScaler};
use pushscale_daemon::shutdown::Shutdown;
use pushscale_decision::Decision;
use pushscale_tests::chromium::Chromium;
use pushscale_tests::programs::repository;
use pushscale_tests::simulated_hour;
use sha2::{Digest as _, Sha256};

/// The first bytes of a PNG.
const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

/// The pictures: page, colors, height of the window, and what it shows first.
const PICTURES: [(&str, &str, &str, u32, Option<&str>); 3] = [
    ("status-overview", "", "light", 380, None),
    ("status-scaler", SCALER, "light", 1020, None),
    ("status-timeline", SCALER, "dark", 620, Some("#timeline")),
];

const SCALER: &str = "scalers/models/resnet";

#[tokio::test(flavor = "multi_thread")]
async fn the_documentation_has_pictures() {
    let generate = env::var_os("PUSHSCALE_GENERATE").is_some();
    if !generate {
        for (name, ..) in PICTURES {
            let picture = fs::read(path(name)).unwrap();
            assert!(picture.starts_with(SIGNATURE), "{name}");
            // They are in every clone.
            assert!(picture.len() < 250_000, "{name}: {} bytes", picture.len());
        }
        let shown = fs::read_to_string(digest_file()).unwrap();
        assert_eq!(
            shown,
            digest_of_the_page(),
            "the pictures show another page: run `make screenshots`, and look at them"
        );
        return;
    }
    let mut browser = Chromium::start().await.expect("Chromium can be installed");
    let page = RecordedPage::start();
    record(&page, "bert", simulated_hour::decisions(bert, 1));
    record(&page, "resnet", simulated_hour::decisions(resnet, 2));
    record(&page, "whisper", simulated_hour::decisions(whisper, 3));
    let shutdown = Shutdown::new();
    let listen = (Ipv4Addr::LOCALHOST, 0).into();
    let address = page.serve(listen, shutdown.clone()).await.unwrap();
    for (name, page, colors, height, first) in PICTURES {
        browser.set_size(1200, height).await;
        browser.set_media("screen", colors).await;
        browser.open_live(&format!("http://{address}/{page}")).await;
        if let Some(first) = first {
            let show = format!(
                "document.querySelector('.timeline > li:nth-child(3) details').open = true; \
                 document.querySelector('{first}').scrollIntoView()"
            );
            browser.evaluate(&show).await;
        }
        fs::write(path(name), browser.screenshot().await).unwrap();
    }
    fs::write(digest_file(), digest_of_the_page()).unwrap();
    shutdown.cancel();
}

/// The digest of the page that the pictures show.
fn digest_file() -> PathBuf {
    repository().join("docs/images/status-page.sha256")
}

/// Returns the digest of the sources that render the page, without their comments and tests, and of the load that it
/// shows.
fn digest_of_the_page() -> String {
    let directory = repository().join("crates/aggregator/src/status_page");
    let files = fs::read_dir(directory).unwrap();
    let mut files: Vec<PathBuf> = files.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| !path.ends_with("tests.rs"));
    files.push(repository().join("tests/src/simulated_hour.rs"));
    files.sort();
    let mut digest = Sha256::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let (code, _tests) = text.split_once("#[cfg(test)]").unwrap_or((&text, ""));
        let lines = code.lines().map(str::trim);
        for line in lines.filter(|line| !line.is_empty() && !line.starts_with("//")) {
            digest.update(line);
            digest.update("\n");
        }
    }
    let digest = digest.finalize();
    let digits = digest.iter().map(|byte| format!("{byte:02x}"));
    format!("{}\n", digits.collect::<String>())
}

fn path(name: &str) -> PathBuf {
    repository().join(format!("docs/images/{name}.png"))
}

/// Records the decisions as those of the last hour.
fn record(page: &RecordedPage, name: &str, decisions: Vec<Arc<Decision>>) {
    let scaler = RecordedScaler::new("models", name);
    let begin = Timestamp::now() - SignedDuration::from_secs(3600);
    for (second, decision) in (0..).zip(decisions) {
        let at = begin + SignedDuration::from_secs(second);
        page.record(&scaler, at, &decision);
    }
}

/// A slow wave.
fn bert(second: f64) -> f64 {
    140.0 + 90.0 * (second / 600.0).sin()
}

/// A step up and down.
fn resnet(second: f64) -> f64 {
    if (900.0..2400.0).contains(&second) {
        400.0
    } else {
        100.0
    }
}

/// A minute of load every quarter of an hour.
fn whisper(second: f64) -> f64 {
    if second % 900.0 < 60.0 { 120.0 } else { 8.0 }
}
