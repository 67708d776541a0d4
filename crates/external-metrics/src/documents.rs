//! The documents by which clients discover the API: fixed, each with its hash as ETag.

use hyper::header::{ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH};
use hyper::{Response, StatusCode};
use pushscale_daemon::reply::{Reply, reply};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::metric::QUEUE_LATENCY;

/// The API group.
pub(crate) const GROUP: &str = "external.metrics.k8s.io";

/// The path of the only version.
pub(crate) const VERSION_PATH: &str = "/apis/external.metrics.k8s.io/v1beta1";

const VERSION: &str = "v1beta1";
const KIND: &str = "ExternalMetricValueList";
const JSON: &str = "application/json";
const DISCOVERY_V2: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
const DISCOVERY_V2_BETA: &str =
    "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList";

/// A document.
#[derive(Debug)]
struct Document {
    content_type: &'static str,
    body: String,
    etag: HeaderValue,
}

impl Document {
    fn new(content_type: &'static str, content: &Value) -> Self {
        let body = content.to_string();
        let hash = hash(&body);
        // A hash in quotes is always a valid header.
        let etag = HeaderValue::from_str(&format!("\"{hash}\""));
        let etag = etag.unwrap_or(HeaderValue::from_static("\"\""));
        Self {
            content_type,
            body,
            etag,
        }
    }

    fn reply(&self, headers: &HeaderMap) -> Reply {
        let known = headers.get_all(IF_NONE_MATCH).iter().any(|known| {
            let tags = known.as_bytes().split(|byte| *byte == b',');
            tags.map(<[u8]>::trim_ascii).any(|tag| self.etag == tag)
        });
        let mut reply = if known {
            let mut reply = Response::default();
            *reply.status_mut() = StatusCode::NOT_MODIFIED;
            reply
        } else {
            reply(StatusCode::OK, self.content_type, self.body.clone())
        };
        reply.headers_mut().insert(ETAG, self.etag.clone());
        reply
    }
}

fn hash(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().map(|byte| format!("{byte:02X}")).collect()
}

/// All documents.
#[derive(Debug)]
pub(crate) struct Documents {
    groups: Document,
    discovery_v2: Document,
    discovery_v2_beta: Document,
    group: Document,
    resources: Document,
    openapi_v2: Document,
    openapi_v3: Document,
    openapi_v3_version: Document,
}

impl Documents {
    /// Renders all documents.
    pub(crate) fn new() -> Self {
        let version = openapi_v3();
        let relative = format!(
            "/openapi/v3{VERSION_PATH}?hash={}",
            hash(&version.to_string())
        );
        let root = json!({ "paths": { VERSION_PATH[1..]: { "serverRelativeURL": relative } } });
        Self {
            groups: Document::new(
                JSON,
                &json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": [group()] }),
            ),
            discovery_v2: Document::new(DISCOVERY_V2, &discovery("v2")),
            discovery_v2_beta: Document::new(DISCOVERY_V2_BETA, &discovery("v2beta1")),
            group: Document::new(JSON, &with_type(group(), "APIGroup")),
            resources: Document::new(JSON, &resources()),
            openapi_v2: Document::new(JSON, &openapi_v2()),
            openapi_v3: Document::new(JSON, &root),
            openapi_v3_version: Document::new(JSON, &version),
        }
    }

    /// Returns the response for a document; `None` if there is none at the path.
    pub(crate) fn reply(&self, path: &str, accept: &str, headers: &HeaderMap) -> Option<Reply> {
        let document = match path {
            "/apis" => self.discovery(accept),
            "/apis/external.metrics.k8s.io" => &self.group,
            VERSION_PATH => &self.resources,
            "/openapi/v2" => &self.openapi_v2,
            "/openapi/v3" => &self.openapi_v3,
            "/openapi/v3/apis/external.metrics.k8s.io/v1beta1" => &self.openapi_v3_version,
            _ => return None,
        };
        Some(document.reply(headers))
    }

    /// Returns the first form of the list of groups that the client accepts.
    fn discovery(&self, accept: &str) -> &Document {
        let forms = [
            (DISCOVERY_V2, &self.discovery_v2),
            (DISCOVERY_V2_BETA, &self.discovery_v2_beta),
        ];
        for accepted in accept.split(',') {
            let parameters: Vec<&str> = accepted.split(';').map(str::trim).collect();
            for (form, document) in forms {
                if form.split(';').all(|wanted| parameters.contains(&wanted)) {
                    return document;
                }
            }
        }
        &self.groups
    }
}

fn group() -> Value {
    let version = json!({ "groupVersion": format!("{GROUP}/{VERSION}"), "version": VERSION });
    json!({ "name": GROUP, "versions": [version], "preferredVersion": version })
}

fn with_type(mut object: Value, kind: &str) -> Value {
    object["kind"] = kind.into();
    object["apiVersion"] = "v1".into();
    object
}

/// One fixed name. kubectl prints a warning about an empty list, and caches no list that changes.
fn resources() -> Value {
    json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": format!("{GROUP}/{VERSION}"),
        "resources": [{
            "name": QUEUE_LATENCY,
            "singularName": "",
            "namespaced": true,
            "kind": KIND,
            "verbs": ["get"],
        }],
    })
}

fn discovery(version: &str) -> Value {
    json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": format!("apidiscovery.k8s.io/{version}"),
        "metadata": {},
        "items": [{
            "metadata": { "name": GROUP, "creationTimestamp": null },
            "versions": [{
                "version": VERSION,
                "resources": [{
                    "resource": QUEUE_LATENCY,
                    "responseKind": { "group": GROUP, "version": VERSION, "kind": KIND },
                    "scope": "Namespaced",
                    "singularResource": "",
                    "verbs": ["get"],
                }],
                "freshness": "Current",
            }],
        }],
    })
}

const METRIC_PATH: &str = "/apis/external.metrics.k8s.io/v1beta1/namespaces/{namespace}/{metric}";
const DESCRIPTION: &str = "Returns the value of an external metric, or why there is none.";
const DEFINITION: &str = "io.k8s.metrics.pkg.apis.external_metrics.v1beta1.ExternalMetricValueList";

fn info() -> Value {
    json!({ "title": "Pushscale external metrics", "version": VERSION })
}

/// The schema of a list of values, without its fields: nothing validates it.
fn schema() -> Value {
    let gvk = json!({ "group": GROUP, "version": VERSION, "kind": KIND });
    json!({ "type": "object", "x-kubernetes-group-version-kind": [gvk] })
}

fn openapi_v2() -> Value {
    let parameter =
        |name: &str| json!({ "name": name, "in": "path", "required": true, "type": "string" });
    let reference = json!({ "$ref": format!("#/definitions/{DEFINITION}") });
    json!({
        "swagger": "2.0",
        "info": info(),
        "paths": { METRIC_PATH: { "get": {
            "description": DESCRIPTION,
            "operationId": "readExternalMetricsV1beta1NamespacedMetric",
            "produces": [JSON],
            "parameters": [
                parameter("namespace"),
                parameter("metric"),
                { "name": "labelSelector", "in": "query", "type": "string", "uniqueItems": true },
            ],
            "responses": { "200": { "description": "OK", "schema": reference } },
        }}},
        "definitions": { DEFINITION: schema() },
    })
}

fn openapi_v3() -> Value {
    let parameter = |name: &str, place: &str| {
        json!({
            "name": name, "in": place, "required": place == "path", "schema": { "type": "string" },
        })
    };
    let reference = json!({ "$ref": format!("#/components/schemas/{DEFINITION}") });
    json!({
        "openapi": "3.0.0",
        "info": info(),
        "paths": { METRIC_PATH: { "get": {
            "description": DESCRIPTION,
            "operationId": "readExternalMetricsV1beta1NamespacedMetric",
            "parameters": [
                parameter("namespace", "path"),
                parameter("metric", "path"),
                parameter("labelSelector", "query"),
            ],
            "responses": { "200": {
                "description": "OK", "content": { JSON: { "schema": reference } },
            }},
        }}},
        "components": { "schemas": { DEFINITION: schema() } },
    })
}

#[cfg(test)]
mod tests {
    use hyper::header::CONTENT_TYPE;

    use super::*;

    fn content_type(path: &str, accept: &str) -> String {
        let reply = Documents::new()
            .reply(path, accept, &HeaderMap::new())
            .unwrap();
        assert_eq!(reply.status(), StatusCode::OK);
        reply.headers()[CONTENT_TYPE].to_str().unwrap().to_owned()
    }

    #[test]
    fn the_client_chooses_the_form_of_discovery() {
        // What kube-aggregator and kubectl send.
        let new = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
                   application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";
        assert_eq!(content_type("/apis", new), DISCOVERY_V2);
        let old = "application/json; as=APIGroupDiscoveryList; g=apidiscovery.k8s.io; v=v2beta1";
        assert_eq!(content_type("/apis", old), DISCOVERY_V2_BETA);
        assert_eq!(content_type("/apis", "application/json"), JSON);
        assert_eq!(content_type("/apis", ""), JSON);
    }

    #[test]
    fn a_known_document_is_not_sent_again() {
        let documents = Documents::new();
        for path in ["/apis", VERSION_PATH, "/openapi/v2", "/openapi/v3"] {
            let first = documents.reply(path, "", &HeaderMap::new()).unwrap();
            let etag = first.headers()[ETAG].clone();
            let headers = HeaderMap::from_iter([(IF_NONE_MATCH, etag.clone())]);
            let again = documents.reply(path, "", &headers).unwrap();
            assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
            assert_eq!(again.headers()[ETAG], etag);
            let headers =
                HeaderMap::from_iter([(IF_NONE_MATCH, HeaderValue::from_static("\"x\""))]);
            let other = documents.reply(path, "", &headers).unwrap();
            assert_eq!(other.status(), StatusCode::OK);
        }
        assert!(documents.reply("/api", "", &HeaderMap::new()).is_none());
    }

    #[test]
    fn the_list_has_the_name_of_the_published_setup() {
        let names = resources()["resources"].as_array().unwrap().len();
        assert_eq!(names, 1);
        assert_eq!(resources()["resources"][0]["name"], QUEUE_LATENCY);
        let root: Value = serde_json::from_str(&Documents::new().openapi_v3.body).unwrap();
        let path =
            root["paths"]["apis/external.metrics.k8s.io/v1beta1"]["serverRelativeURL"].as_str();
        let path = path.unwrap().split_once("?hash=").unwrap().0;
        assert!(
            Documents::new()
                .reply(path, "", &HeaderMap::new())
                .is_some()
        );
    }
}
