//! An injector on loopback without a cluster, and a client that sends reviews like an API server: over TLS, one after
//! the other on a persistent connection.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use crate::http::{Response, get, until};
use pushscale_daemon::config::Settings;
use pushscale_daemon::shutdown::Shutdown;
use pushscale_daemon::tls::{CaBundle, ClientStream};
use pushscale_injector::{Config, PROGRAM, bind};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The limit for any response.
const DEADLINE: Duration = Duration::from_secs(120);

/// The addresses of a running injector.
#[derive(Clone, Copy, Debug)]
pub struct Injector {
    /// Address of the webhook.
    pub address: SocketAddr,
    /// Address of the admin pages.
    pub admin: SocketAddr,
}

/// Writes a new self-signed certificate for loopback into a directory.
pub fn certify(directory: &Path) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    fs::create_dir_all(directory).unwrap();
    fs::write(directory.join("tls.key"), made.signing_key.serialize_pem()).unwrap();
    fs::write(directory.join("tls.crt"), made.cert.pem()).unwrap();
}

impl Injector {
    /// Starts an injector on the current runtime, with the certificate of a directory. It stops with `stop`.
    pub async fn start(directory: &Path, stop: Shutdown) -> Self {
        let pairs = [
            ("PUSHSCALE_INJECTOR_LISTEN", "127.0.0.1:0"),
            ("PUSHSCALE_INJECTOR_ADMIN_LISTEN", "127.0.0.1:0"),
            ("PUSHSCALE_INJECTOR_TLS_DIR", directory.to_str().unwrap()),
            ("PUSHSCALE_INJECTOR_NATIVE_SIDECAR", "true"),
        ];
        let settings = Settings::from_pairs(&PROGRAM, pairs).unwrap();
        let bound = bind(Config::from_settings(settings).unwrap())
            .await
            .unwrap();
        let injector = Self {
            address: bound.address(),
            admin: bound.admin_address(),
        };
        tokio::spawn(bound.run_with(None, stop));
        let admin = injector.admin;
        until(DEADLINE, || async move {
            get(admin, "/ready").await.status == 200
        })
        .await;
        injector
    }
}

/// A TLS connection that trusts the certificate of a directory.
#[derive(Debug)]
pub struct Connection(ClientStream);

impl Connection {
    /// Connects. Returns `None` if the server has another certificate.
    pub async fn open(address: SocketAddr, directory: &Path) -> Option<Self> {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let authority = CaBundle::from_file(directory.join("tls.crt"));
        let connected = authority.open(&address.ip().to_string(), stream).await;
        connected.ok().map(Self)
    }

    /// Sends a request and reads the response by its content length.
    pub async fn ask(&mut self, method: &str, path: &str, body: &[u8]) -> Response {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: injector\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let mut request = head.into_bytes();
        request.extend_from_slice(body);
        self.send(&request).await
    }

    /// Sends these bytes and reads the response.
    pub async fn send(&mut self, request: &[u8]) -> Response {
        let talk = async {
            // A server that rejects a request before it has read the body may close the connection early.
            self.0.write_all(request).await.ok();
            self.0.flush().await.ok();
            let mut answer = Vec::new();
            loop {
                if let Some(whole) = whole(&answer) {
                    return whole;
                }
                let read = self.0.read_buf(&mut answer).await.unwrap_or(0);
                assert!(
                    read > 0,
                    "it ends in {:?}",
                    String::from_utf8_lossy(&answer)
                );
            }
        };
        tokio::time::timeout(DEADLINE, talk)
            .await
            .expect("an answer in time")
    }
}

fn whole(bytes: &[u8]) -> Option<Response> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))?;
    (body.len() >= length.parse().ok()?).then(|| Response {
        status: head.split_whitespace().nth(1).unwrap().parse().unwrap(),
        body: body.to_owned(),
    })
}

/// Returns the AdmissionReview that an API server sends for a pod.
pub fn review(pod: &Value) -> Vec<u8> {
    let review = json!({
        "kind": "AdmissionReview",
        "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": { "group": "", "version": "v1", "kind": "Pod" },
            "resource": { "group": "", "version": "v1", "resource": "pods" },
            "namespace": "models",
            "operation": "CREATE",
            "userInfo": { "username": "system:serviceaccount:kube-system:replicaset-controller" },
            "object": pod,
            "oldObject": null,
            "dryRun": false,
        },
    });
    serde_json::to_vec(&review).unwrap()
}
