//! Changes of a pod as changes of the text that it stands in.

use pushscale_injector::{Change, Step};
use serde_json::{Map, Value};

use super::edit::{Edit, line_start, lines, next_line};
use super::error::NotAsText;
use super::write;
use crate::yaml::{Kind, Node};

/// The only number that is set, and that a user may have set before.
pub(super) const GRACE: &str = "terminationGracePeriodSeconds";

/// Says in a comment that a line is ours, where nothing else tells.
pub(super) const OURS: &str = " # pushscale";

/// Says in a comment what stood there.
pub(super) const WAS: &str = " # pushscale: was ";

/// What [`WAS`] calls a value that was not there.
pub(super) const NOTHING: &str = "nothing";

/// The edits that make the changes of the pod that stands at `pod`.
pub(super) fn edits(text: &str, pod: &Node, changes: &[Change]) -> Result<Vec<Edit>, NotAsText> {
    let mut edits = Vec::new();
    let mut left = changes;
    while let Some((change, rest)) = left.split_first() {
        left = rest;
        match change {
            Change::Set { parent, key, value } => {
                let mut fields = Map::from_iter([(key.clone(), value.clone())]);
                // What goes to the same place goes together: the place may have to be made.
                while let Some((
                    Change::Set {
                        parent: same,
                        key,
                        value,
                    },
                    rest,
                )) = left.split_first()
                {
                    if same != parent {
                        break;
                    }
                    fields.insert(key.clone(), value.clone());
                    left = rest;
                }
                set(text, pod, parent, fields, &mut edits)?;
            }
            Change::Insert {
                parent,
                list,
                first,
                value,
            } => {
                let mapping = descend(pod, parent).filter(|(_, missing)| missing.is_empty());
                let (mapping, _) = mapping.ok_or(NotAsText)?;
                match mapping.get(list) {
                    Some(there) if !there.is_null() => {
                        let edit = insert(text, mapping, list, *first, value)?;
                        edits.push(edit.at_depth(parent.len() + 1));
                    }
                    _ => {
                        let whole = Value::Array(vec![value.clone()]);
                        edits.push(add(text, mapping, list, &whole)?.at_depth(parent.len()));
                    }
                }
            }
            // An annotation of an earlier injection, in a file that came out of a cluster.
            Change::Remove { .. } => return Err(NotAsText),
        }
    }
    Ok(edits)
}

fn set(
    text: &str,
    pod: &Node,
    parent: &[Step],
    fields: Map<String, Value>,
    edits: &mut Vec<Edit>,
) -> Result<(), NotAsText> {
    let (mapping, missing) = descend(pod, parent).ok_or(NotAsText)?;
    let names: Vec<&str> = missing
        .iter()
        .filter_map(|step| match step {
            Step::Key(name) => Some(*name),
            Step::Index(_) => None,
        })
        .collect();
    if let Some((first, rest)) = names.split_first() {
        let nested = rest
            .iter()
            .rev()
            .fold(Value::Object(fields), |inner, name| {
                Value::Object(Map::from_iter([((*name).to_owned(), inner)]))
            });
        edits.push(add(text, mapping, first, &nested)?.at_depth(parent.len() - missing.len()));
        return Ok(());
    }
    for (key, value) in fields {
        edits.push(add(text, mapping, &key, &value)?.at_depth(parent.len()));
    }
    Ok(())
}

/// As far down as there is something, and the steps that are left.
fn descend<'n, 's>(pod: &'n Node, steps: &'s [Step]) -> Option<(&'n Node, &'s [Step])> {
    let mut at = pod;
    let mut left = steps;
    while let Some((step, rest)) = left.split_first() {
        let next = match step {
            Step::Key(name) => at.get(name),
            Step::Index(index) => Some(at.items().get(*index)?),
        };
        match next {
            Some(next) if !next.is_null() => (at, left) = (next, rest),
            _ => break,
        }
    }
    matches!(at.kind, Kind::Mapping { .. }).then_some((at, left))
}

/// An entry of a mapping, new or in place of what it was.
fn add(text: &str, mapping: &Node, key: &str, value: &Value) -> Result<Edit, NotAsText> {
    let Kind::Mapping { flow, entries } = &mapping.kind else {
        return Err(NotAsText);
    };
    if let Some(entry) = mapping.entry(key) {
        return replace(text, &entry.key, &entry.value, *flow, value);
    }
    if *flow {
        let pair = format!("{}: {}", write::flow(&Value::from(key)), write::flow(value));
        return Ok(match entries.last() {
            None => Edit::put(mapping.start + 1, pair),
            Some(last) => Edit::put(last.content_end(), format!(", {pair}")),
        });
    }
    let first = entries.first().ok_or(NotAsText)?;
    let indent = column(text, first.key.start);
    let mut entry = write::entry(key, value, indent);
    if key == GRACE {
        entry.insert_str(entry.len() - 1, OURS);
    }
    Ok(lines(text, next_line(text, mapping.content_end()), &entry))
}

fn replace(
    text: &str,
    key: &Node,
    there: &Node,
    flow: bool,
    value: &Value,
) -> Result<Edit, NotAsText> {
    let Kind::Scalar { .. } = there.kind else {
        return Err(NotAsText);
    };
    let said = text.get(there.start..there.end).ok_or(NotAsText)?;
    let mut new = match value {
        Value::Object(_) | Value::Array(_) => write::flow(value),
        scalar => write::plain(scalar),
    };
    if said.is_empty() {
        // Nothing stands there: the value comes behind the colon.
        let colon = text
            .get(key.end..)
            .and_then(|after| after.find(':'))
            .ok_or(NotAsText)?;
        let was = if flow {
            String::new()
        } else {
            format!("{WAS}{NOTHING}")
        };
        return Ok(Edit::put(key.end + colon + 1, format!(" {new}{was}")));
    }
    if said.contains(['#', ' ', '\t', '\n']) || said == NOTHING {
        return Err(NotAsText);
    }
    if !flow {
        new.push_str(WAS);
        new.push_str(said);
    }
    Ok(Edit::replace(there.start, there.end, new))
}

/// An item of a list that is there.
fn insert(
    text: &str,
    mapping: &Node,
    list: &str,
    first: bool,
    value: &Value,
) -> Result<Edit, NotAsText> {
    let entry = mapping.entry(list).ok_or(NotAsText)?;
    let Kind::Sequence { flow, items } = &entry.value.kind else {
        return Err(NotAsText);
    };
    if *flow {
        let item = write::flow(value);
        return Ok(match (items.first(), items.last()) {
            (Some(before), _) if first => Edit::put(before.start, format!("{item}, ")),
            (_, Some(after)) => Edit::put(after.content_end(), format!(", {item}")),
            _ => Edit::put(entry.value.start + 1, item),
        });
    }
    let dash = dash(text, items.first().ok_or(NotAsText)?).ok_or(NotAsText)?;
    let item = write::item(value, column(text, dash));
    let at = if first {
        // Before the comments of the item that was first.
        next_line(text, entry.key.end)
    } else {
        next_line(text, entry.value.content_end())
    };
    Ok(lines(text, at, &item))
}

/// The dash of an item.
pub(super) fn dash(text: &str, item: &Node) -> Option<usize> {
    let begins = line_start(text, item.start);
    let before = text.get(begins..item.start)?;
    let dash = before.find('-')?;
    before
        .bytes()
        .take(dash)
        .all(|byte| byte == b' ')
        .then_some(begins + dash)
}

pub(super) fn column(text: &str, at: usize) -> usize {
    text.get(line_start(text, at)..at)
        .map_or(0, |before| before.chars().count())
}
