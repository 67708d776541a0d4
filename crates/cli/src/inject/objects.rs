//! Finds the pods and pod templates of a document.

use crate::yaml::Node;

/// An object with a pod, or with the template of one.
pub(super) struct Found<'n> {
    /// Kind and name, such as `deployment/torchserve`.
    pub(super) name: String,
    pub(super) namespace: Option<String>,
    /// The node with the pod's `metadata` and `spec`.
    pub(super) pod: &'n Node,
    /// Its path from the document's root.
    pub(super) path: Vec<String>,
}

/// Returns the pods and pod templates of a document.
pub(super) fn find(root: &Node) -> Vec<Found<'_>> {
    let mut found = Vec::new();
    find_in(root, Vec::new(), &mut found);
    found
}

fn find_in<'n>(object: &'n Node, path: Vec<String>, found: &mut Vec<Found<'n>>) {
    let text = |node: Option<&'n Node>| node.and_then(Node::text);
    let (Some(kind), Some(version)) = (text(object.get("kind")), text(object.get("apiVersion")))
    else {
        return;
    };
    if let (true, Some(items)) = (kind.ends_with("List"), object.get("items")) {
        for (index, item) in items.items().iter().enumerate() {
            let mut path = path.clone();
            path.extend(["items".to_owned(), index.to_string()]);
            find_in(item, path, found);
        }
        return;
    }
    let steps: &[&str] = match (version, kind) {
        ("v1", "Pod") => &[],
        ("apps/v1", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet")
        | ("batch/v1", "Job")
        | ("v1", "ReplicationController") => &["spec", "template"],
        ("batch/v1", "CronJob") => &["spec", "jobTemplate", "spec", "template"],
        _ => return,
    };
    let mut pod = object;
    let mut path = path;
    for step in steps {
        match pod.get(step) {
            Some(next) => pod = next,
            None => return,
        }
        path.push((*step).to_owned());
    }
    let metadata = object.get("metadata");
    let field =
        |key: &str| text(metadata.and_then(|metadata| metadata.get(key))).map(str::to_owned);
    let name = field("name").or_else(|| field("generateName"));
    found.push(Found {
        name: format!("{}/{}", kind.to_lowercase(), name.unwrap_or_default()),
        namespace: field("namespace"),
        pod,
        path,
    });
}
