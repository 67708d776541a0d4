//! What is added to a pod, piece by piece: the same pieces become the webhook's JSON patch and lines in a file.
//!
//! Not the difference of two pods: that would write containers again that nobody touched, and lose in them what
//! this version of Kubernetes' types does not know.

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
    /// A field is set, whether it is there or not; objects on the way to it are made.
    Set {
        /// The object that has it.
        parent: Vec<Step>,
        /// Its name.
        key: String,
        /// What it becomes.
        value: Value,
    },
    /// A field is taken out, if it is there.
    Remove {
        /// The object that has it.
        parent: Vec<Step>,
        /// Its name.
        key: String,
    },
    /// An item is put into a list, which is made if it is not there.
    Insert {
        /// The object that has the list.
        parent: Vec<Step>,
        /// The list's name.
        list: &'static str,
        /// Before the others, or after them.
        first: bool,
        /// The item.
        value: Value,
    },
}

/// Changes a pod, and gives the JSON patch that does the same.
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
    // What is missing of the way becomes part of the value.
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

/// As far down as there is something: its path, and the steps that are left. A null is nothing.
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
