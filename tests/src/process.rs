//! A program that runs with the permissions of a service account, and its log.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::namespace::TIMEOUT;
use crate::test_cluster::TestCluster;

/// A program that runs with the permissions of a service account, and its log.
pub(crate) struct Process {
    child: Child,
    log: Arc<Mutex<String>>,
    account: String,
    kubeconfig: PathBuf,
}

impl Process {
    /// Starts a command with a kubeconfig of an account, and with these settings in its environment.
    pub(crate) fn start(
        cluster: &TestCluster,
        namespace: &str,
        account: &str,
        mut command: Command,
        settings: &[(&str, &str)],
    ) -> Self {
        let kubeconfig = kubeconfig_of(cluster, namespace, account);
        let mut child = command
            .env("KUBECONFIG", &kubeconfig)
            .envs(settings.iter().copied())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let kept = Arc::clone(&log);
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let mut log = kept.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        Self {
            child,
            log,
            account: account.to_owned(),
            kubeconfig,
        }
    }

    /// Returns the kubeconfig that it got.
    pub(crate) fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Returns what it has written to stderr.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Returns the address of one of its servers, once the log has it.
    pub(crate) async fn address(&self, server: &str) -> SocketAddr {
        let mark = format!("listening server=\"{server}\" address=");
        let start = Instant::now();
        loop {
            let text = self.log();
            let found = text
                .lines()
                .find_map(|line| line.split_once(&mark)?.1.parse().ok());
            if let Some(address) = found {
                return address;
            }
            assert!(start.elapsed() < TIMEOUT, "it does not listen:\n{text}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        if std::thread::panicking() {
            let mut stderr = std::io::stderr().lock();
            writeln!(stderr, "the log of {}:\n{}", self.account, self.log()).ok();
        }
    }
}

/// Writes a kubeconfig with a token of a service account, so that a permission missing in the manifest fails the test.
pub(crate) fn kubeconfig_of(cluster: &TestCluster, namespace: &str, account: &str) -> PathBuf {
    let token = cluster.api().token(namespace, account, json!({})).unwrap();
    static MADE: AtomicUsize = AtomicUsize::new(0);
    let number = MADE.fetch_add(1, Ordering::Relaxed);
    let path = cluster
        .logs_dir()
        .join(format!("{account}-{number}.kubeconfig"));
    let text = fs::read_to_string(cluster.kubeconfig()).unwrap();
    let mut kubeconfig: Value = serde_saphyr::from_str(&text).unwrap();
    kubeconfig["users"] = json!([{ "name": "account", "user": { "token": token } }]);
    kubeconfig["contexts"][0]["context"]["user"] = json!("account");
    fs::write(&path, kubeconfig.to_string()).unwrap();
    path
}
