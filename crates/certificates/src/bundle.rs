//! The newest CA bundle. The controller or the directory sets it, and the publishers read it.

use std::sync::Arc;
use std::time::SystemTime;

use pushscale_daemon::readiness::ReadinessLatch;
use tokio::sync::watch;

/// The CA certificates that clients trust, as PEM; `None` before the first ones.
pub(crate) type NewestBundle = watch::Receiver<Option<Arc<str>>>;

/// A bundle that has been published to every namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Publication {
    pub(crate) bundle: Arc<str>,
    /// When the last namespace got it.
    pub(crate) since: SystemTime,
}

/// The complete publication of the newest bundle; `None` while some namespaces lack it.
pub(crate) type NewestPublication = watch::Receiver<Option<Publication>>;

/// Sets the newest bundle.
pub(crate) struct BundleSender {
    newest: watch::Sender<Option<Arc<str>>>,
    first: Option<ReadinessLatch>,
}

/// Creates both ends. `first` is dropped with the first bundle.
pub(crate) fn channel(first: ReadinessLatch) -> (BundleSender, NewestBundle) {
    let (newest, receiver) = watch::channel(None);
    let first = Some(first);
    (BundleSender { newest, first }, receiver)
}

impl BundleSender {
    /// Sets the newest bundle, and returns whether it differs from the previous one.
    pub(crate) fn set(&mut self, bundle: &str) -> bool {
        self.first.take();
        self.newest.send_if_modified(|current| {
            let differs = current.as_deref() != Some(bundle);
            if differs {
                *current = Some(Arc::from(bundle));
            }
            differs
        })
    }
}

#[cfg(test)]
mod tests {
    use pushscale_daemon::readiness::Readiness;

    use super::*;

    #[test]
    fn the_first_bundle_makes_the_program_ready() {
        let readiness = Readiness::default();
        let (mut sender, mut newest) = channel(readiness.latch());
        assert!(!readiness.is_ready());
        assert!(sender.set("one"));
        assert!(readiness.is_ready());
        assert!(!sender.set("one"));
        assert_eq!(newest.borrow_and_update().as_deref(), Some("one"));
        assert!(sender.set("two"));
        assert!(newest.has_changed().unwrap());
    }
}
