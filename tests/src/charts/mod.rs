//! The charts: their annotated values, and the files that are generated from them.

mod helm;
mod kubernetes;
mod readme;
mod schema;
mod values;

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

pub use helm::Helm;
pub use readme::readme;
pub use schema::schema;
pub use values::{Key, keys};

use crate::programs;

/// The charts, by their directories in `helm`.
pub const CHARTS: [&str; 2] = ["pushscale", "torchserve"];

/// Returns the directory of a chart.
pub fn directory(chart: &str) -> PathBuf {
    programs::repository().join("helm").join(chart)
}

/// Returns a file of a chart.
pub fn read(chart: &str, file: &str) -> String {
    let path = directory(chart).join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns the alerts of an installation in this namespace.
pub fn alerts(namespace: &str) -> Value {
    let text = read("pushscale", "files/alerts.yaml").replace("NAMESPACE", namespace);
    serde_saphyr::from_str(&text).unwrap()
}

/// Returns the documents of a rendered chart.
pub fn objects(rendered: &str) -> Vec<Value> {
    let all: Vec<Value> = serde_saphyr::from_multiple(rendered).unwrap();
    all.into_iter().filter(|object| !object.is_null()).collect()
}

/// Returns `kind` and `metadata.name`.
pub fn name_of(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    format!(
        "{}/{}",
        text(&object["kind"]),
        text(&object["metadata"]["name"])
    )
}
