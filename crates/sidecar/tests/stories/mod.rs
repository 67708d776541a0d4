//! Captured series of a real TorchServe, read again.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pushscale_sidecar::reading::{Reader, Reading};
use pushscale_sidecar::scrape::{Queue, Scrape};
use pushscale_sidecar::torchserve::{Queues, read_page};

/// The folder of everything that was captured and is expected.
pub(crate) fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata")
}

/// The folder of a story.
pub(crate) fn folder_of(story: &str) -> PathBuf {
    testdata().join("torchserve").join(story)
}

/// The scrapes of a story, one a second.
pub(crate) fn scrapes(folder: &Path, management: bool) -> Vec<Scrape> {
    (0..)
        .map_while(|second: u64| {
            let page = fs::read(folder.join(format!("t{second:02}.prom"))).ok()?;
            let described = fs::read(folder.join(format!("t{second:02}.models.json"))).unwrap();
            let queue: Queue = serde_json::from_slice::<Queues<'_>>(&described)
                .unwrap()
                .sum()
                .unwrap();
            Some(Scrape {
                at: Duration::from_secs(second),
                metrics: Ok(read_page(&page)),
                management: management.then(|| Ok(BTreeMap::from([("sleepy".to_owned(), queue)]))),
            })
        })
        .collect()
}

/// What is made of them.
pub(crate) fn play(folder: &Path, management: bool) -> Vec<Reading> {
    let mut reader = Reader::default();
    scrapes(folder, management)
        .iter()
        .map(|scrape| reader.read(scrape))
        .collect()
}
