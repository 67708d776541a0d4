//! The documentation's `kubectl port-forward` commands.

use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, ChildStdout, Stdio};
use std::thread;

use crate::http::{self, Response};
use crate::test_cluster::TestCluster;

/// A command that forwards a port of the cluster's localhost, killed when dropped.
pub struct PortForward<'a> {
    cluster: &'a TestCluster,
    address: SocketAddr,
    process: Child,
    /// Held, because kubectl reports each connection to it.
    _output: BufReader<ChildStdout>,
}

impl<'a> PortForward<'a> {
    /// Runs the only `kubectl port-forward` command of a text as a user would paste it, and waits until it listens at
    /// the address that the text names.
    ///
    /// # Panics
    /// The text has no `kubectl port-forward` command or several, or does not name the address, or the command ends.
    pub fn start(cluster: &'a TestCluster, text: &str) -> Self {
        let mut commands = text.lines().map(str::trim).filter(|line| is_forward(line));
        let (Some(command), None) = (commands.next(), commands.next()) else {
            panic!("not one command that forwards a port:\n{text}");
        };
        let port = local_port(command);
        let shown = format!("localhost:{port}");
        assert!(text.contains(&shown), "{shown} is not named:\n{text}");
        // The shell must not stay between the process and its end.
        let script = format!("exec {command}");
        let mut process = cluster
            .command("sh")
            .args(["-eu", "-c", &script])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // Not by a connection: kubectl ends when a pod resets one, as TorchServe does.
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let listens = format!("Forwarding from 127.0.0.1:{port} ");
        assert!(line.starts_with(&listens), "{command}: {line:?}");
        Self {
            cluster,
            address: (Ipv4Addr::LOCALHOST, port).into(),
            process,
            _output: output,
        }
    }

    /// Returns the address at which the port is forwarded, in the cluster's network.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends `GET path`.
    ///
    /// # Panics
    /// The cluster has stopped.
    pub fn get(&self, path: &str) -> Response {
        let in_cluster = || {
            self.cluster.enter().unwrap();
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = runtime.enable_all().build().unwrap();
            runtime.block_on(http::get(self.address, path))
        };
        // The thread stays in the network until its end.
        thread::scope(|scope| scope.spawn(in_cluster).join().unwrap())
    }
}

impl Drop for PortForward<'_> {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn is_forward(line: &str) -> bool {
    line.starts_with("kubectl ") && line.contains(" port-forward ")
}

/// Returns the local port of a command such as `kubectl port-forward service/torchserve 8080:80`.
fn local_port(command: &str) -> u16 {
    let (command, _comment) = command.split_once('#').unwrap_or((command, ""));
    let ports = command.split_whitespace().next_back().unwrap_or_default();
    let (local, _remote) = ports.split_once(':').unwrap_or((ports, ports));
    local
        .parse()
        .unwrap_or_else(|_| panic!("no port in {command:?}"))
}
