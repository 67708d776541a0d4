//! Processes one file: injects or uninjects its pods, and edits its text.

use pushscale_injector::{Facts, Outcome, Sidecar, Skip, apply, inject_value};
use serde_json::Value;

use super::edit::{Change, edit, to_yaml};
use super::objects::{Found, find};
use super::uninject::uninject;
use crate::yaml::{Node, Problem, read, value};

/// What to do with the pods of a file.
#[derive(Clone, Copy, Debug)]
pub enum Task<'a> {
    /// Adds the sidecar.
    Inject {
        /// The settings of the sidecar.
        sidecar: &'a Sidecar,
        /// Whether the cluster has native sidecars.
        native_sidecar: bool,
        /// The namespace of objects without one.
        namespace: &'a str,
        /// TorchServe's container; `None` detects it in each pod.
        container: Option<&'a str>,
    },
    /// Removes the sidecar.
    Uninject,
}

/// A processed file.
#[derive(Debug)]
pub struct ProcessedFile {
    /// Its new text.
    pub text: String,
    /// What was done with each object that has a pod, in order.
    pub objects: Vec<ProcessedObject>,
}

/// What was done with an object.
#[derive(Debug)]
pub struct ProcessedObject {
    /// Kind and name, such as `deployment/torchserve`.
    pub name: String,
    /// The line of its pod.
    pub line: usize,
    /// What was done, or why the object is unchanged.
    pub message: String,
    /// The kind of result.
    pub result: ObjectResult,
}

/// The result for an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectResult {
    /// The pod has the sidecar: it was added, or was there before.
    HasSidecar,
    /// No container looks like TorchServe, so the pod is unchanged.
    NotTorchServe,
    /// The pod has no sidecar, and needs none.
    NoSidecar,
    /// The user has to correct the file or the options.
    Error,
}

/// Injects or uninjects the pods in a file's text.
///
/// # Errors
///
/// Fails if the text is not YAML, or if something that should be a pod is not one.
pub fn process_file(text: &str, task: Task<'_>) -> Result<ProcessedFile, Problem> {
    let roots = read(text)?;
    let mut objects = Vec::new();
    let mut changes = Vec::new();
    let mut document_of = Vec::new();
    for (index, root) in roots.iter().enumerate() {
        let found = find(root);
        if found.is_empty() {
            changes.push(None);
            continue;
        }
        let before = value(root)?;
        let mut after = before.clone();
        for found in found {
            objects.push(process_object(&mut after, &found, task)?);
            document_of.push(index);
        }
        changes.push((before != after).then_some(Change { before, after }));
    }
    let edited = edit(text, &changes);
    let wrong = differing(edited.as_deref(), &changes);
    let text = match edited {
        Some(edited) if wrong.is_empty() => edited,
        _ => {
            for (object, document) in objects.iter_mut().zip(&document_of) {
                if wrong.contains(document) {
                    object.message.push_str(
                        "; document rewritten, comments lost: it uses anchors or a layout that cannot be edited in place",
                    );
                }
            }
            rewrite(text, &roots, &mut changes, &wrong)?
        }
    };
    Ok(ProcessedFile { text, objects })
}

fn process_object(
    document: &mut Value,
    found: &Found<'_>,
    task: Task<'_>,
) -> Result<ProcessedObject, Problem> {
    let mut object = ProcessedObject {
        name: found.name.clone(),
        line: found.pod.line,
        message: String::new(),
        result: ObjectResult::NoSidecar,
    };
    let pod = found.path.iter().try_fold(document, |at, step| match at {
        Value::Array(items) => items.get_mut(step.parse::<usize>().ok()?),
        other => other.get_mut(step),
    });
    let Some(pod) = pod else {
        return Err(Problem::at(
            found.pod.line,
            "this is not an object; expected a pod template",
        ));
    };
    let Task::Inject {
        sidecar,
        native_sidecar,
        namespace,
        container,
    } = task
    else {
        let message = if uninject(pod) {
            "sidecar removed"
        } else {
            "unchanged: nothing was injected"
        };
        message.clone_into(&mut object.message);
        return Ok(object);
    };
    let facts = Facts {
        namespace: found.namespace.as_deref().unwrap_or(namespace),
        container,
        native_sidecar,
        sidecar,
    };
    // An injected pod gets the sidecar of the present options and annotations.
    let was_injected = uninject(pod);
    let outcome = inject_value(pod, &facts);
    let outcome =
        outcome.map_err(|error| Problem::at(found.pod.line, format!("not a pod: {error}")))?;
    match outcome {
        Outcome::Injected(injection) => {
            apply(&injection.changes, pod);
            let notes = injection
                .notes
                .iter()
                .map(|note| format!("; {}", note.message()))
                .collect::<String>();
            object.message = format!("injected ({}){notes}", injection.container);
            object.result = ObjectResult::HasSidecar;
        }
        Outcome::Skipped(skip) => {
            let change = if was_injected {
                "sidecar removed"
            } else {
                "unchanged"
            };
            object.message = format!("{change}: {}", skip.message());
            object.result = match &skip {
                skip if skip.is_user_error() => ObjectResult::Error,
                // Added by hand: without the annotation, it is not known what else belongs to it.
                Skip::AlreadyInjected => ObjectResult::HasSidecar,
                Skip::TorchServeNotFound { .. } => ObjectResult::NotTorchServe,
                _ => ObjectResult::NoSidecar,
            };
            object.line = line_of(found.pod, &skip).unwrap_or(object.line);
        }
    }
    Ok(object)
}

/// Returns the line of the annotation or label that caused the skip.
fn line_of(pod: &Node, skip: &Skip) -> Option<usize> {
    let (map, key) = match skip {
        Skip::InvalidAnnotation { annotation, .. } => ("annotations", annotation.as_str()),
        Skip::InvalidLabel { .. } => ("labels", pushscale_api::names::inject::LABEL),
        _ => return None,
    };
    Some(pod.get("metadata")?.get(map)?.entry(key)?.key.line)
}

/// Returns the indices of the changed documents that do not have their new value in the edited text.
fn differing(edited: Option<&str>, changes: &[Option<Change>]) -> Vec<usize> {
    let found = edited.and_then(|edited| read(edited).ok());
    let differs = |(index, change): (usize, &Option<Change>)| {
        let after = &change.as_ref()?.after;
        let found = found
            .as_ref()
            .and_then(|roots| value(roots.get(index)?).ok());
        (found.as_ref() != Some(after)).then_some(index)
    };
    changes.iter().enumerate().filter_map(differs).collect()
}

/// Rewrites some documents, which loses their comments, and edits the others in place.
fn rewrite(
    text: &str,
    roots: &[Node],
    changes: &mut [Option<Change>],
    documents: &[usize],
) -> Result<String, Problem> {
    let mut text = text.to_owned();
    for (root, change) in roots
        .iter()
        .zip(changes.iter_mut())
        .enumerate()
        .rev()
        .filter_map(|(index, pair)| documents.contains(&index).then_some(pair))
    {
        let Some(Change { after, .. }) = change.take() else {
            continue;
        };
        let written = if root.is_flow() {
            serde_json::to_string_pretty(&after).map_err(|error| error.to_string())
        } else {
            to_yaml(&after).map_err(|error| error.to_string())
        };
        let written = written.map_err(|error| Problem::at(root.line, error))?;
        text.replace_range(root.start..root.content_end(), written.trim_end());
    }
    let line = roots.first().map_or(1, |root| root.line);
    edit(&text, changes)
        .ok_or_else(|| Problem::at(line, "the file has a layout that cannot be edited"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_documents_that_cannot_be_edited_are_rewritten() {
        let text = "# first\na: 1\n---\n# second\nb: 1 # one\n";
        let change = |before: Value, after: Value| Some(Change { before, after });
        let mut changes = [
            change(json!({ "a": 1 }), json!({ "a": 2 })),
            change(json!({ "b": 1 }), json!({ "b": 2 })),
        ];
        assert_eq!(differing(Some(text), &changes), [0, 1]);
        let rewritten = rewrite(text, &read(text).unwrap(), &mut changes, &[0]);
        assert_eq!(
            rewritten.unwrap(),
            "# first\na: 2\n---\n# second\nb: 2 # one\n"
        );
    }
}
