//! The token file of the management port, which TorchServe writes and the sidecar reads.

use pushscale_api::names::annotations;
use serde_json::{Value, json};

use crate::annotation::invalid;
use crate::pod::{PodSpec, VolumeMount};
use crate::skip::Skip;
use crate::torchserve::TorchServe;

/// What the sidecar needs to read TorchServe's token file.
#[derive(Debug)]
pub(crate) struct TokenFile {
    /// The read-only mount of the volume, at the same path as in TorchServe's container.
    pub(crate) mount: Value,
    /// TorchServe's user, the only one that can read the file.
    pub(crate) user: i64,
}

/// Finds the volume of the file and the user that can read it.
pub(crate) fn find(
    spec: &PodSpec<'_>,
    server: &TorchServe<'_>,
    file: &str,
) -> Result<TokenFile, Skip> {
    let reject =
        |expected: String| Err(invalid(annotations::MANAGEMENT_TOKEN_FILE, file, expected));
    let container = &server.container.name;
    let mounts = server.container.volume_mounts.iter();
    let Some(mount) = mounts
        .filter(|mount| covers(mount, file))
        .max_by_key(|mount| mount.mount_path.trim_end_matches('/').len())
    else {
        return reject(format!(
            "a file on a volume of the container {container}: mount an emptyDir where TorchServe writes key_file.json"
        ));
    };
    if mount.sub_path_expr.is_some() {
        return reject(format!(
            "on a volume without subPathExpr, which uses variables of the container {container}"
        ));
    }
    let own = server.container.security_context.as_ref();
    let pods = spec.security_context.as_ref();
    let user = own
        .and_then(|context| context.run_as_user)
        .or_else(|| pods.and_then(|context| context.run_as_user));
    match user {
        Some(user) if user > 0 => Ok(TokenFile {
            mount: read_only(mount),
            user,
        }),
        _ => reject(format!(
            "readable by the sidecar, which must run as TorchServe's user and not as root: set \
             securityContext.runAsUser of the container {container}"
        )),
    }
}

fn covers(mount: &VolumeMount<'_>, file: &str) -> bool {
    let directory = mount.mount_path.trim_end_matches('/');
    file.strip_prefix(directory)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn read_only(mount: &VolumeMount<'_>) -> Value {
    let mut copy = json!({
        "name": mount.name,
        "mountPath": mount.mount_path,
        "readOnly": true,
    });
    if let (Some(path), Value::Object(fields)) = (&mount.sub_path, &mut copy) {
        fields.insert("subPath".to_owned(), json!(path));
    }
    copy
}
