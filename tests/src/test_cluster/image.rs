//! Container images made from files of this machine, since there is no registry.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use serde_json::json;
use sha2::{Digest, Sha256};

use super::error::ClusterError;

/// A container image of one layer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Image {
    /// Name with a tag, such as `pushscale.test/sidecar:1`. Pods need `imagePullPolicy: Never`.
    pub name: String,
    /// Path in the image, path on this machine, and mode, such as `0o755`. Parent directories are created. Programs
    /// must be static, or their libraries must be among the files.
    pub files: Vec<(PathBuf, PathBuf, u32)>,
    /// The default command of a container.
    pub entrypoint: Vec<String>,
    /// User, or `user:group`, by number; root if absent.
    pub user: Option<String>,
}

impl Image {
    /// Writes the image as the kind of archive that `docker save` makes.
    pub(crate) fn write_archive(&self, path: &Path) -> Result<(), ClusterError> {
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
        write().map_err(ClusterError::io("write", path))
    }

    fn layer(&self) -> Result<Vec<u8>, ClusterError> {
        let mut layer = tar::Builder::new(Vec::new());
        for (inside, outside, mode) in &self.files {
            let content = fs::read(outside).map_err(ClusterError::io("read", outside))?;
            let name = inside.strip_prefix("/").unwrap_or(inside);
            append(&mut layer, name, *mode, &content).map_err(ClusterError::io("pack", outside))?;
        }
        layer
            .into_inner()
            .map_err(ClusterError::io("pack", &self.name))
    }
}

/// Adds a file of root without a timestamp, so that the same files produce the same image.
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

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn the_archive_contains_the_digest_of_its_layer() {
        let directory = std::env::temp_dir().join(format!("image-{}", std::process::id()));
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join("file"), "content").unwrap();
        let image = Image {
            name: "none.test/none:1".to_owned(),
            files: vec![("/bin/program".into(), directory.join("file"), 0o755)],
            entrypoint: vec!["/bin/program".to_owned()],
            user: Some("1000:1000".to_owned()),
        };
        image.write_archive(&directory.join("image.tar")).unwrap();
        let members = unpack(&fs::read(directory.join("image.tar")).unwrap());
        fs::remove_dir_all(&directory).unwrap();

        let [layer, config, manifest] = members.try_into().unwrap();
        let manifest: serde_json::Value = serde_json::from_slice(&manifest.1).unwrap();
        assert_eq!(manifest[0]["RepoTags"][0], "none.test/none:1");
        assert_eq!(manifest[0]["Config"], config.0);
        assert_eq!(manifest[0]["Layers"][0], layer.0);
        let config: serde_json::Value = serde_json::from_slice(&config.1).unwrap();
        assert_eq!(config["config"]["User"], "1000:1000");
        let expected = format!("sha256:{}", digest(&layer.1));
        assert_eq!(config["rootfs"]["diff_ids"][0], expected);
        let file = ("bin/program".to_owned(), b"content".to_vec());
        assert_eq!(unpack(&layer.1), [file]);
    }

    fn unpack(archive: &[u8]) -> Vec<(String, Vec<u8>)> {
        let mut archive = tar::Archive::new(archive);
        let read = |entry: io::Result<tar::Entry<'_, &[u8]>>| {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            (entry.path().unwrap().display().to_string(), content)
        };
        archive.entries().unwrap().map(read).collect()
    }
}
