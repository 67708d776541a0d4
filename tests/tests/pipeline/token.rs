//! When a sidecar sends its token.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use hyper::StatusCode;
use hyper::header::AUTHORIZATION;
use hyper::service::service_fn;
use pushscale_daemon::http_server::{self, Limits};
use pushscale_daemon::reply::{json, reject};
use pushscale_daemon::shutdown::Shutdown;
use pushscale_tests::http;
use pushscale_tests::sidecar::TestSidecar;

use crate::support::{TIMEOUT, server};

#[tokio::test]
async fn the_token_is_sent_until_it_is_remembered_and_again_after_a_401() {
    // An aggregator that only looks for tokens. It forgets the first one after three pushes.
    let bound = http_server::bind("push", (Ipv4Addr::LOCALHOST, 0).into());
    let bound = bound.await.unwrap();
    let address = bound.address().to_string();
    let tokens = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&tokens);
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let has_token = request.headers().contains_key(AUTHORIZATION);
        let mut seen = seen.lock().unwrap();
        seen.push(has_token);
        let answer = match seen.len() {
            4 => reject(StatusCode::UNAUTHORIZED, "token missing".to_owned()),
            _ => json(StatusCode::OK, r#"{"tokenRemembered":true}"#),
        };
        async { Ok::<_, Infallible>(answer) }
    });
    let stop = Shutdown::new();
    let serving = tokio::spawn(bound.serve(Limits::default(), service, stop.clone()));

    let file = std::env::temp_dir().join(format!("pushscale-sent-{}", std::process::id()));
    std::fs::write(&file, "e30.e30.signature").unwrap();
    let server = server().await;
    let settings = [("PUSHSCALE_SIDECAR_TOKEN_FILE", file.to_str().unwrap())];
    let sidecar =
        TestSidecar::start_with("torchserve-0", &server.addresses(), &address, &settings).await;
    http::until(TIMEOUT, || async { tokens.lock().unwrap().len() >= 6 }).await;
    sidecar.end().await;
    stop.cancel();
    serving.await.unwrap();
    std::fs::remove_file(file).unwrap();
    let tokens = tokens.lock().unwrap();
    assert_eq!(tokens[..6], [true, false, false, false, true, false]);
}
