//! Which objects of a document have pods in them, and where.

use crate::yaml::Node;

/// An object with a pod, or with the template of one.
pub(super) struct Found<'n> {
    /// Such as `deployment/torchserve`.
    pub(super) name: String,
    pub(super) namespace: Option<String>,
    /// `metadata` and `spec` of the pod are its fields.
    pub(super) pod: &'n Node,
    /// The way there from the document's root.
    pub(super) path: Vec<String>,
}

/// All of one document.
pub(super) fn find(root: &Node) -> Vec<Found<'_>> {
    let mut found = Vec::new();
    object(root, Vec::new(), &mut found);
    found
}

fn object<'n>(object_: &'n Node, path: Vec<String>, found: &mut Vec<Found<'n>>) {
    let text = |node: Option<&'n Node>| node.and_then(Node::text);
    let (Some(kind), Some(version)) = (text(object_.get("kind")), text(object_.get("apiVersion")))
    else {
        return;
    };
    if let (true, Some(items)) = (kind.ends_with("List"), object_.get("items")) {
        for (index, item) in items.items().iter().enumerate() {
            let mut path = path.clone();
            path.extend(["items".to_owned(), index.to_string()]);
            object(item, path, found);
        }
        return;
    }
    let way: &[&str] = match (version, kind) {
        ("v1", "Pod") => &[],
        ("apps/v1", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet")
        | ("batch/v1", "Job")
        | ("v1", "ReplicationController") => &["spec", "template"],
        ("batch/v1", "CronJob") => &["spec", "jobTemplate", "spec", "template"],
        _ => return,
    };
    let mut pod = object_;
    let mut path = path;
    for step in way {
        match pod.get(step) {
            Some(next) => pod = next,
            None => return,
        }
        path.push((*step).to_owned());
    }
    let metadata = object_.get("metadata");
    let said = |key: &str| text(metadata.and_then(|metadata| metadata.get(key))).map(str::to_owned);
    let name = said("name").or_else(|| said("generateName"));
    found.push(Found {
        name: format!("{}/{}", kind.to_lowercase(), name.unwrap_or_default()),
        namespace: said("namespace"),
        pod,
        path,
    });
}
