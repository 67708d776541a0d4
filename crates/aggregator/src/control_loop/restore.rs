//! `onDelete: Restore`: writes the replica count back before the deletion.

use pushscale_decision::Reason;

use super::ControlLoop;
use super::managed_scaler::ManagedScaler;
use super::scale_write::write_scale;
use crate::event::Restore;
use crate::metrics::Metrics;
use crate::names::{ScalerKey, TargetRef};
use crate::report::{EventReport, Report};
use crate::scale_target::{ScaleError, ScaleTarget, Written};

impl ControlLoop {
    /// Reports that the replica count was written back. The PushScaler may be gone.
    pub(super) fn report_restored(&self, key: &ScalerKey, uid: String, replicas: u32) {
        tracing::info!(autoscaler = %key, replicas, "replicas restored");
        self.report(Report::Event(EventReport {
            scaler: key.clone(),
            uid,
            warning: false,
            reason: Reason::SuccessfulRescale.as_str(),
            action: format!("RestoreTo{replicas}"),
            note: format!("New size: {replicas}; reason: onDelete is Restore"),
        }));
    }

    /// Returns another autoscaler that writes the scaler's target.
    pub(super) fn other_writer(&self, key: &ScalerKey, scaler: &ManagedScaler) -> Option<String> {
        let mut hpas = self.competing_hpas.iter();
        let hpa = hpas.find(|(_, found)| found.target.is_same_object(scaler.target()));
        let other = self.other_writing_scalers(key, scaler).next();
        let other = other.map(|(other, _)| format!("PushScaler {other}"));
        other.or_else(|| hpa.map(|(hpa, _)| format!("HorizontalPodAutoscaler {hpa}")))
    }

    /// Returns the other PushScalers in mode Apply of the scaler's target. If there is another autoscaler, none of them
    /// writes.
    pub(super) fn other_writing_scalers(
        &self,
        key: &ScalerKey,
        scaler: &ManagedScaler,
    ) -> impl Iterator<Item = (&ScalerKey, &ManagedScaler)> {
        self.scalers.iter().filter(move |(other, found)| {
            *other != key && found.writes() && found.target().is_same_object(scaler.target())
        })
    }
}

/// Writes the replica count back. A target that is gone, or that someone has set to 0, is left alone.
pub(super) async fn restore(
    scale_target: &dyn ScaleTarget,
    target: &TargetRef,
    replicas: u32,
    metrics: &Metrics,
) -> Result<Restore, ScaleError> {
    let scale = match scale_target.read(target).await {
        Ok(scale) => scale,
        Err(error) if error.is_gone() => return Ok(Restore::NothingToRestore),
        Err(error) => return Err(error),
    };
    let (uid, current) = (scale.uid.as_deref(), scale.replicas);
    if current == replicas || current == 0 {
        return Ok(Restore::NothingToRestore);
    }
    match write_scale(scale_target, target, uid, current, replicas, metrics).await {
        Ok(Written::Done(_)) => Ok(Restore::Written(replicas)),
        Ok(Written::Conflict(scale)) => Err(ScaleError::Other {
            target: target.to_string(),
            message: format!(
                "another client changed the replicas from {current} to {}",
                scale.replicas
            ),
        }),
        Err(error) if error.is_gone() => Ok(Restore::NothingToRestore),
        Err(error) => Err(error),
    }
}
