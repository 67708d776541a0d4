//! What the injection put into a pod, taken out again: in the values, and in the text.

use std::collections::{BTreeMap, BTreeSet};

use pushscale_api::names::{SIDECAR_CONTAINER, TRUST_VOLUME, annotations};
use pushscale_protocol::{DRAIN_PATH, SIDECAR_PORT};
use serde_json::Value;

use super::edit::{Edit, line_start, next_line, side_by_side};
use super::error::NotAsText;
use super::insert::{GRACE, NOTHING, OURS, WAS, dash};
use crate::yaml::{Kind, Node};

/// The steps to a value: names of fields, and places in lists as digits.
type Path = Vec<String>;

/// What is ours in this pod; none if it was not injected. `metadata` and `spec` are its fields.
pub(super) fn ours(pod: &Value) -> Option<Vec<Path>> {
    let annotated = pod.get("metadata")?.get("annotations")?;
    annotated.get(annotations::INJECTED)?;
    let mut found = Vec::new();
    for key in [annotations::INJECTED, annotations::SKIPPED] {
        if annotated.get(key).is_some() {
            found.push(path(&["metadata", "annotations", key]));
        }
    }
    let spec = pod.get("spec")?;
    for (list, name) in [
        ("initContainers", SIDECAR_CONTAINER),
        ("containers", SIDECAR_CONTAINER),
        ("volumes", TRUST_VOLUME),
    ] {
        for (index, item) in items(spec, list) {
            if item.get("name").is_some_and(|found| found == name) {
                found.push(path(&["spec", list, &index.to_string()]));
            }
        }
    }
    for (index, container) in items(spec, "containers") {
        let hook = container.pointer("/lifecycle/preStop/httpGet");
        if hook.is_some_and(|hook| hook["path"] == DRAIN_PATH && hook["port"] == SIDECAR_PORT) {
            found.push(path(&[
                "spec",
                "containers",
                &index.to_string(),
                "lifecycle",
                "preStop",
            ]));
        }
    }
    Some(found)
}

fn items<'v>(spec: &'v Value, list: &str) -> impl Iterator<Item = (usize, &'v Value)> {
    spec.get(list)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .enumerate()
}

fn path(steps: &[&str]) -> Path {
    steps.iter().map(|step| (*step).to_owned()).collect()
}

/// Takes these out of the value, and what is empty then.
pub(super) fn from_value(pod: &mut Value, paths: &[Path]) {
    // From the end: places in lists before the one taken out stay what they are.
    for path in paths.iter().rev() {
        let mut path = path.as_slice();
        while let Some((last, parent)) = path.split_last() {
            let place = parent.iter().try_fold(&mut *pod, |at, step| match at {
                Value::Array(items) => items.get_mut(step.parse::<usize>().ok()?),
                other => other.get_mut(step),
            });
            let empty = match place {
                Some(Value::Object(fields)) => {
                    fields.remove(last);
                    fields.is_empty()
                }
                Some(Value::Array(items)) => {
                    let index = last.parse().unwrap_or(usize::MAX);
                    if index < items.len() {
                        items.remove(index);
                    }
                    items.is_empty()
                }
                _ => false,
            };
            if !empty || parent.is_empty() {
                break;
            }
            path = parent;
        }
    }
}

/// The edits that take these out of the text, and set the grace period back.
pub(super) fn edits(text: &str, pod: &Node, paths: &[Path]) -> Result<Vec<Edit>, NotAsText> {
    let mut taken: BTreeSet<Path> = paths.iter().cloned().collect();
    let mut edits = Vec::new();
    if let Some(grace) = grace(text, pod)? {
        match grace {
            Grace::Back(edit) => edits.push(edit),
            Grace::Out => {
                taken.insert(path(&["spec", GRACE]));
            }
        }
    }
    // What is empty then goes, too, unless it was there before.
    loop {
        let mut by_parent: BTreeMap<Path, usize> = BTreeMap::new();
        for path in &taken {
            if let Some((_, parent)) = path.split_last() {
                *by_parent.entry(parent.to_vec()).or_default() += 1;
            }
        }
        let emptied = by_parent.into_iter().find(|(parent, count)| {
            !parent.is_empty()
                && !taken.contains(parent)
                && place(pod, parent).is_some_and(|node| size(node) == *count)
        });
        let Some((parent, _)) = emptied else { break };
        let node = place(pod, &parent).ok_or(NotAsText)?;
        let above = parent
            .split_last()
            .and_then(|(_, above)| place(pod, above))
            .ok_or(NotAsText)?;
        taken.retain(|path| path.split_last().is_none_or(|(_, above)| *above != *parent));
        if node.is_flow() && !above.is_flow() {
            edits.push(emptied_flow(text, node)?);
        } else {
            taken.insert(parent);
        }
        // Of what goes as a whole, no part goes by itself.
        let whole = taken.clone();
        taken.retain(|path| {
            !(1..path.len())
                .any(|length| path.get(..length).is_some_and(|part| whole.contains(part)))
        });
    }
    let mut by_parent: BTreeMap<Path, Vec<String>> = BTreeMap::new();
    for mut path in taken {
        let last = path.pop().ok_or(NotAsText)?;
        by_parent.entry(path).or_default().push(last);
    }
    for (parent, children) in by_parent {
        let parent = place(pod, &parent).ok_or(NotAsText)?;
        edits.extend(without(text, parent, &children)?);
    }
    Ok(side_by_side(text, edits))
}

enum Grace {
    /// It was another.
    Back(Edit),
    /// It was none.
    Out,
}

fn grace(text: &str, pod: &Node) -> Result<Option<Grace>, NotAsText> {
    let Some((spec, entry)) = pod
        .get("spec")
        .and_then(|spec| Some((spec, spec.entry(GRACE)?)))
    else {
        return Ok(None);
    };
    let after = text.get(entry.value.end..).ok_or(NotAsText)?;
    if let Some(edit) = set_back(&entry.value, after) {
        return Ok(Some(Grace::Back(edit)));
    }
    let line = after.lines().next().unwrap_or_default();
    // Between brackets there is no room for a comment: what we would have set is taken for ours.
    let usual = spec.is_flow() && entry.value.text() == Some("35");
    Ok((line == OURS || usual).then_some(Grace::Out))
}

/// The value that a comment behind it remembers.
fn set_back(value: &Node, after: &str) -> Option<Edit> {
    let was = after.strip_prefix(WAS)?;
    let was = was.split_whitespace().next()?;
    let to = value.end + WAS.len() + was.len();
    Some(if was == NOTHING {
        // With the space between it and the colon.
        Edit::replace(value.start.checked_sub(1)?, to, "")
    } else {
        Edit::replace(value.start, to, was)
    })
}

/// Brackets that were there before stay there, and what was no brackets is so again.
fn emptied_flow(text: &str, node: &Node) -> Result<Edit, NotAsText> {
    let after = text.get(node.end..).ok_or(NotAsText)?;
    if let Some(edit) = set_back(node, after) {
        return Ok(edit);
    }
    let parts = parts(node);
    let (Some(first), Some(last)) = (parts.first(), parts.last()) else {
        return Err(NotAsText);
    };
    Ok(Edit::replace(first.start, last.end, ""))
}

/// Where an entry or an item stands.
struct Part {
    name: String,
    start: usize,
    end: usize,
}

fn parts(node: &Node) -> Vec<Part> {
    match &node.kind {
        Kind::Mapping { entries, .. } => entries
            .iter()
            .map(|entry| Part {
                name: entry.key.text().unwrap_or_default().to_owned(),
                start: entry.key.start,
                end: entry.content_end(),
            })
            .collect(),
        Kind::Sequence { items, .. } => items
            .iter()
            .enumerate()
            .map(|(index, item)| Part {
                name: index.to_string(),
                start: item.start,
                end: item.content_end(),
            })
            .collect(),
        _ => Vec::new(),
    }
}

fn without(text: &str, parent: &Node, children: &[String]) -> Result<Vec<Edit>, NotAsText> {
    let parts = parts(parent);
    let gone = |part: &Part| children.contains(&part.name);
    if !parent.is_flow() {
        let lines = |part: &Part| {
            let item = parent.items().get(part.name.parse().unwrap_or(usize::MAX));
            let begins = match item {
                Some(item) => dash(text, item).ok_or(NotAsText)?,
                None => part.start,
            };
            let from = line_start(text, begins);
            let alone = text
                .get(from..begins)
                .is_some_and(|before| before.bytes().all(|byte| byte == b' '));
            if alone {
                Ok(Edit::replace(from, next_line(text, part.end), ""))
            } else {
                Err(NotAsText)
            }
        };
        return parts.iter().filter(|part| gone(part)).map(lines).collect();
    }
    // Between brackets each goes with the comma before it, and the first ones with the comma behind.
    let mut edits = Vec::new();
    let kept = parts.iter().position(|part| !gone(part)).ok_or(NotAsText)?;
    if let (true, Some(first), Some(next)) = (kept > 0, parts.first(), parts.get(kept)) {
        edits.push(Edit::replace(first.start, next.start, ""));
    }
    for pair in parts.get(kept..).unwrap_or_default().windows(2) {
        if let [before, part] = pair
            && gone(part)
        {
            edits.push(Edit::replace(before.end, part.end, ""));
        }
    }
    Ok(edits)
}

fn size(node: &Node) -> usize {
    match &node.kind {
        Kind::Mapping { entries, .. } => entries.len(),
        Kind::Sequence { items, .. } => items.len(),
        _ => usize::MAX,
    }
}

/// The node at the end of these steps.
fn place<'n>(pod: &'n Node, path: &[String]) -> Option<&'n Node> {
    path.iter().try_fold(pod, |at, step| match &at.kind {
        Kind::Sequence { items, .. } => items.get(step.parse::<usize>().ok()?),
        _ => at.get(step),
    })
}
