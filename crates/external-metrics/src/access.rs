//! Checks with the API server whether a client may read a metric, and caches the result for a short time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::api::PostParams;
use kube::{Api, Client};
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use crate::documents::GROUP;
use crate::request_header::Caller;
use crate::status::ApiError;

/// How long the result of a review is valid, as in other API servers.
const TTL: Duration = Duration::from_secs(10);

/// Maximum number of cached results, of about 100 bytes.
const MAX_CACHED: usize = 1024;

/// Maximum number of reviews in progress.
const MAX_REVIEWS: usize = 16;

/// The timeout of a review, with the wait for its turn.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The group that may do everything.
const MASTERS: &str = "system:masters";

/// Reviews accesses.
pub(crate) trait Reviewer: Send + Sync {
    /// Returns whether the access is allowed, or why that is unknown.
    fn review(&self, access: SubjectAccessReviewSpec) -> BoxFuture<'_, Result<bool, String>>;
}

/// Reviews accesses with the API server.
pub(crate) struct KubeReviewer(pub(crate) Client);

impl Reviewer for KubeReviewer {
    fn review(&self, access: SubjectAccessReviewSpec) -> BoxFuture<'_, Result<bool, String>> {
        Box::pin(async move {
            let api: Api<SubjectAccessReview> = Api::all(self.0.clone());
            let review = SubjectAccessReview {
                spec: access,
                ..SubjectAccessReview::default()
            };
            match api.create(&PostParams::default(), &review).await {
                Ok(review) => Ok(review.status.is_some_and(|status| status.allowed)),
                Err(kube::Error::Api(status)) => Err(status.message.clone()),
                Err(error) => Err(error.to_string()),
            }
        })
    }
}

/// Authorizes requests from the cache, or with a review.
pub(crate) struct Authorizer {
    reviewer: Arc<dyn Reviewer>,
    reviews: Semaphore,
    cache: Mutex<HashMap<[u8; 32], CachedReview>>,
}

struct CachedReview {
    allowed: bool,
    expires: Instant,
}

impl Authorizer {
    pub(crate) fn new(reviewer: Arc<dyn Reviewer>) -> Self {
        Self {
            reviewer,
            reviews: Semaphore::new(MAX_REVIEWS),
            cache: Mutex::default(),
        }
    }

    /// Permits a client to read a metric in a namespace.
    ///
    /// # Errors
    /// If it may not, or if that is unknown.
    pub(crate) async fn authorize(
        &self,
        caller: Caller,
        namespace: &str,
        metric: &str,
    ) -> Result<(), ApiError> {
        if caller.groups.iter().any(|group| group == MASTERS) {
            return Ok(());
        }
        let user = caller.user.clone();
        let access = access(caller, namespace, metric);
        // The hash of the question instead of the question, so that an entry has a size.
        let question =
            serde_json::to_vec(&access).map_err(|error| ApiError::Review(error.to_string()))?;
        let key: [u8; 32] = Sha256::digest(&question).into();
        let allowed = match self.cached(&key) {
            Some(allowed) => allowed,
            None => {
                let allowed = self.review(access).await?;
                self.store(key, allowed);
                allowed
            }
        };
        if allowed {
            return Ok(());
        }
        Err(ApiError::Forbidden {
            user,
            verb: VERB,
            metric: metric.to_owned(),
            namespace: namespace.to_owned(),
        })
    }

    async fn review(&self, access: SubjectAccessReviewSpec) -> Result<bool, ApiError> {
        let reviewed = timeout(TIMEOUT, async {
            // The semaphore is never closed.
            let _permit = self.reviews.acquire().await.ok();
            self.reviewer.review(access).await
        });
        match reviewed.await {
            Ok(result) => result.map_err(ApiError::Review),
            Err(_) => Err(ApiError::Review(
                "the API server did not respond in time".to_owned(),
            )),
        }
    }

    fn cached(&self, key: &[u8; 32]) -> Option<bool> {
        let cache = self.cache.lock();
        let review = cache.get(key)?;
        (Instant::now() < review.expires).then_some(review.allowed)
    }

    fn store(&self, key: [u8; 32], allowed: bool) {
        let now = Instant::now();
        let mut cache = self.cache.lock();
        if cache.len() >= MAX_CACHED {
            cache.retain(|_, review| now < review.expires);
        }
        if cache.len() >= MAX_CACHED {
            cache.clear();
        }
        let expires = now + TTL;
        cache.insert(key, CachedReview { allowed, expires });
    }
}

/// A metric is read by its path as a collection, for which Kubernetes' verb is `list`.
const VERB: &str = "list";

fn access(caller: Caller, namespace: &str, metric: &str) -> SubjectAccessReviewSpec {
    SubjectAccessReviewSpec {
        user: Some(caller.user),
        groups: Some(caller.groups),
        uid: caller.uid,
        extra: Some(caller.extra),
        resource_attributes: Some(ResourceAttributes {
            group: Some(GROUP.to_owned()),
            version: Some("v1beta1".to_owned()),
            resource: Some(metric.to_owned()),
            namespace: Some(namespace.to_owned()),
            verb: Some(VERB.to_owned()),
            ..ResourceAttributes::default()
        }),
        ..SubjectAccessReviewSpec::default()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Allows accesses of `jane`, and fails for `unknown`.
    #[derive(Default)]
    pub(crate) struct FakeReviewer {
        pub(crate) reviews: Mutex<Vec<SubjectAccessReviewSpec>>,
    }

    impl Reviewer for FakeReviewer {
        fn review(&self, access: SubjectAccessReviewSpec) -> BoxFuture<'_, Result<bool, String>> {
            let result = match access.user.as_deref() {
                Some("unknown") => Err("etcd is down".to_owned()),
                user => Ok(user == Some("jane")),
            };
            self.reviews.lock().push(access);
            Box::pin(std::future::ready(result))
        }
    }

    fn caller(user: &str, group: &str) -> Caller {
        Caller {
            user: user.to_owned(),
            groups: vec![group.to_owned()],
            ..Caller::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn reviews_are_cached_for_ten_seconds() {
        let reviewer = Arc::new(FakeReviewer::default());
        let authorizer = Authorizer::new(reviewer.clone());
        let read = |user| authorizer.authorize(caller(user, "dev"), "models", "a-wait");
        for _ in 0..2 {
            assert!(read("jane").await.is_ok());
            let error = read("joe").await.unwrap_err();
            assert!(matches!(error, ApiError::Forbidden { .. }), "{error}");
        }
        assert_eq!(reviewer.reviews.lock().len(), 2);
        tokio::time::advance(TTL).await;
        assert!(read("jane").await.is_ok());
        assert_eq!(reviewer.reviews.lock().len(), 3);
        // Every part of the question counts.
        let other = authorizer.authorize(caller("jane", "ops"), "models", "a-wait");
        assert!(other.await.is_ok());
        let other = authorizer.authorize(caller("jane", "dev"), "other", "a-wait");
        assert!(other.await.is_ok());
        assert_eq!(reviewer.reviews.lock().len(), 5);
    }

    #[tokio::test]
    async fn the_review_names_the_metric_as_resource() {
        let reviewer = Arc::new(FakeReviewer::default());
        let authorizer = Authorizer::new(reviewer.clone());
        let authorized = authorizer.authorize(caller("jane", "dev"), "models", "a-wait");
        authorized.await.unwrap();
        let attributes = reviewer.reviews.lock()[0]
            .resource_attributes
            .clone()
            .unwrap();
        assert_eq!(attributes.verb.as_deref(), Some("list"));
        assert_eq!(attributes.group.as_deref(), Some("external.metrics.k8s.io"));
        assert_eq!(attributes.resource.as_deref(), Some("a-wait"));
        assert_eq!(attributes.namespace.as_deref(), Some("models"));
    }

    #[tokio::test]
    async fn masters_are_not_reviewed_and_failures_are_not_cached() {
        let reviewer = Arc::new(FakeReviewer::default());
        let authorizer = Authorizer::new(reviewer.clone());
        let master = authorizer.authorize(caller("x", MASTERS), "models", "a-wait");
        assert!(master.await.is_ok());
        assert!(reviewer.reviews.lock().is_empty());
        for count in 1..3 {
            let failed = authorizer
                .authorize(caller("unknown", ""), "models", "a-wait")
                .await;
            assert!(matches!(failed, Err(ApiError::Review(_))));
            assert_eq!(reviewer.reviews.lock().len(), count);
        }
    }

    #[tokio::test]
    async fn the_cache_is_bounded() {
        let authorizer = Authorizer::new(Arc::new(FakeReviewer::default()));
        for index in 0..=MAX_CACHED {
            let namespace = index.to_string();
            let authorized = authorizer.authorize(caller("jane", ""), &namespace, "a-wait");
            authorized.await.unwrap();
        }
        assert!(authorizer.cache.lock().len() <= MAX_CACHED);
    }
}
