//! Which container is TorchServe's.

use k8s_openapi::api::core::v1::{Container, PodSpec};
use pushscale_api::names::annotations;

use crate::annotation::invalid;
use crate::skip::Skip;

/// KServe's name for the container with the model server.
const KSERVE_CONTAINER: &str = "kserve-container";

const TORCHSERVE: &str = "torchserve";

/// Containers that others inject beside a model server: with them it is still the only one.
const PROXIES: [&str; 3] = ["istio-proxy", "linkerd-proxy", "queue-proxy"];

/// TorchServe's container.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TorchServe<'a> {
    /// Its place among the pod's containers.
    pub(crate) index: usize,
    pub(crate) container: &'a Container,
    /// Where its metrics are, unless an annotation says otherwise.
    pub(crate) metrics_port: u16,
    /// Its management port, unless an annotation says otherwise.
    pub(crate) management_port: u16,
}

/// Finds it: by annotation, by name, by image, or because it is the only one.
pub(crate) fn find<'a>(spec: &'a PodSpec, named: Option<&str>) -> Result<TorchServe<'a>, Skip> {
    let all = || spec.containers.iter().enumerate();
    if let Some(named) = named {
        return all()
            .find(|(_, container)| container.name == named)
            .map(profile)
            .ok_or_else(|| {
                let expected = format!(
                    "the name of a container of the pod: {}",
                    list(&names(all()))
                );
                invalid(annotations::CONTAINER, named, expected)
            });
    }
    for name in [TORCHSERVE, KSERVE_CONTAINER] {
        if let Some(found) = all().find(|(_, container)| container.name == name) {
            return Ok(profile(found));
        }
    }
    let own: Vec<_> = all()
        .filter(|(_, container)| !PROXIES.contains(&container.name.as_str()))
        .collect();
    let by_image: Vec<_> = own
        .iter()
        .copied()
        .filter(|(_, container)| {
            container
                .image
                .as_deref()
                .is_some_and(|image| image.contains(TORCHSERVE))
        })
        .collect();
    match (by_image.as_slice(), own.as_slice()) {
        ([found], _) | ([], [found]) => Ok(profile(*found)),
        ([], _) => Err(Skip::TorchServeNotFound {
            containers: told(names(own.into_iter())),
        }),
        (several, _) => Err(Skip::TorchServeAmbiguous {
            containers: told(names(several.iter().copied())),
        }),
    }
}

fn profile((index, container): (usize, &Container)) -> TorchServe<'_> {
    TorchServe {
        index,
        container,
        metrics_port: 8082,
        // KServe's runtime for TorchServe sets its ports in config.properties: inference 8080 is KServe's own
        // server, 8085 is what TorchServe answers on.
        management_port: if container.name == KSERVE_CONTAINER {
            8085
        } else {
            8081
        },
    }
}

fn names<'a>(containers: impl Iterator<Item = (usize, &'a Container)>) -> Vec<String> {
    containers
        .map(|(_, container)| container.name.clone())
        .collect()
}

/// A pod may have hundreds; a sentence has room for some.
fn told(mut names: Vec<String>) -> Vec<String> {
    const MOST: usize = 8;
    if names.len() > MOST {
        let more = format!("and {} more", names.len() - MOST);
        names.truncate(MOST);
        names.push(more);
    }
    names
}

fn list(names: &[String]) -> String {
    told(names.to_vec()).join(", ")
}
