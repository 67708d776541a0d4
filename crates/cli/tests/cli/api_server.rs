//! A server that answers like an API server, for commands that read a few objects.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::{fs, thread};

use serde_json::{Value, json};

/// What the server responds.
pub(crate) enum Response {
    Found(Value),
    /// An event of a watch, which then stays open until the client ends.
    Watch(Value),
    NotFound,
    /// The server is overloaded.
    TooManyRequests,
}

/// Starts a server that responds to a path with its query, and returns its kubeconfig. `test` is unique in the crate.
pub(crate) fn start(
    test: &str,
    respond: impl Fn(&str) -> Response + Copy + Send + 'static,
) -> PathBuf {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || answer(stream, respond));
        }
    });
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{test}.kubeconfig"));
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "test", "cluster": { "server": format!("http://{address}") } }],
        "users": [{ "name": "test", "user": {} }],
        "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "test" } }],
        "current-context": "test",
    });
    fs::write(&path, config.to_string()).unwrap();
    path
}

/// Answers one request.
fn answer(mut stream: TcpStream, respond: impl Fn(&str) -> Response) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut request = String::new();
    while !request.ends_with("\r\n\r\n") {
        if reader.read_line(&mut request).unwrap_or(0) == 0 {
            return;
        }
    }
    let response = respond(request.split(' ').nth(1).unwrap());
    let status = match response {
        Response::NotFound => "404 Not Found",
        Response::TooManyRequests => "429 Too Many Requests",
        _ => "200 OK",
    };
    let body = match &response {
        Response::Found(body) | Response::Watch(body) => body.clone(),
        Response::NotFound => {
            json!({ "kind": "Status", "status": "Failure", "reason": "NotFound", "message": "not found", "code": 404 })
        }
        Response::TooManyRequests => {
            json!({ "kind": "Status", "status": "Failure", "reason": "TooManyRequests", "message": "try again later", "code": 429 })
        }
    };
    let headers = "content-type: application/json\r\nconnection: close";
    write!(stream, "HTTP/1.1 {status}\r\n{headers}\r\n\r\n{body}\n").unwrap();
    if let Response::Watch(_) = response {
        reader.read_to_end(&mut Vec::new()).ok();
    }
}
