//! Container images made from files of this machine, since there is no registry.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use serde_json::json;
use sha2::{Digest, Sha256};

use super::error::RigError;

/// A container image of one layer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Image {
    /// Name with a tag, such as `pushscale.test/sidecar:1`. Pods say `imagePullPolicy: Never`.
    pub name: String,
    /// Path in the image, path on this machine, and mode, such as `0o755`. Parent folders come by
    /// themselves. Programs must be static, or their libraries must be among the files.
    pub files: Vec<(PathBuf, PathBuf, u32)>,
    /// What a container runs if its pod does not say.
    pub entrypoint: Vec<String>,
    /// User, or `user:group`, by number; root if absent.
    pub user: Option<String>,
}

impl Image {
    /// Writes the image as the kind of archive that `docker save` makes.
    pub(crate) fn write_archive(&self, path: &Path) -> Result<(), RigError> {
        let layer = self.layer()?;
        let config = json!({
            "architecture": match std::env::consts::ARCH {
                "x86_64" => "amd64",
                "aarch64" => "arm64",
                other => other,
            },
            "os": "linux",
            "config": {
                "Entrypoint": self.entrypoint,
                "User": self.user.as_deref().unwrap_or_default(),
                "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            },
            "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", digest(&layer))] },
        })
        .to_string();
        let config_name = format!("{}.json", digest(config.as_bytes()));
        let manifest = json!([{
            "Config": config_name,
            "RepoTags": [self.name],
            "Layers": ["layer.tar"],
        }])
        .to_string();

        let write = || -> io::Result<()> {
            let mut archive = tar::Builder::new(File::create(path)?);
            append(&mut archive, Path::new("layer.tar"), 0o644, &layer)?;
            append(
                &mut archive,
                Path::new(&config_name),
                0o644,
                config.as_bytes(),
            )?;
            append(
                &mut archive,
                Path::new("manifest.json"),
                0o644,
                manifest.as_bytes(),
            )?;
            archive.finish()
        };
        write().map_err(RigError::io("write", path))
    }

    fn layer(&self) -> Result<Vec<u8>, RigError> {
        let mut layer = tar::Builder::new(Vec::new());
        for (inside, outside, mode) in &self.files {
            let content = fs::read(outside).map_err(RigError::io("read", outside))?;
            let name = inside.strip_prefix("/").unwrap_or(inside);
            append(&mut layer, name, *mode, &content).map_err(RigError::io("pack", outside))?;
        }
        layer.into_inner().map_err(RigError::io("pack", &self.name))
    }
}

/// Adds a file of root's, without a time, so that the same files make the same image.
fn append<W: io::Write>(
    archive: &mut tar::Builder<W>,
    name: &Path,
    mode: u32,
    content: &[u8],
) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(mode);
    archive.append_data(&mut header, name, content)
}

fn digest(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
