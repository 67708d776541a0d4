//! Finds the container that runs TorchServe.

use std::fmt;

use pushscale_api::names::annotations;
use pushscale_protocol::TORCHSERVE_MANAGEMENT_PORT;

use crate::annotation::invalid;
use crate::pod::{Container, PodSpec};
use crate::skip::Skip;

/// KServe's name for the container of the model server.
const KSERVE_CONTAINER: &str = "kserve-container";

const TORCHSERVE: &str = "torchserve";

/// A pod can have hundreds of containers; a message lists this many.
const MAX_LISTED: usize = 8;

/// The container of a pod that was identified as TorchServe's, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChosenContainer {
    /// The container's name.
    pub name: String,
    /// Why it was chosen.
    pub reason: ChosenBy,
}

/// Why a container was identified as TorchServe's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChosenBy {
    /// The caller named it, such as with `pushscale inject --container`.
    Request,
    /// The annotation `pushscale.dev/container` names it.
    Annotation,
    /// The last part of its image's repository contains `torchserve`.
    Image {
        /// The repository, without tag and digest.
        repository: String,
    },
    /// It is named `torchserve` or `kserve-container`.
    Name,
}

impl fmt::Display for ChosenContainer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "container {:?}: {}", self.name, self.reason)
    }
}

impl fmt::Display for ChosenBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request => f.write_str("named by --container"),
            Self::Annotation => write!(f, "named by the annotation {}", annotations::CONTAINER),
            Self::Image { repository } => write!(f, "its image is {repository}"),
            Self::Name => f.write_str("chosen by its name"),
        }
    }
}

/// TorchServe's container.
#[derive(Clone, Debug)]
pub(crate) struct TorchServe<'a> {
    /// The index among the pod's containers.
    pub(crate) index: usize,
    pub(crate) container: &'a Container<'a>,
    pub(crate) reason: ChosenBy,
}

impl TorchServe<'_> {
    /// Returns the management port that applies without an annotation.
    pub(crate) fn management_port(&self) -> u16 {
        // KServe's runtime for TorchServe listens on 8085: 8080 and 8081 are KServe's own server.
        if self.container.name == KSERVE_CONTAINER {
            8085
        } else {
            TORCHSERVE_MANAGEMENT_PORT
        }
    }

    pub(crate) fn chosen(&self) -> ChosenContainer {
        ChosenContainer {
            name: self.container.name.to_string(),
            reason: self.reason.clone(),
        }
    }
}

/// Finds TorchServe's container: the one that the caller names, else the one that the annotation names, else the only
/// one that looks like TorchServe by its name or its image.
pub(crate) fn find<'a>(
    spec: &'a PodSpec<'a>,
    requested: Option<&str>,
    annotated: Option<&str>,
) -> Result<TorchServe<'a>, Skip> {
    let all = || spec.containers.iter().enumerate();
    let named = |name, reason| {
        let (index, container) = all().find(|(_, container)| container.name == name)?;
        Some(TorchServe {
            index,
            container,
            reason,
        })
    };
    let names = || list(spec.containers.iter());
    if let Some(name) = requested {
        return named(name, ChosenBy::Request).ok_or_else(|| Skip::ContainerNotFound {
            name: name.to_owned(),
            containers: names(),
        });
    }
    if let Some(name) = annotated {
        return named(name, ChosenBy::Annotation).ok_or_else(|| {
            let expected = format!("the name of a container of the pod: {}", names());
            invalid(annotations::CONTAINER, name, expected)
        });
    }
    let mut candidates = all().filter_map(|(index, container)| {
        Some(TorchServe {
            index,
            container,
            reason: looks_like_torchserve(&container.name, container.image.as_deref())?,
        })
    });
    match (candidates.next(), candidates.next()) {
        (Some(found), None) => Ok(found),
        (Some(first), Some(second)) => {
            let found = [first, second].into_iter().chain(candidates);
            Err(Skip::TorchServeAmbiguous {
                containers: list(found.map(|found| found.container)),
            })
        }
        (None, _) => Err(Skip::TorchServeNotFound {
            containers: names(),
        }),
    }
}

/// Returns why a container with this name and image looks like TorchServe; `None` if it does not.
pub fn looks_like_torchserve(name: &str, image: Option<&str>) -> Option<ChosenBy> {
    let repository = image.map(repository);
    let repository = repository.filter(|repository| {
        let last = repository.rsplit('/').next();
        last.is_some_and(|name| name.contains(TORCHSERVE))
    });
    if let Some(repository) = repository {
        return Some(ChosenBy::Image {
            repository: repository.to_owned(),
        });
    }
    let named = [TORCHSERVE, KSERVE_CONTAINER].contains(&name);
    named.then_some(ChosenBy::Name)
}

/// Returns the image without its tag and digest.
fn repository(image: &str) -> &str {
    let name = image.split_once('@').map_or(image, |(name, _)| name);
    match name.rsplit_once(':') {
        // A colon before the last slash belongs to the registry's port.
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => name,
    }
}

fn list<'a>(containers: impl Iterator<Item = &'a Container<'a>>) -> String {
    let names: Vec<_> = containers.map(|container| &*container.name).collect();
    match names.get(..MAX_LISTED) {
        Some(first) if first.len() < names.len() => {
            let more = names.len() - first.len();
            format!("{} and {more} more", first.join(", "))
        }
        _ => names.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_part_of_the_repository_counts() {
        for (image, expected) in [
            ("pytorch/torchserve:0.12.0-cpu", Some("pytorch/torchserve")),
            ("torchserve", Some("torchserve")),
            (
                "localhost:5000/my-torchserve",
                Some("localhost:5000/my-torchserve"),
            ),
            ("a/torchserve-kfs@sha256:00", Some("a/torchserve-kfs")),
            ("registry.example/torchserve/web:1", None),
            ("torchserve.example:5000/web", None),
            ("registry.example/web:torchserve", None),
        ] {
            let expected = expected.map(|repository| ChosenBy::Image {
                repository: repository.to_owned(),
            });
            let found = looks_like_torchserve("server", Some(image));
            assert_eq!(found, expected, "{image}");
        }
    }
}
