//! The queues of many models, and of models that come and go.

use pushscale_protocol::{Model, Push};
use pushscale_testkit::emulated::{EmulatedServer, ModelOptions, ServerOptions};
use pushscale_tests::http;
use pushscale_tests::sidecar::TestSidecar;
use tokio::time::timeout;

use crate::support::TIMEOUT;

/// Starts a server with these models, and its sidecar.
async fn start(names: impl Iterator<Item = String>) -> (EmulatedServer, TestSidecar) {
    let models = names.map(|name| ModelOptions {
        name,
        ..ModelOptions::default()
    });
    let options = ServerOptions {
        models: models.collect(),
        ..ServerOptions::default()
    };
    let server = EmulatedServer::start(options).unwrap();
    timeout(TIMEOUT, server.ready()).await.unwrap();
    let sidecar = TestSidecar::start_without_aggregator(&server.addresses()).await;
    (server, sidecar)
}

/// Waits until the sidecar's newest reading of the model satisfies the condition.
async fn until_reported(sidecar: &TestSidecar, name: &str, condition: impl Fn(&Model<'_>) -> bool) {
    http::until(TIMEOUT, || async {
        let answer = http::get(sidecar.address, "/reading").await;
        let Ok(push) = Push::parse(answer.body.as_bytes()) else {
            return false;
        };
        let mut models = push.models.iter();
        models.any(|model| model.name == name && condition(model))
    })
    .await;
}

/// TorchServe lists at most 100 models per page.
#[tokio::test]
async fn the_models_of_the_second_page_have_queues() {
    let (server, sidecar) = start((0..101).map(|number| format!("model-{number:03}"))).await;
    until_reported(&sidecar, "model-100", |model| {
        model.workers_ready == Some(1.0)
    })
    .await;
    sidecar.end().await;
    server.stop().await;
}

#[tokio::test]
async fn an_unregistered_model_has_an_empty_queue_until_it_is_registered_again() {
    let names = ["kept", "replaced"];
    let (server, sidecar) = start(names.map(str::to_owned).into_iter()).await;
    // The series of a model stay on the metrics page.
    assert_eq!(server.send_grpc("replaced", 1), 1);
    let has_queue = |workers| {
        move |model: &Model<'_>| (model.waiting, model.workers_ready) == (Some(0.0), Some(workers))
    };
    until_reported(&sidecar, "replaced", |model| {
        model.arrivals_total == Some(1.0) && has_queue(1.0)(model)
    })
    .await;
    server.set_registered("replaced", false);
    until_reported(&sidecar, "replaced", has_queue(0.0)).await;
    server.set_registered("replaced", true);
    assert_eq!(server.send_grpc("replaced", 1), 1);
    until_reported(&sidecar, "replaced", has_queue(1.0)).await;
    sidecar.end().await;
    server.stop().await;
}
