//! What is known of every namespace, and which is to be written when. No requests are made here.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{ObjectMeta, PartialObjectMeta};
use kube::runtime::watcher::Event;
use pushscale_protocol::{CA_CONFIG_MAP, CA_FILE};
use tokio::time::Instant;

use crate::metrics::{CertificateMetrics, Failure};
use crate::secrets::MANAGED_BY;

/// Between two writes in one namespace, unless there is a new CA. Who sets a ConfigMap back again and again, or a
/// second aggregator whose folder is older, is not fought as fast as both can write.
const BETWEEN_WRITES: Duration = Duration::from_secs(10);

/// What is known of every namespace, and which are due.
#[derive(Default)]
pub(super) struct PublishQueue {
    wanted: Option<Wanted>,
    /// Those that exist and are not about to end.
    open: BTreeSet<String>,
    /// What their ConfigMaps hold.
    held: BTreeMap<String, u64>,
    /// When each was written last.
    written: BTreeMap<String, Instant>,
    due: BTreeSet<(Instant, String)>,
    /// What is being written where.
    writing: BTreeMap<String, u64>,
    /// Before both lists are complete everything would look missing.
    listing: Listing,
}

#[derive(Default)]
struct Listing {
    config_maps: bool,
    namespaces_seen: BTreeSet<String>,
    config_maps_seen: BTreeSet<String>,
}

pub(super) enum Outcome {
    Written(Box<ConfigMap>),
    /// The namespace is gone, or about to.
    Closed,
    Failed(String),
}

impl PublishQueue {
    pub(super) fn want(&mut self, wanted: Option<Wanted>) {
        self.wanted = wanted;
        self.due.clear();
        // A new CA waits for nothing.
        let now = Instant::now();
        for namespace in self.open.clone() {
            self.look(namespace, now);
        }
    }

    pub(super) fn namespace_event(&mut self, event: Event<PartialObjectMeta<Namespace>>) {
        match event {
            Event::Init => self.listing.namespaces_seen.clear(),
            Event::InitApply(found) => {
                let name = found.metadata.name.clone().unwrap_or_default();
                self.listing.namespaces_seen.insert(name);
                self.namespace(found);
            }
            Event::InitDone => {
                let seen = std::mem::take(&mut self.listing.namespaces_seen);
                self.open.retain(|name| seen.contains(name));
                self.written.retain(|name, _| seen.contains(name));
            }
            Event::Apply(found) => self.namespace(found),
            Event::Delete(found) => {
                let name = found.metadata.name.unwrap_or_default();
                self.open.remove(&name);
                self.written.remove(&name);
            }
        }
    }

    fn namespace(&mut self, found: PartialObjectMeta<Namespace>) {
        let name = found.metadata.name.unwrap_or_default();
        if found.metadata.deletion_timestamp.is_some() {
            self.open.remove(&name);
        } else if self.open.insert(name.clone()) {
            self.look_when_due(name);
        }
    }

    pub(super) fn config_map_event(&mut self, event: Event<ConfigMap>) {
        match event {
            Event::Init => self.listing.config_maps_seen.clear(),
            Event::InitApply(found) => {
                let namespace = found.metadata.namespace.clone().unwrap_or_default();
                self.listing.config_maps_seen.insert(namespace.clone());
                self.held.insert(namespace, mark_of(&found));
            }
            Event::InitDone => {
                let seen = std::mem::take(&mut self.listing.config_maps_seen);
                self.held.retain(|name, _| seen.contains(name));
                self.listing.config_maps = true;
                for namespace in self.open.clone() {
                    self.look_when_due(namespace);
                }
            }
            Event::Apply(found) => {
                let namespace = found.metadata.namespace.clone().unwrap_or_default();
                self.held.insert(namespace.clone(), mark_of(&found));
                self.look_when_due(namespace);
            }
            Event::Delete(found) => {
                let namespace = found.metadata.namespace.unwrap_or_default();
                self.held.remove(&namespace);
                self.look_when_due(namespace);
            }
        }
    }

    fn look_when_due(&mut self, namespace: String) {
        let last = self.written.get(&namespace);
        let at = last.map_or_else(Instant::now, |last| *last + BETWEEN_WRITES);
        self.look(namespace, at);
    }

    fn look(&mut self, namespace: String, at: Instant) {
        if self.is_wrong(&namespace) {
            self.due.insert((at, namespace));
        }
    }

    fn is_wrong(&self, namespace: &str) -> bool {
        let Some(wanted) = &self.wanted else {
            return false;
        };
        self.listing.config_maps
            && self.open.contains(namespace)
            && !self.writing.contains_key(namespace)
            && self.held.get(namespace) != Some(&wanted.mark)
    }

    pub(super) fn wake(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// The next namespace to write, and what.
    pub(super) fn next(&mut self, now: Instant) -> Option<(String, ConfigMap)> {
        while self.wake().is_some_and(|at| at <= now) {
            let (_, namespace) = self.due.pop_first()?;
            // It may have been put right since.
            if self.is_wrong(&namespace) {
                let wanted = self.wanted.as_ref()?;
                self.writing.insert(namespace.clone(), wanted.mark);
                return Some((namespace, wanted.config_map()));
            }
        }
        None
    }

    pub(super) fn written(
        &mut self,
        namespace: &str,
        outcome: Outcome,
        metrics: &CertificateMetrics,
    ) {
        let wrote = self.writing.remove(namespace);
        self.written.insert(namespace.to_owned(), Instant::now());
        match outcome {
            Outcome::Written(found) => {
                tracing::debug!(namespace, "the CA is published");
                self.held.insert(namespace.to_owned(), mark_of(&found));
            }
            Outcome::Closed => {
                self.open.remove(namespace);
                self.written.remove(namespace);
                return;
            }
            Outcome::Failed(error) => {
                metrics.failed(Failure::Publish);
                tracing::warn!(namespace, error, "the CA was not published, trying again");
            }
        }
        if wrote == self.wanted.as_ref().map(|wanted| wanted.mark) {
            self.look_when_due(namespace.to_owned());
        } else {
            // A new CA came meanwhile, and waits for nothing.
            self.look(namespace.to_owned(), Instant::now());
        }
    }
}

/// What every namespace should have.
pub(super) struct Wanted {
    bundle: String,
    owners: Vec<OwnerReference>,
    mark: u64,
}

/// Ten thousand namespaces' bundles are not kept, only whether they are the right one.
fn mark<'a>(bundle: &str, labelled: bool, owners: impl Iterator<Item = &'a str>) -> u64 {
    let mut hasher = DefaultHasher::new();
    (bundle, labelled, owners.collect::<Vec<_>>()).hash(&mut hasher);
    hasher.finish()
}

fn mark_of(found: &ConfigMap) -> u64 {
    let data = found.data.as_ref();
    let bundle = data.and_then(|data| data.get(CA_FILE));
    let labels = found.metadata.labels.as_ref();
    let (label, value) = MANAGED_BY;
    let labelled = labels.and_then(|labels| labels.get(label));
    let owners = found.metadata.owner_references.iter().flatten();
    mark(
        bundle.map(String::as_str).unwrap_or_default(),
        labelled.is_some_and(|found| found == value),
        owners.map(|owner| owner.uid.as_str()),
    )
}

impl Wanted {
    pub(super) fn new(bundle: String, owners: Vec<OwnerReference>) -> Self {
        let uids = owners.iter().map(|owner| owner.uid.as_str());
        let mark = mark(&bundle, true, uids);
        Self {
            bundle,
            owners,
            mark,
        }
    }

    fn config_map(&self) -> ConfigMap {
        let (label, value) = MANAGED_BY;
        ConfigMap {
            metadata: ObjectMeta {
                name: Some(CA_CONFIG_MAP.to_owned()),
                labels: Some(BTreeMap::from([(label.to_owned(), value.to_owned())])),
                owner_references: Some(self.owners.clone()),
                ..ObjectMeta::default()
            },
            data: Some(BTreeMap::from([(CA_FILE.to_owned(), self.bundle.clone())])),
            ..ConfigMap::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn namespace(name: &str, ending: bool) -> PartialObjectMeta<Namespace> {
        let mut found = PartialObjectMeta::default();
        found.metadata.name = Some(name.to_owned());
        if ending {
            let now = k8s_openapi::jiff::Timestamp::UNIX_EPOCH;
            found.metadata.deletion_timestamp =
                Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(now));
        }
        found
    }

    fn wanted(bundle: &str) -> Wanted {
        Wanted::new(bundle.to_owned(), Vec::new())
    }

    /// The ConfigMap that a namespace has when this is published in it.
    fn config_map(name: &str, bundle: &str) -> ConfigMap {
        let mut found = wanted(bundle).config_map();
        found.metadata.namespace = Some(name.to_owned());
        found
    }

    /// A board that knows the namespaces `a` and `b`, of which `a` has the bundle.
    fn board() -> PublishQueue {
        let mut board = PublishQueue::default();
        board.want(Some(wanted("one")));
        board.namespace_event(Event::Init);
        board.namespace_event(Event::InitApply(namespace("a", false)));
        board.namespace_event(Event::InitApply(namespace("b", false)));
        board.namespace_event(Event::InitDone);
        assert!(
            due(&mut board).is_empty(),
            "what they have is not known yet"
        );
        board.config_map_event(Event::Init);
        board.config_map_event(Event::InitApply(config_map("a", "one")));
        board.config_map_event(Event::InitDone);
        board
    }

    /// The namespaces to write now.
    fn due(board: &mut PublishQueue) -> Vec<String> {
        let next = || board.next(Instant::now()).map(|(namespace, _)| namespace);
        std::iter::from_fn(next).collect()
    }

    fn write(board: &mut PublishQueue, name: &str, bundle: &str) {
        let found = Outcome::Written(Box::new(config_map(name, bundle)));
        board.written(name, found, &CertificateMetrics::default());
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_lacks_the_bundle_is_written() {
        let mut board = board();
        assert_eq!(due(&mut board), ["b"]);
        assert!(due(&mut board).is_empty(), "it is being written");
        write(&mut board, "b", "one");
        assert!(due(&mut board).is_empty());
        board.namespace_event(Event::Apply(namespace("c", false)));
        assert_eq!(due(&mut board), ["c"]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_sets_it_back_again_and_again_is_not_fought_as_fast() {
        let mut board = board();
        due(&mut board);
        write(&mut board, "b", "one");
        tokio::time::advance(BETWEEN_WRITES).await;
        board.config_map_event(Event::Apply(config_map("b", "other")));
        assert_eq!(due(&mut board), ["b"], "at once the first time");
        write(&mut board, "b", "one");
        board.config_map_event(Event::Delete(config_map("b", "one")));
        assert!(due(&mut board).is_empty());
        assert_eq!(board.wake(), Some(Instant::now() + BETWEEN_WRITES));
        tokio::time::advance(BETWEEN_WRITES).await;
        assert_eq!(due(&mut board), ["b"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_bundle_waits_for_nothing() {
        let mut board = board();
        assert_eq!(due(&mut board), ["b"]);
        board.want(Some(wanted("two")));
        assert_eq!(due(&mut board), ["a"]);
        write(&mut board, "b", "one");
        assert_eq!(due(&mut board), ["b"], "it got the old one meanwhile");
        write(&mut board, "a", "two");
        write(&mut board, "b", "two");
        assert!(due(&mut board).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_namespace_that_ends_is_left_alone() {
        let mut board = board();
        board.namespace_event(Event::Apply(namespace("b", true)));
        assert!(due(&mut board).is_empty());
        board.namespace_event(Event::Delete(namespace("b", true)));
        board.namespace_event(Event::Apply(namespace("b", false)));
        assert_eq!(due(&mut board), ["b"], "another of the same name");
        let closed = Outcome::Closed;
        board.written("b", closed, &CertificateMetrics::default());
        assert_eq!(board.wake(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_tried_again_and_nothing_is_written_without_a_bundle() {
        let mut board = board();
        due(&mut board);
        let failed = Outcome::Failed("forbidden".to_owned());
        board.written("b", failed, &CertificateMetrics::default());
        assert!(due(&mut board).is_empty());
        tokio::time::advance(BETWEEN_WRITES).await;
        board.want(None);
        assert!(due(&mut board).is_empty(), "its owner is gone");
        board.want(Some(wanted("one")));
        assert_eq!(due(&mut board), ["b"]);
    }
}
