//! The changes of a pod, which become the webhook's JSON patch or the edits of a manifest.
//!
//! The difference of two typed pods would not do: it would rewrite unchanged containers and drop fields that these
//! types do not know.

use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, PatchOperation, RemoveOperation, ReplaceOperation};
use serde_json::{Map, Value};

/// One step into an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A field.
    Key(&'static str),
    /// An item of a list.
    Index(usize),
}

/// One change of a pod.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Sets a field. Missing objects on the path are created.
    Set {
        /// The path of the object.
        parent: Vec<Step>,
        /// The field.
        key: String,
        /// The new value.
        value: Value,
    },
    /// Removes a field, if it exists.
    Remove {
        /// The path of the object.
        parent: Vec<Step>,
        /// The field.
        key: String,
    },
    /// Inserts an item into a list, which is created if it does not exist.
    Insert {
        /// The path of the object with the list.
        parent: Vec<Step>,
        /// The list.
        list: &'static str,
        /// Whether the item becomes the first one of the list; otherwise it becomes the last.
        first: bool,
        /// The item.
        value: Value,
    },
}

/// Applies the changes to a pod and returns the equivalent JSON patch.
pub fn apply(changes: &[Change], pod: &mut Value) -> Vec<PatchOperation> {
    changes
        .iter()
        .filter_map(|change| match change {
            Change::Set { parent, key, value } => set(pod, parent, key, value.clone()),
            Change::Remove { parent, key } => remove(pod, parent, key),
            Change::Insert {
                parent,
                list,
                first,
                value,
            } => insert(pod, parent, list, *first, value.clone()),
        })
        .collect()
}

fn set(pod: &mut Value, parent: &[Step], key: &str, value: Value) -> Option<PatchOperation> {
    let (mut path, missing) = descend(pod, parent);
    let object = pod.pointer_mut(path.as_str())?;
    // Missing objects on the path become part of the value.
    let mut names = missing.iter().filter_map(|step| match step {
        Step::Key(name) => Some((*name).to_owned()),
        Step::Index(_) => None,
    });
    let (name, value) = match names.next() {
        None => (key.to_owned(), value),
        Some(first) => {
            let rest: Vec<String> = names.chain([key.to_owned()]).collect();
            let nested = rest.into_iter().rev().fold(value, |inner, name| {
                Value::Object(Map::from_iter([(name, inner)]))
            });
            (first, nested)
        }
    };
    let Value::Object(fields) = object else {
        return None;
    };
    path.push_back(name.as_str());
    let before = fields.insert(name, value.clone());
    match before {
        Some(before) if before == value => None,
        Some(_) => Some(PatchOperation::Replace(ReplaceOperation { path, value })),
        None => Some(PatchOperation::Add(AddOperation { path, value })),
    }
}

fn remove(pod: &mut Value, parent: &[Step], key: &str) -> Option<PatchOperation> {
    let (mut path, missing) = descend(pod, parent);
    let object = pod.pointer_mut(path.as_str())?;
    let Value::Object(fields) = object else {
        return None;
    };
    if !missing.is_empty() || fields.remove(key).is_none() {
        return None;
    }
    path.push_back(key);
    Some(PatchOperation::Remove(RemoveOperation { path }))
}

fn insert(
    pod: &mut Value,
    parent: &[Step],
    list: &str,
    first: bool,
    value: Value,
) -> Option<PatchOperation> {
    let (mut path, missing) = descend(pod, parent);
    let object = pod.pointer_mut(path.as_str())?;
    let present = missing.is_empty() && object.get(list).is_some_and(Value::is_array);
    if !present {
        return set(pod, parent, list, Value::Array(vec![value]));
    }
    let items = object.get_mut(list)?.as_array_mut()?;
    path.push_back(list);
    if first {
        path.push_back("0");
        items.insert(0, value.clone());
    } else {
        path.push_back("-");
        items.push(value.clone());
    }
    Some(PatchOperation::Add(AddOperation { path, value }))
}

/// Follows the steps as far as they exist. Returns the path and the remaining steps. Null counts as absent.
fn descend<'s>(root: &Value, steps: &'s [Step]) -> (PointerBuf, &'s [Step]) {
    let mut at = root;
    let mut path = PointerBuf::new();
    let mut left = steps;
    while let Some((step, rest)) = left.split_first() {
        let there = match step {
            Step::Key(name) => at.get(name),
            Step::Index(index) => at.get(index),
        };
        let Some(there) = there.filter(|there| !there.is_null()) else {
            break;
        };
        match step {
            Step::Key(name) => path.push_back(*name),
            Step::Index(index) => path.push_back(*index),
        }
        (at, left) = (there, rest);
    }
    (path, left)
}
