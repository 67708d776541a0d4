//! The resources of the program. Attackers send large and hostile reviews in parallel: the program stays below its
//! memory limit of 64 MiB and answers the API server's reviews.
#![cfg(test)]

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use pushscale_daemon::tls::{CaBundle, ClientStream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Only a hang takes longer.
const TIMEOUT: Duration = Duration::from_secs(120);

/// The largest body that the injector accepts.
const MAX_BODY: usize = 3 << 20;

/// The peak of the resident memory, below the chart's limit of 64 MiB.
const MAX_PEAK_KB: u64 = 48 << 10;

/// The address of the API server. Attackers have others.
const API_SERVER: Ipv4Addr = Ipv4Addr::LOCALHOST;

const REVIEW: &str = r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u",
"namespace":"models","operation":"CREATE","object":{"apiVersion":"v1","kind":"Pod","metadata":{},
"spec":{"containers":[{"name":"torchserve","image":"pytorch/torchserve:0.12.0-cpu"}]}}}}"#;

/// A running injector, killed when dropped.
struct Injector {
    program: Child,
    address: SocketAddr,
    directory: PathBuf,
}

impl Drop for Injector {
    fn drop(&mut self) {
        self.program.kill().ok();
        self.program.wait().ok();
    }
}

impl Injector {
    async fn start(name: &str) -> Self {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&directory).unwrap();
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        fs::write(directory.join("tls.key"), made.signing_key.serialize_pem()).unwrap();
        fs::write(directory.join("tls.crt"), made.cert.pem()).unwrap();
        let kubeconfig = directory.join("kubeconfig");
        fs::write(
            &kubeconfig,
            r#"{"apiVersion":"v1","kind":"Config","current-context":"none",
            "contexts":[{"name":"none","context":{"cluster":"none","user":"none"}}],
            "clusters":[{"name":"none","cluster":{"server":"http://127.0.0.1:9"}}],
            "users":[{"name":"none","user":{}}]}"#,
        )
        .unwrap();
        // The soft limit of open files is lower than the number of connections, as in many containers.
        let mut program = Command::new("sh")
            .args(["-c", "ulimit -Sn 256 && exec \"$0\""])
            .arg(env!("CARGO_BIN_EXE_pushscale-injector"))
            .env("KUBECONFIG", kubeconfig)
            .env("PUSHSCALE_INJECTOR_LISTEN", "127.0.0.1:0")
            .env("PUSHSCALE_INJECTOR_ADMIN_LISTEN", "127.0.0.1:0")
            .env("PUSHSCALE_INJECTOR_TLS_DIR", &directory)
            .env("PUSHSCALE_INJECTOR_NATIVE_SIDECAR", "true")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(program.stderr.take().unwrap()).lines();
        let listening = lines.find_map(|line| {
            let line = line.unwrap();
            let (_, address) = line.split_once("server=\"admission\" address=")?;
            Some(address.parse().unwrap())
        });
        std::thread::spawn(move || lines.for_each(drop));
        let injector = Self {
            program,
            address: listening.expect("the address in the log"),
            directory,
        };
        // Handshakes fail until the certificate is loaded.
        while injector.connect(API_SERVER).await.is_none() {
            tokio::task::yield_now().await;
        }
        injector
    }

    async fn connect(&self, from: Ipv4Addr) -> Option<ClientStream> {
        let stream = self.connect_tcp(from).await.ok()?;
        let ca = CaBundle::from_file(self.directory.join("tls.crt"));
        ca.open("127.0.0.1", stream).await.ok()
    }

    async fn connect_tcp(&self, from: Ipv4Addr) -> std::io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((from, 0)))?;
        socket.connect(self.address).await
    }

    /// Sends a body on a new connection. Returns the response's status, or `None` if there is no response.
    async fn post(&self, from: Ipv4Addr, body: &[u8]) -> Option<u16> {
        let mut stream = self.connect(from).await?;
        let head = format!(
            "POST /inject HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        // The injector may answer before it has read the body, and close the connection.
        if stream.write_all(head.as_bytes()).await.is_ok() && stream.write_all(body).await.is_ok() {
            stream.flush().await.ok();
        }
        status(&mut stream).await
    }

    /// Reviews a pod like the API server, which must succeed.
    async fn review(&self) {
        let status = timeout(TIMEOUT, self.post(API_SERVER, REVIEW.as_bytes()));
        assert_eq!(status.await.unwrap(), Some(200));
    }

    fn peak_kb(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.program.id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.unwrap().trim().strip_suffix(" kB").unwrap();
        peak.parse().unwrap()
    }
}

async fn status(stream: &mut ClientStream) -> Option<u16> {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok();
    let text = String::from_utf8_lossy(&answer);
    text.split_whitespace().nth(1)?.parse().ok()
}

fn attacker(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, 2 + number)
}

/// A review whose object is a pod with this text, filled up with `items`, separated by commas.
fn hostile(before: &str, mut item: impl FnMut(usize) -> String, after: &str) -> Vec<u8> {
    let mut body = format!(
        r#"{{"apiVersion":"admission.k8s.io/v1","request":{{"uid":"u","namespace":"models","object":{before}"#
    );
    let end = format!("{after}}}}}");
    for number in 0.. {
        let next = item(number);
        if body.len() + next.len() + 1 + end.len() > MAX_BODY {
            break;
        }
        if number > 0 {
            body.push(',');
        }
        write!(body, "{next}").unwrap();
    }
    (body + &end).into_bytes()
}

/// Bodies that need much more memory than their size if they are parsed into a tree, or into Kubernetes' types.
fn hostile_bodies() -> Vec<Vec<u8>> {
    let large = "\u{7f}".repeat(MAX_BODY - 200);
    let pod = r#"{"spec":{"containers":[{"name":"torchserve"}],"#;
    vec![
        hostile("[", |_| "[0]".to_owned(), "]"),
        hostile(r#"{"spec":{"containers":["#, |_| "{}".to_owned(), "]}}"),
        hostile(
            r#"{"spec":{"containers":[{"name":"torchserve","ports":["#,
            |_| "{}".to_owned(),
            "]}]}}",
        ),
        hostile(
            r#"{"spec":{"containers":["#,
            |_| {
                let mount = r#"{"mountPath":"/"}"#;
                format!(r#"{{"volumeMounts":[{}]}}"#, [mount; 250].join(","))
            },
            "]}}",
        ),
        hostile(
            &format!(r#"{pod}"volumes":["#),
            |_| "{}".to_owned(),
            "]}}",
        ),
        hostile(
            r#"{"metadata":{"annotations":{"#,
            |number| format!(r#""{number:x}":"""#),
            "}}}",
        ),
        hostile(
            r#"{"metadata":{"annotations":{"#,
            |number| format!(r#""pushscale.dev/{number:x}":"""#),
            "}}}",
        ),
        format!(r#"{{"apiVersion":"admission.k8s.io/v1","request":"{large}"}}"#).into_bytes(),
        format!(r#"{{"apiVersion":"admission.k8s.io/v1","request":{{"uid":"{large}"}}}}"#)
            .into_bytes(),
        format!(
            r#"{{"apiVersion":"admission.k8s.io/v1","request":{{"uid":"u","object":{{"spec":"{large}"}}}}}}"#
        )
        .into_bytes(),
        vec![b'['; MAX_BODY],
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn parallel_hostile_reviews_stay_below_the_memory_limit_and_keep_no_pod_out() {
    let injector = Arc::new(Injector::start("resources-reviews").await);
    let before = injector.peak_kb();
    let mut attacks = JoinSet::new();
    for (body, number) in hostile_bodies().into_iter().cycle().take(88).zip(0_u8..) {
        let injector = Arc::clone(&injector);
        let from = attacker(number % 4);
        attacks.spawn(async move { injector.post(from, &body).await });
    }
    let mut answered = 0;
    while !attacks.is_empty() {
        injector.review().await;
        while let Some(attack) = attacks.try_join_next() {
            answered += usize::from(attack.unwrap().is_some());
        }
    }
    assert!(answered > 0, "no attack was answered");
    let peak = injector.peak_kb();
    eprintln!("peak: {before} kB before, {peak} kB after; {answered} of 88 attacks answered");
    assert!(peak < MAX_PEAK_KB, "the peak is {peak} kB");
}

#[tokio::test]
async fn the_program_may_open_as_many_files_as_its_hard_limit_permits() {
    let injector = Injector::start("resources-files").await;
    let limits = fs::read_to_string(format!("/proc/{}/limits", injector.program.id())).unwrap();
    let files = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let [soft, hard] = [3, 4].map(|column| files.unwrap().split_whitespace().nth(column));
    assert_eq!(soft, hard);
}

/// Each connection announces the largest body and does not send it, or begins a handshake and does not continue.
#[tokio::test(flavor = "multi_thread")]
async fn one_client_that_holds_all_that_it_may_keeps_no_pod_out() {
    let injector = Injector::start("resources-idle").await;
    let mut held = Vec::new();
    for number in 0..512 {
        // Beyond its limit the attacker gets 503 instead of a handshake.
        let Ok(mut stream) = injector.connect_tcp(attacker(0)).await else {
            continue;
        };
        if number >= 64 {
            stream.write_all(&[22]).await.ok();
            held.push(stream);
            continue;
        }
        let ca = CaBundle::from_file(injector.directory.join("tls.crt"));
        if let Ok(mut stream) = ca.open("127.0.0.1", stream).await {
            let head =
                format!("POST /inject HTTP/1.1\r\nhost: x\r\ncontent-length: {MAX_BODY}\r\n\r\n{{");
            stream.write_all(head.as_bytes()).await.unwrap();
            stream.flush().await.unwrap();
            tokio::spawn(async move { status(&mut stream).await });
        }
    }
    // Connections are accepted in order, so all of the attacker's before the first review.
    for _ in 0..20 {
        injector.review().await;
    }
    let peak = injector.peak_kb();
    eprintln!("peak: {peak} kB with {} idle connections", held.len());
    assert!(peak < MAX_PEAK_KB, "the peak is {peak} kB");
}
