//! Lists the objects of a cluster, to check that an uninstall removes everything.

use std::collections::BTreeMap;

use crate::test_cluster::TestCluster;

/// Resources that change without a client, or that Kubernetes maintains itself.
const IGNORED_RESOURCES: [&str; 9] = [
    "bindings",
    "componentstatuses",
    "endpoints",
    "endpointslices.discovery.k8s.io",
    "events",
    "events.events.k8s.io",
    "leases.coordination.k8s.io",
    "localsubjectaccessreviews.authorization.k8s.io",
    "servicecidrs.networking.k8s.io",
];

/// Returns all objects of the cluster by resource, namespace and name, each with its generation.
pub fn objects_of(cluster: &TestCluster) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for (resource, object) in cluster.api().all_objects(&IGNORED_RESOURCES).unwrap() {
        let about = &object["metadata"];
        let namespace = about["namespace"].as_str().map(|name| format!("{name}/"));
        let name = about["name"].as_str().unwrap();
        let name = format!("{resource}/{}{name}", namespace.unwrap_or_default());
        all.insert(name, about["generation"].to_string());
    }
    all
}
