//! Converts between what a scaler has learned and the PushScalerCheckpoint that stores it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Resource as _;
use pushscale_api::{PushScaler, PushScalerCheckpoint, PushScalerCheckpointSpec, ScaleTargetRef};
use pushscale_decision::Checkpoint;

use crate::names::{ScalerKey, TargetRef};
use crate::report::CheckpointReport;

/// Returns the object to store. The PushScaler owns it, so that it is deleted with the PushScaler.
pub(crate) fn object(report: &CheckpointReport) -> PushScalerCheckpoint {
    let CheckpointReport {
        scaler,
        uid,
        target,
        at,
        checkpoint,
        is_last: _,
        stored: _,
    } = report;
    let target = ScaleTargetRef {
        api_version: target.api_version.clone(),
        kind: target.kind.clone(),
        name: target.name.clone(),
    };
    let spec = PushScalerCheckpointSpec::encode(*at, target, checkpoint);
    let mut object = PushScalerCheckpoint::new(&scaler.name, spec);
    object.metadata.namespace = Some(scaler.namespace.clone());
    object.metadata.owner_references = Some(vec![OwnerReference {
        api_version: PushScaler::api_version(&()).into_owned(),
        kind: PushScaler::kind(&()).into_owned(),
        name: scaler.name.clone(),
        uid: uid.clone(),
        ..OwnerReference::default()
    }]);
    object
}

/// Returns what `stored` contains about a PushScaler with this uid and target; `None` if it is of another one, or
/// cannot be read.
pub(crate) fn learned(
    stored: &PushScalerCheckpoint,
    scaler: &ScalerKey,
    uid: &str,
    target: &TargetRef,
) -> Option<Checkpoint> {
    let mut owners = stored.metadata.owner_references.iter().flatten();
    let learned_for = TargetRef::new(&scaler.namespace, &stored.spec.scale_target_ref);
    if !owners.any(|owner| owner.uid == uid) || !learned_for.is_same_object(target) {
        tracing::info!(autoscaler = %scaler, "checkpoint ignored: it belongs to an earlier PushScaler or target");
        return None;
    }
    match stored.spec.decode() {
        Ok(checkpoint) => Some(checkpoint),
        Err(error) => {
            tracing::warn!(autoscaler = %scaler, %error, "checkpoint ignored: it cannot be read");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::report::StoredCheckpoint;

    fn target(kind: &str) -> TargetRef {
        TargetRef {
            kind: kind.to_owned(),
            ..TargetRef::deployment("models", "torchserve")
        }
    }

    #[test]
    fn only_the_checkpoint_of_the_same_pushscaler_and_target_is_restored() {
        let scaler = ScalerKey::new("models", "resnet");
        let checkpoint = Checkpoint::default();
        let mut stored = object(&CheckpointReport {
            scaler: scaler.clone(),
            uid: "1".to_owned(),
            target: target("Deployment"),
            at: Timestamp::UNIX_EPOCH,
            checkpoint: Box::new(checkpoint.clone()),
            is_last: false,
            stored: StoredCheckpoint::default(),
        });
        let learned = |stored: &_, uid: &str, kind| learned(stored, &scaler, uid, &target(kind));
        assert_eq!(learned(&stored, "1", "Deployment"), Some(checkpoint));
        assert_eq!(learned(&stored, "2", "Deployment"), None);
        assert_eq!(learned(&stored, "1", "StatefulSet"), None);
        stored.spec.schema_version += 1;
        assert_eq!(learned(&stored, "1", "Deployment"), None);
        stored.metadata.owner_references = None;
        assert_eq!(learned(&stored, "1", "Deployment"), None);
    }
}
