//! Listening ports and the connections on them.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::exposition;
use super::http::{Request, Response, read_request};
use super::process::Process;
use super::{inference, management};

#[derive(Debug, Clone, Copy)]
pub(super) enum Port {
    Inference,
    Management,
    Metrics,
}

/// Accepts connections until the future is dropped, which also resets all connections.
pub(super) async fn accept(listener: TcpListener, port: Port, process: Arc<Process>) {
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                connections.spawn(serve(stream, port, Arc::clone(&process)));
            }
            // There is no free file descriptor. Wait until another connection ends.
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(mut stream: TcpStream, port: Port, process: Arc<Process>) {
    // After an error response and on a stop, TorchServe resets the connection instead of closing it.
    stream.set_zero_linger().ok();
    stream.set_nodelay(true).ok();
    let mut buffer = Vec::with_capacity(1024);
    // An error means that the client disconnected or does not use HTTP. There is no response then.
    while let Ok(Some(request)) = read_request(&mut stream, &mut buffer).await {
        let is_head = request.is_head;
        process.switches.wait_while_frozen().await;
        let response = respond(&process, port, request).await;
        process.switches.wait_while_frozen().await;
        process.counters.lock().http_response(response.status);
        let written = response.write(&mut stream, is_head).await;
        if written.is_err() || response.closes() {
            break;
        }
    }
}

async fn respond(process: &Process, port: Port, request: Request) -> Response {
    match port {
        Port::Inference => inference::respond(process, request).await,
        Port::Management => management::respond(process, &request),
        Port::Metrics => metrics(process, &request),
    }
}

/// Responds to any method, and to any path below `/metrics`.
fn metrics(process: &Process, request: &Request) -> Response {
    match request.path.first().map(String::as_str) {
        None => Response::method_not_allowed(),
        Some("metrics") => {
            let names: Vec<String> = request.parameters("name[]").map(str::to_owned).collect();
            let mode = process.switches.metrics_mode();
            let counters = process.counters.lock();
            Response::text(exposition::page(&counters, mode, &process.hostname, &names))
        }
        Some(_) => Response::not_found(),
    }
}
