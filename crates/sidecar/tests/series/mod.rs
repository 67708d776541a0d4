//! Captured series of scrapes of a real TorchServe.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pushscale_reading::{Queue, Reader, Reading, Scrape};
use pushscale_sidecar::torchserve::{Queues, read_page};

/// The directory of captures and expected readings.
pub(crate) fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata")
}

/// The directory of a captured series.
pub(crate) fn directory_of(series: &str) -> PathBuf {
    testdata().join("torchserve").join(series)
}

/// The scrapes of a series, one per second.
pub(crate) fn scrapes(directory: &Path, management: bool) -> Vec<Scrape> {
    (0..)
        .map_while(|second: u64| {
            let page = fs::read(directory.join(format!("t{second:02}.prom"))).ok()?;
            let described = fs::read(directory.join(format!("t{second:02}.models.json"))).unwrap();
            let queue: Queue = serde_json::from_slice::<Queues<'_>>(&described)
                .unwrap()
                .sum()
                .unwrap();
            Some(Scrape {
                // The capturing script.
                own_responses: 2 * second,
                at: Duration::from_secs(second),
                metrics: Ok(read_page(&page)),
                management: management.then(|| Ok(BTreeMap::from([("sleepy".to_owned(), queue)]))),
            })
        })
        .collect()
}

/// The readings of a series.
pub(crate) fn readings(directory: &Path, management: bool) -> Vec<Reading> {
    let mut reader = Reader::default();
    scrapes(directory, management)
        .iter()
        .map(|scrape| reader.read(scrape))
        .collect()
}
