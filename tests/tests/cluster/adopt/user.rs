//! A user whose permissions come and go, and whose refused requests are counted.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Stdio};

use pushscale_tests::namespace::Namespace;
use serde_json::{Value, json};

/// A user who has the permissions of `pushscale adopt`, or none. The API server is reached through a proxy, which logs
/// each response.
pub(super) struct User<'a> {
    namespace: &'a Namespace<'a>,
    pub(super) kubeconfig: PathBuf,
    proxy: Child,
    log: PathBuf,
}

impl<'a> User<'a> {
    pub(super) fn create(namespace: &'a Namespace<'a>) -> Self {
        let file = |name: &str| {
            let file = format!("{}-adopter.{name}", namespace.name);
            namespace.cluster.logs_dir().join(file)
        };
        let (kubeconfig, log) = (file("json"), file("log"));
        // From level 6 on, kubectl logs the status of each response.
        let mut proxy = namespace
            .cluster
            .command("kubectl")
            .args(["proxy", "--port=0", "--v=6"])
            .stdout(Stdio::piped())
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(proxy.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("Starting to serve on ");
        let address = address.unwrap_or_else(|| panic!("{line:?}"));

        let administrator = fs::read_to_string(namespace.cluster.kubeconfig()).unwrap();
        let mut config: Value = serde_saphyr::from_str(&administrator).unwrap();
        config["clusters"][0]["cluster"] = json!({ "server": format!("http://{address}") });
        config["users"][0]["user"] = json!({ "as": "adopter" });
        fs::write(&kubeconfig, config.to_string()).unwrap();
        namespace.kubectl(&[
            "create",
            "role",
            "adopter",
            "--verb=get,list,create,patch",
            "--resource=horizontalpodautoscalers.autoscaling,pushscalers.pushscale.dev",
        ]);
        let user = Self {
            namespace,
            kubeconfig,
            proxy,
            log,
        };
        user.permit();
        user
    }

    pub(super) fn permit(&self) {
        let create = ["create", "rolebinding", "adopter"];
        let options = ["--role=adopter", "--user=adopter"];
        self.namespace.kubectl(&[&create[..], &options].concat());
    }

    pub(super) fn forbid(&self) {
        self.namespace
            .kubectl(&["delete", "rolebinding", "adopter"]);
    }

    /// Returns the number of requests that the API server has refused.
    pub(super) fn refused(&self) -> usize {
        let log = fs::read_to_string(&self.log).unwrap();
        let is_refused = |line: &&str| line.contains("403 Forbidden");
        log.lines().filter(is_refused).count()
    }
}

impl Drop for User<'_> {
    fn drop(&mut self) {
        self.proxy.kill().ok();
        self.proxy.wait().ok();
    }
}
