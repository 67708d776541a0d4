//! Decides which namespace is written when. Makes no requests.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::SystemTime;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{ObjectMeta, PartialObjectMeta};
use kube::runtime::watcher::Event;
use pushscale_daemon::log_limiter::LogLimiter;
use pushscale_protocol::{CA_CONFIG_MAP, CA_FILE};
use tokio::time::Instant;

use crate::bundle::Publication;
use crate::metrics::{CertificateMetrics, Failure};
use crate::secrets::MANAGED_BY;
use crate::write_schedule::WriteSchedule;

/// The state of every namespace, and the writes that are due.
#[derive(Default)]
pub(super) struct PublishQueue {
    /// The content to publish; `None` if nothing may be written.
    content: Option<Content>,
    /// Set once no namespace is outstanding. One that is created or reverted later gets the bundle within seconds.
    publication: Option<Publication>,
    /// The namespaces that exist and are not terminating.
    active: BTreeSet<String>,
    /// The digests of the existing ConfigMaps, by namespace.
    published: BTreeMap<String, u64>,
    /// When the ConfigMap of each namespace may be written again.
    schedules: BTreeMap<String, WriteSchedule>,
    due: BTreeSet<(Instant, String)>,
    /// The digests of the writes in progress.
    writing: BTreeMap<String, u64>,
    /// Nothing is written before both lists are complete, since every ConfigMap would seem to be absent.
    listing: Listing,
    /// A policy can forbid the ConfigMap in every namespace.
    failure_log: LogLimiter,
}

#[derive(Default)]
struct Listing {
    namespaces: bool,
    config_maps: bool,
    namespaces_seen: BTreeSet<String>,
    config_maps_seen: BTreeSet<String>,
}

pub(super) enum Outcome {
    Written(Box<ConfigMap>),
    /// The namespace was deleted or is terminating.
    NamespaceGone,
    Failed(String),
}

impl PublishQueue {
    /// Replaces the content, and publishes it without delay.
    pub(super) fn set_content(&mut self, content: Option<Content>) {
        let bundle = content.as_ref().map(|content| &content.bundle);
        self.publication
            .take_if(|publication| Some(&publication.bundle) != bundle);
        self.content = content;
        self.due.clear();
        let now = Instant::now();
        for namespace in self.active.clone() {
            self.schedule(namespace, now);
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
                self.active.retain(|name| seen.contains(name));
                self.schedules.retain(|name, _| seen.contains(name));
                self.listing.namespaces = true;
            }
            Event::Apply(found) => self.namespace(found),
            Event::Delete(found) => {
                let name = found.metadata.name.unwrap_or_default();
                self.active.remove(&name);
                self.schedules.remove(&name);
            }
        }
    }

    fn namespace(&mut self, found: PartialObjectMeta<Namespace>) {
        let name = found.metadata.name.unwrap_or_default();
        if found.metadata.deletion_timestamp.is_some() {
            self.active.remove(&name);
        } else if self.active.insert(name.clone()) {
            self.schedule_after_interval(name);
        }
    }

    pub(super) fn config_map_event(&mut self, event: Event<ConfigMap>) {
        match event {
            Event::Init => self.listing.config_maps_seen.clear(),
            Event::InitApply(found) => {
                let namespace = found.metadata.namespace.clone().unwrap_or_default();
                self.listing.config_maps_seen.insert(namespace.clone());
                self.published.insert(namespace, digest_of(&found));
            }
            Event::InitDone => {
                let seen = std::mem::take(&mut self.listing.config_maps_seen);
                self.published.retain(|name, _| seen.contains(name));
                self.listing.config_maps = true;
                for namespace in self.active.clone() {
                    self.schedule_after_interval(namespace);
                }
            }
            Event::Apply(found) => {
                let namespace = found.metadata.namespace.clone().unwrap_or_default();
                self.published.insert(namespace.clone(), digest_of(&found));
                self.schedule_after_interval(namespace);
            }
            Event::Delete(found) => {
                let namespace = found.metadata.namespace.unwrap_or_default();
                self.published.remove(&namespace);
                self.schedule_after_interval(namespace);
            }
        }
    }

    fn schedule_after_interval(&mut self, namespace: String) {
        let schedule = self.schedules.get(&namespace);
        let at = schedule.map_or_else(Instant::now, WriteSchedule::next);
        self.schedule(namespace, at);
    }

    fn schedule(&mut self, namespace: String, at: Instant) {
        if self.needs_write(&namespace) {
            self.due.insert((at, namespace));
        }
    }

    fn needs_write(&self, namespace: &str) -> bool {
        let Some(content) = &self.content else {
            return false;
        };
        self.listing.config_maps
            && self.active.contains(namespace)
            && !self.writing.contains_key(namespace)
            && self.published.get(namespace) != Some(&content.digest)
    }

    /// Returns the publication of the current bundle, which is complete if nothing has to be written now.
    pub(super) fn publication(&mut self, now: SystemTime) -> Option<&Publication> {
        let listed = self.listing.namespaces && self.listing.config_maps;
        let is_complete = listed && self.due.is_empty() && self.writing.is_empty();
        if let (None, Some(content), true) = (&self.publication, &self.content, is_complete) {
            let bundle = Arc::clone(&content.bundle);
            self.publication = Some(Publication { bundle, since: now });
        }
        self.publication.as_ref()
    }

    /// Returns the time of the next write.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Starts the next write that is due.
    pub(super) fn next(&mut self, now: Instant) -> Option<(String, ConfigMap)> {
        while self.next_due().is_some_and(|at| at <= now) {
            let (_, namespace) = self.due.pop_first()?;
            // The ConfigMap may have been corrected since.
            if self.needs_write(&namespace) {
                let content = self.content.as_ref()?;
                self.writing.insert(namespace.clone(), content.digest);
                return Some((namespace, content.config_map()));
            }
        }
        None
    }

    /// Records the outcome of a write.
    pub(super) fn finish(
        &mut self,
        namespace: &str,
        outcome: Outcome,
        metrics: &CertificateMetrics,
    ) {
        let digest = self.writing.remove(namespace);
        let schedule = self.schedules.entry(namespace.to_owned());
        let schedule = schedule.or_insert_with(WriteSchedule::new);
        match outcome {
            Outcome::Written(found) => {
                tracing::debug!(namespace, "CA published");
                schedule.succeeded();
                self.published
                    .insert(namespace.to_owned(), digest_of(&found));
            }
            Outcome::NamespaceGone => {
                self.active.remove(namespace);
                self.schedules.remove(namespace);
                return;
            }
            Outcome::Failed(error) => {
                metrics.failures.increment(Failure::Publish);
                schedule.failed();
                if let Some(left_out) = self.failure_log.allow(Instant::now().into_std()) {
                    tracing::warn!(
                        namespace,
                        error,
                        left_out,
                        "failed to publish the CA, retrying"
                    );
                }
            }
        }
        if digest == self.content.as_ref().map(|content| content.digest) {
            self.schedule_after_interval(namespace.to_owned());
        } else {
            // The content has changed during the write.
            self.schedule(namespace.to_owned(), Instant::now());
        }
    }
}

/// The content of the ConfigMap.
pub(super) struct Content {
    bundle: Arc<str>,
    owners: Vec<OwnerReference>,
    digest: u64,
}

/// A digest takes less memory than the bundles of ten thousand namespaces.
fn digest<'a>(bundle: &str, labelled: bool, owners: impl Iterator<Item = &'a str>) -> u64 {
    let mut hasher = DefaultHasher::new();
    (bundle, labelled, owners.collect::<Vec<_>>()).hash(&mut hasher);
    hasher.finish()
}

fn digest_of(found: &ConfigMap) -> u64 {
    let data = found.data.as_ref();
    let bundle = data.and_then(|data| data.get(CA_FILE));
    let labels = found.metadata.labels.as_ref();
    let (label, value) = MANAGED_BY;
    let labelled = labels.and_then(|labels| labels.get(label));
    let owners = found.metadata.owner_references.iter().flatten();
    digest(
        bundle.map(String::as_str).unwrap_or_default(),
        labelled.is_some_and(|found| found == value),
        owners.map(|owner| owner.uid.as_str()),
    )
}

impl Content {
    pub(super) fn new(bundle: Arc<str>, owners: Vec<OwnerReference>) -> Self {
        let uids = owners.iter().map(|owner| owner.uid.as_str());
        let digest = digest(&bundle, true, uids);
        Self {
            bundle,
            owners,
            digest,
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
            data: Some(BTreeMap::from([(
                CA_FILE.to_owned(),
                self.bundle.to_string(),
            )])),
            ..ConfigMap::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::write_schedule::WRITE_INTERVAL;

    fn namespace(name: &str, terminating: bool) -> PartialObjectMeta<Namespace> {
        let mut found = PartialObjectMeta::default();
        found.metadata.name = Some(name.to_owned());
        if terminating {
            let now = k8s_openapi::jiff::Timestamp::UNIX_EPOCH;
            found.metadata.deletion_timestamp =
                Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(now));
        }
        found
    }

    fn content(bundle: &str) -> Content {
        Content::new(Arc::from(bundle), Vec::new())
    }

    /// The ConfigMap of a namespace with this bundle.
    fn config_map(name: &str, bundle: &str) -> ConfigMap {
        let mut found = content(bundle).config_map();
        found.metadata.namespace = Some(name.to_owned());
        found
    }

    /// A queue with the namespaces `a`, which has the bundle, and `b`, which does not.
    fn queue() -> PublishQueue {
        let mut queue = PublishQueue::default();
        queue.set_content(Some(content("one")));
        queue.namespace_event(Event::Init);
        queue.namespace_event(Event::InitApply(namespace("a", false)));
        queue.namespace_event(Event::InitApply(namespace("b", false)));
        queue.namespace_event(Event::InitDone);
        assert!(
            due(&mut queue).is_empty(),
            "the ConfigMaps are not known yet"
        );
        queue.config_map_event(Event::Init);
        queue.config_map_event(Event::InitApply(config_map("a", "one")));
        queue.config_map_event(Event::InitDone);
        queue
    }

    /// Starts all writes that are due.
    fn due(queue: &mut PublishQueue) -> Vec<String> {
        let next = || queue.next(Instant::now()).map(|(namespace, _)| namespace);
        std::iter::from_fn(next).collect()
    }

    fn write(queue: &mut PublishQueue, name: &str, bundle: &str) {
        let found = Outcome::Written(Box::new(config_map(name, bundle)));
        queue.finish(name, found, &CertificateMetrics::default());
    }

    #[tokio::test(start_paused = true)]
    async fn only_namespaces_without_the_bundle_are_written() {
        let mut queue = queue();
        assert_eq!(due(&mut queue), ["b"]);
        assert!(due(&mut queue).is_empty(), "the write is in progress");
        write(&mut queue, "b", "one");
        assert!(due(&mut queue).is_empty());
        queue.namespace_event(Event::Apply(namespace("c", false)));
        assert_eq!(due(&mut queue), ["c"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reverted_config_map_is_written_at_most_once_per_interval() {
        let mut queue = queue();
        due(&mut queue);
        write(&mut queue, "b", "one");
        tokio::time::advance(WRITE_INTERVAL).await;
        queue.config_map_event(Event::Apply(config_map("b", "other")));
        assert_eq!(due(&mut queue), ["b"], "the first time without delay");
        write(&mut queue, "b", "one");
        queue.config_map_event(Event::Delete(config_map("b", "one")));
        assert!(due(&mut queue).is_empty());
        assert_eq!(queue.next_due(), Some(Instant::now() + WRITE_INTERVAL));
        tokio::time::advance(WRITE_INTERVAL).await;
        assert_eq!(due(&mut queue), ["b"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_bundle_is_written_without_delay() {
        let mut queue = queue();
        assert_eq!(due(&mut queue), ["b"]);
        queue.set_content(Some(content("two")));
        assert_eq!(due(&mut queue), ["a"]);
        write(&mut queue, "b", "one");
        assert_eq!(due(&mut queue), ["b"], "the old bundle was being written");
        write(&mut queue, "a", "two");
        write(&mut queue, "b", "two");
        assert!(due(&mut queue).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_bundle_is_published_once_no_namespace_lacks_it() {
        let mut queue = PublishQueue::default();
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let since = |queue: &mut PublishQueue, seconds| {
            let publication = queue.publication(at(seconds))?;
            Some((publication.bundle.to_string(), publication.since))
        };
        queue.set_content(Some(content("one")));
        assert_eq!(since(&mut queue, 0), None, "nothing is listed yet");
        queue.config_map_event(Event::Init);
        queue.config_map_event(Event::InitDone);
        assert_eq!(since(&mut queue, 1), None, "the namespaces are not listed");
        queue.namespace_event(Event::Init);
        queue.namespace_event(Event::InitApply(namespace("a", false)));
        queue.namespace_event(Event::InitDone);
        assert_eq!(since(&mut queue, 2), None, "it is due");
        assert_eq!(due(&mut queue), ["a"]);
        assert_eq!(since(&mut queue, 3), None, "it is being written");
        let failed = Outcome::Failed("forbidden".to_owned());
        queue.finish("a", failed, &CertificateMetrics::default());
        assert_eq!(since(&mut queue, 4), None, "it failed");
        tokio::time::sleep_until(queue.next_due().unwrap()).await;
        assert_eq!(due(&mut queue), ["a"]);
        write(&mut queue, "a", "one");
        let published = Some(("one".to_owned(), at(5)));
        assert_eq!(since(&mut queue, 5), published);

        queue.namespace_event(Event::Apply(namespace("b", false)));
        assert_eq!(since(&mut queue, 6), published, "new namespaces are common");
        queue.set_content(Some(content("two")));
        assert_eq!(since(&mut queue, 7), None);
        assert_eq!(due(&mut queue), ["a", "b"]);
        write(&mut queue, "a", "two");
        queue.namespace_event(Event::Delete(namespace("b", false)));
        let gone = Outcome::NamespaceGone;
        queue.finish("b", gone, &CertificateMetrics::default());
        assert_eq!(since(&mut queue, 8), Some(("two".to_owned(), at(8))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_terminating_namespace_is_not_written() {
        let mut queue = queue();
        queue.namespace_event(Event::Apply(namespace("b", true)));
        assert!(due(&mut queue).is_empty());
        queue.namespace_event(Event::Delete(namespace("b", true)));
        queue.namespace_event(Event::Apply(namespace("b", false)));
        assert_eq!(due(&mut queue), ["b"], "a new one of the same name");
        let gone = Outcome::NamespaceGone;
        queue.finish("b", gone, &CertificateMetrics::default());
        assert_eq!(queue.next_due(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_write_is_retried_and_nothing_is_written_without_content() {
        let mut queue = queue();
        due(&mut queue);
        let failed = Outcome::Failed("forbidden".to_owned());
        queue.finish("b", failed, &CertificateMetrics::default());
        assert!(due(&mut queue).is_empty());
        tokio::time::advance(WRITE_INTERVAL).await;
        queue.set_content(None);
        assert!(due(&mut queue).is_empty(), "the owner was deleted");
        queue.set_content(Some(content("one")));
        assert_eq!(due(&mut queue), ["b"]);
    }

    #[tokio::test(start_paused = true)]
    async fn writes_that_a_policy_forbids_become_rare() {
        let mut queue = queue();
        let start = Instant::now();
        let mut writes = 0;
        while start.elapsed() < Duration::from_hours(1) {
            assert_eq!(due(&mut queue), ["b"], "{writes}");
            writes += 1;
            let failed = Outcome::Failed("forbidden".to_owned());
            queue.finish("b", failed, &CertificateMetrics::default());
            // Another client's change of the ConfigMap does not hasten the next one.
            queue.config_map_event(Event::Apply(config_map("b", "other")));
            assert!(due(&mut queue).is_empty());
            tokio::time::sleep_until(queue.next_due().unwrap()).await;
        }
        // Every ten seconds, there would be 360.
        assert!((8..=20).contains(&writes), "{writes}");
        // The first write after a success is not delayed by the failures before it.
        assert_eq!(due(&mut queue), ["b"]);
        write(&mut queue, "b", "one");
        queue.config_map_event(Event::Delete(config_map("b", "one")));
        assert_eq!(queue.next_due(), Some(Instant::now() + WRITE_INTERVAL));
    }
}
