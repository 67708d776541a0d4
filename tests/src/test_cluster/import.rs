//! Imports images into the cluster's containerd.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::containerd::ctr;
use super::error::{ClusterError, LogTail};
use super::image::Image;
use super::run;
use super::site::Site;

/// Imports an image, and waits until kubelet would find it.
pub(crate) fn import(site: &Site, image: &Image) -> Result<(), ClusterError> {
    // Several tests may import at once.
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let file = format!("image-{}-{number}.tar", std::process::id());
    let archive = site.state.path().join(file);
    image.write_archive(&archive)?;
    let imported = import_archive(site, &image.name, &archive);
    fs::remove_file(&archive).map_err(ClusterError::io("remove", &archive))?;
    imported
}

/// Imports an existing archive, and waits until kubelet would find its image.
pub(crate) fn import_archive(site: &Site, name: &str, archive: &Path) -> Result<(), ClusterError> {
    run::output(
        ctr(site)
            .args(["images", "import", "--snapshotter", "native"])
            .arg(archive),
    )?;
    wait_until_seen(site, name)
}

/// Waits until the CRI plugin of containerd, which kubelet uses, has marked the image, a moment after the import. A pod
/// that is created earlier would fail, and retry after ten seconds.
fn wait_until_seen(site: &Site, name: &str) -> Result<(), ClusterError> {
    let limit = Duration::from_secs(20);
    let start = Instant::now();
    loop {
        let images = run::output(ctr(site).args(["images", "list"]))?;
        let seen = |line: &str| line.contains(name) && line.contains("io.cri-containerd.image");
        if images.lines().any(seen) {
            return Ok(());
        }
        if start.elapsed() > limit {
            return Err(ClusterError::Timeout {
                component: "containerd".to_owned(),
                waited_for: format!("the image {name}"),
                seconds: limit.as_secs(),
                log: LogTail(images),
            });
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
