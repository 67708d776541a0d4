//! One file: what becomes of each of its objects, and of its text.

use pushscale_injector::{Facts, Outcome, Sidecar, Skip, apply, inject_value};
use serde_json::Value;

use super::edit::{Edit, edited, next_line};
use super::error::NotAsText;
use super::objects::{Found, find};
use super::{insert, take_out};
use crate::yaml::{Node, Problem, read};

/// What is done with the objects of a file.
#[derive(Clone, Copy, Debug)]
pub enum Task<'a> {
    /// The sidecar is put in.
    Inject {
        /// What every sidecar gets.
        sidecar: &'a Sidecar,
        /// Does the cluster have native sidecars?
        native_sidecar: bool,
        /// The namespace of objects that do not say theirs.
        namespace: &'a str,
    },
    /// The sidecar is taken out.
    TakeOut,
}

/// What became of a file.
#[derive(Debug)]
pub struct Done {
    /// Its text.
    pub text: String,
    /// What became of each object, in order.
    pub objects: Vec<Told>,
}

/// What became of an object.
#[derive(Debug)]
pub struct Told {
    /// Such as `deployment/torchserve`.
    pub name: String,
    /// Where its pod stands.
    pub line: usize,
    /// What was done, or why not.
    pub said: String,
    /// Is it a mistake of the file?
    pub is_mistake: bool,
}

/// Does the task with a file's text.
///
/// # Errors
/// If the text is no YAML, or a pod in it is none.
pub fn done(text: &str, task: Task<'_>) -> Result<Done, Problem> {
    let documents = read(text)?;
    let mut edits = Vec::new();
    let mut objects = Vec::new();
    let mut plans = Vec::new();
    for root in &documents {
        let mut plan = Plan::new(root);
        for found in find(root) {
            plan.object(text, &found, task, &mut objects)?;
        }
        plans.push(plan);
    }
    // As text where that can be; it is read again, and what does not say what it should is written anew.
    let as_text = plans
        .iter()
        .flat_map(|plan| plan.edits.iter().flatten().cloned());
    let tried = read(&edited(text, as_text.collect())).ok();
    for (index, plan) in plans.into_iter().enumerate() {
        let Some(expected) = plan.expected else {
            continue;
        };
        let is_so = tried
            .as_ref()
            .and_then(|roots| roots.get(index)?.value().ok())
            .is_some_and(|found| same(&found, &expected, task));
        match plan.edits {
            Some(as_text) if is_so => edits.extend(as_text),
            _ => {
                edits.push(anew(text, plan.root, &expected)?);
                for told in objects
                    .iter_mut()
                    .filter(|told: &&mut Told| plan.touched.contains(&told.line))
                {
                    told.said.push_str("; written anew, without its comments: it has anchors, or is otherwise than can be added to");
                }
            }
        }
    }
    Ok(Done {
        text: edited(text, edits),
        objects,
    })
}

/// What is to become of one document.
struct Plan<'n> {
    root: &'n Node,
    /// `None`: not as text.
    edits: Option<Vec<Edit>>,
    /// What it says then; `None`: it stays as it is.
    expected: Option<Value>,
    touched: Vec<usize>,
}

impl<'n> Plan<'n> {
    fn new(root: &'n Node) -> Self {
        Self {
            root,
            edits: Some(Vec::new()),
            expected: None,
            touched: Vec::new(),
        }
    }

    fn object(
        &mut self,
        text: &str,
        found: &Found<'_>,
        task: Task<'_>,
        objects: &mut Vec<Told>,
    ) -> Result<(), Problem> {
        let mut told = Told {
            name: found.name.clone(),
            line: found.pod.line,
            said: String::new(),
            is_mistake: false,
        };
        // With the document's anchors, which may stand before the pod.
        let whole = match self.expected.take() {
            Some(expected) => expected,
            None => self.root.value()?,
        };
        let mut after = whole;
        let Some(pod) = at(&mut after, &found.path) else {
            return Err(Problem::at(
                found.pod.line,
                "this is no object; expected a pod's template",
            ));
        };
        let mut has_changed = true;
        let edits = match task {
            Task::Inject {
                sidecar,
                native_sidecar,
                namespace,
            } => {
                let facts = Facts {
                    namespace: found.namespace.as_deref().unwrap_or(namespace),
                    native_sidecar,
                    sidecar,
                };
                let outcome = inject_value(pod, &facts).map_err(|error| {
                    Problem::at(found.pod.line, format!("this is no pod: {error}"))
                })?;
                match outcome {
                    Outcome::Injected(injection) => {
                        apply(&injection.changes, pod);
                        told.said = injection
                            .notes
                            .iter()
                            .fold("injected".to_owned(), |said, note| {
                                format!("{said}; {}", note.told())
                            });
                        insert::edits(text, found.pod, &injection.changes)
                    }
                    Outcome::Skipped(skip) => {
                        told.said = format!("left as it is: {}", skip.told());
                        told.is_mistake = skip.is_mistake();
                        told.line = line_of(found.pod, &skip).unwrap_or(told.line);
                        has_changed = false;
                        Ok(Vec::new())
                    }
                }
            }
            Task::TakeOut => match take_out::ours(pod) {
                Some(paths) => {
                    take_out::from_value(pod, &paths);
                    "the sidecar is taken out".clone_into(&mut told.said);
                    take_out::edits(text, found.pod, &paths)
                }
                None => {
                    "left as it is: nothing was injected".clone_into(&mut told.said);
                    has_changed = false;
                    Ok(Vec::new())
                }
            },
        };
        match (edits, &mut self.edits) {
            (Ok(more), Some(edits)) => edits.extend(more),
            (Err(NotAsText), _) => self.edits = None,
            (Ok(_), None) => {}
        }
        if has_changed {
            self.touched.push(told.line);
        }
        if has_changed || !self.touched.is_empty() {
            self.expected = Some(after);
        }
        objects.push(told);
        Ok(())
    }
}

fn at<'v>(root: &'v mut Value, path: &[String]) -> Option<&'v mut Value> {
    path.iter().try_fold(root, |at, step| match at {
        Value::Array(items) => items.get_mut(step.parse::<usize>().ok()?),
        other => other.get_mut(step),
    })
}

/// Where the annotation or the label stands that cannot be used.
fn line_of(pod: &Node, skip: &Skip) -> Option<usize> {
    let metadata = pod.get("metadata")?;
    let (map, key) = match skip {
        Skip::InvalidAnnotation { annotation, .. } => ("annotations", annotation.as_str()),
        Skip::InvalidLabel { .. } => ("labels", pushscale_api::names::inject::LABEL),
        _ => return None,
    };
    Some(metadata.get(map)?.entry(key)?.key.line)
}

fn same(found: &Value, expected: &Value, task: Task<'_>) -> bool {
    match task {
        Task::Inject { .. } => found == expected,
        // What was empty before is empty again, which the values alone do not know; nor do they know the grace
        // period that a comment remembers.
        Task::TakeOut => bare(found) == bare(expected),
    }
}

/// Without what is empty, and without grace periods.
fn bare(value: &Value) -> Value {
    let is_empty = |value: &Value| match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    };
    match value {
        Value::Array(items) => items.iter().map(bare).collect(),
        Value::Object(fields) => fields
            .iter()
            .filter(|(key, _)| *key != insert::GRACE)
            .map(|(key, value)| (key.clone(), bare(value)))
            .filter(|(_, value)| !is_empty(value))
            .collect(),
        other => other.clone(),
    }
}

/// The whole document, in place of what it was.
fn anew(text: &str, root: &Node, value: &Value) -> Result<Edit, Problem> {
    let written = if root.is_flow() {
        let written = serde_json::to_string_pretty(value);
        written.map_err(|error| Problem::at(root.line, error.to_string()))?
    } else {
        let written = serde_saphyr::to_string(value);
        written.map_err(|error| Problem::at(root.line, error.to_string()))?
    };
    let written = format!("{}\n", written.trim_end());
    Ok(Edit::replace(
        root.start,
        next_line(text, root.content_end()),
        written,
    ))
}
