//! A real Chromium without a screen, controlled over the DevTools protocol.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::namespace::TIMEOUT;
use crate::test_cluster;

/// Chromium reads commands from descriptor 3 and writes to descriptor 4. A shell can set them without unsafe code.
const PIPE: &str = r#"exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null"#;

/// A browser with one page, stopped when dropped.
#[derive(Debug)]
pub struct Chromium {
    process: Child,
    commands: ChildStdin,
    messages: mpsc::UnboundedReceiver<Value>,
    session: Option<String>,
    last_id: u64,
    /// The events that the page has reported.
    events: Vec<Value>,
    /// The source of axe-core.
    axe: String,
    directory: PathBuf,
}

impl Chromium {
    /// Starts a browser. Returns `None`, with a message, where it cannot be installed, except under `CI=true`.
    ///
    /// # Panics
    /// The browser does not start, or cannot be installed under `CI=true`.
    pub async fn start() -> Option<Self> {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        // Two runs of apt-get at once would wait for each other.
        static PROVISION: Mutex<()> = Mutex::new(());
        let provisioned = {
            let _one = PROVISION.lock();
            test_cluster::provision("browser")
        };
        let programs = match provisioned {
            Ok(programs) => programs,
            Err(error) if test_cluster::skip_unless_ci(&error) => return None,
            Err(error) => panic!("{error}"),
        };
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("pushscale-chromium-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(&directory).unwrap();
        let mut process = Command::new("sh")
            .args([
                "-c",
                PIPE,
                "chromium-headless-shell",
                "--remote-debugging-pipe",
            ])
            // Root cannot use the sandbox, and the page is our own.
            .args(["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
            .args(["--hide-scrollbars", "--force-color-profile=srgb"])
            .arg(format!("--user-data-dir={}", directory.display()))
            .env("HOME", &directory)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(directory.join("log")).unwrap())
            .spawn()
            .unwrap();
        let output = process.stdout.take().unwrap();
        let (sender, messages) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            for message in BufReader::new(output).split(0) {
                let Ok(message) = message else { return };
                let message = serde_json::from_slice(&message).unwrap();
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        let mut browser = Self {
            commands: process.stdin.take().unwrap(),
            process,
            messages,
            session: None,
            last_id: 0,
            events: Vec::new(),
            axe: fs::read_to_string(programs.join("axe.min.js")).unwrap(),
            directory,
        };
        let target = browser
            .call("Target.createTarget", json!({ "url": "about:blank" }))
            .await;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = browser.call("Target.attachToTarget", attach).await;
        browser.session = Some(attached["sessionId"].as_str().unwrap().to_owned());
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), json!({})).await;
        }
        Some(browser)
    }

    /// Calls a method of the DevTools protocol, and returns its result.
    ///
    /// # Panics
    /// The method fails, or the browser does not answer.
    pub async fn call(&mut self, method: &str, parameters: Value) -> Value {
        let answer = self.answer(method, parameters).await;
        assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
        answer["result"].clone()
    }

    async fn answer(&mut self, method: &str, parameters: Value) -> Value {
        self.last_id += 1;
        let id = self.last_id;
        let mut command = json!({ "id": id, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            command["sessionId"] = json!(session);
        }
        let mut bytes = command.to_string().into_bytes();
        bytes.push(0);
        let written = self.commands.write_all(&bytes);
        written
            .and_then(|()| self.commands.flush())
            .unwrap_or_else(|error| {
                panic!("{method}: {error}:\n{}", self.log());
            });
        loop {
            let message = self.message(method).await;
            if message["id"] == json!(id) {
                return message;
            }
            self.events.push(message);
        }
    }

    /// Opens a page, and waits until it is loaded.
    ///
    /// # Panics
    /// The page does not load.
    pub async fn open(&mut self, url: &str) {
        self.events.clear();
        let answer = self.call("Page.navigate", json!({ "url": url })).await;
        assert!(answer["errorText"].is_null(), "{url}: {answer}");
        let is_loaded = |event: &Value| event["method"] == "Page.loadEventFired";
        while !self.events.iter().any(is_loaded) {
            let event = self.message(url).await;
            self.events.push(event);
        }
    }

    /// Opens a page of an aggregator, and waits until it updates itself.
    ///
    /// # Panics
    /// The page does not load, or is not updated.
    pub async fn open_live(&mut self, url: &str) {
        self.open(url).await;
        self.until("document.getElementById('connection').textContent === 'Live'")
            .await;
    }

    /// Evaluates JavaScript in the page, and returns its value, or that of its promise.
    ///
    /// # Panics
    /// It throws, or the page is replaced meanwhile.
    pub async fn evaluate(&mut self, expression: &str) -> Value {
        let value = self.evaluate_unless_replaced(expression).await;
        value.unwrap_or_else(|| panic!("the page was replaced: {expression}"))
    }

    /// Returns `None` if the page was replaced before the expression had a value.
    async fn evaluate_unless_replaced(&mut self, expression: &str) -> Option<Value> {
        let parameters = json!({
            "expression": expression,
            "awaitPromise": true,
            "returnByValue": true,
        });
        let answer = self.answer("Runtime.evaluate", parameters).await;
        let error = &answer["error"];
        if error["message"] == "Inspected target navigated or closed" {
            return None;
        }
        assert!(error.is_null(), "{expression}: {error}");
        let result = &answer["result"];
        let exception = &result["exceptionDetails"];
        assert!(exception.is_null(), "{expression}: {exception}");
        Some(result["result"]["value"].clone())
    }

    /// Polls until the JavaScript expression is true, also in pages that replace this one.
    ///
    /// # Panics
    /// It does not become true.
    pub async fn until(&mut self, condition: &str) {
        let start = Instant::now();
        while self.evaluate_unless_replaced(condition).await != Some(json!(true)) {
            if start.elapsed() > TIMEOUT {
                let text = self.evaluate("document.body.innerText").await;
                panic!("not within {TIMEOUT:?}: {condition}: {text}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Returns what the page and the browser have reported since it was opened: exceptions, errors and warnings of the
    /// console, violations of the content security policy, and failed requests.
    pub fn errors(&self) -> Vec<String> {
        let is_error = |event: &&Value| match event["method"].as_str() {
            Some("Runtime.exceptionThrown") => true,
            // The page itself cancels its stream.
            Some("Network.loadingFailed") => event["params"]["canceled"] != json!(true),
            Some("Runtime.consoleAPICalled") => {
                matches!(event["params"]["type"].as_str(), Some("error" | "warning"))
            }
            Some("Log.entryAdded") => {
                let level = event["params"]["entry"]["level"].as_str();
                matches!(level, Some("error" | "warning"))
            }
            _ => false,
        };
        let errors = self.events.iter().filter(is_error);
        errors.map(ToString::to_string).collect()
    }

    /// Sets whether pages opened from now on run scripts.
    pub async fn set_scripts(&mut self, run: bool) {
        let disabled = json!({ "value": !run });
        self.call("Emulation.setScriptExecutionDisabled", disabled)
            .await;
    }

    /// Chooses what the style sees: the medium (`screen` or `print`) and the preferred colors (`light` or `dark`).
    pub async fn set_media(&mut self, medium: &str, colors: &str) {
        let media = json!({
            "media": medium,
            "features": [{ "name": "prefers-color-scheme", "value": colors }],
        });
        self.call("Emulation.setEmulatedMedia", media).await;
    }

    /// Sets the size of the window in pixels.
    pub async fn set_size(&mut self, width: u32, height: u32) {
        let size = json!({
            "width": width,
            "height": height,
            "deviceScaleFactor": 1,
            "mobile": false,
        });
        self.call("Emulation.setDeviceMetricsOverride", size).await;
    }

    /// Presses and releases a key by its name, such as `Tab` or `Enter`.
    pub async fn press(&mut self, key: &str) {
        let code = match key {
            "Tab" => 9,
            "Enter" => 13,
            _ => panic!("add the code of the key {key}"),
        };
        for kind in ["keyDown", "keyUp"] {
            let mut event = json!({
                "type": kind,
                "key": key,
                "code": key,
                "windowsVirtualKeyCode": code,
            });
            if kind == "keyDown" && key == "Enter" {
                event["text"] = json!("\r");
            }
            self.call("Input.dispatchKeyEvent", event).await;
        }
    }

    /// Returns the violations that axe-core finds in the page, one per element.
    pub async fn violations(&mut self) -> Vec<String> {
        let axe = format!("{}; true", self.axe);
        self.evaluate(&axe).await;
        let run = "axe.run(document).then(result => result.violations.flatMap(rule => \
                   rule.nodes.map(node => `${rule.id}: ${node.html}: ${node.failureSummary}`)))";
        let found = self.evaluate(run).await;
        let found = found.as_array().unwrap().iter();
        found.map(|it| it.as_str().unwrap().to_owned()).collect()
    }

    /// Returns the window as PNG.
    pub async fn screenshot(&mut self) -> Vec<u8> {
        let image = self.call("Page.captureScreenshot", json!({})).await;
        BASE64_STANDARD
            .decode(image["data"].as_str().unwrap())
            .unwrap()
    }

    async fn message(&mut self, what: &str) -> Value {
        let message = timeout(TIMEOUT, self.messages.recv()).await;
        let message = message.ok().flatten();
        message.unwrap_or_else(|| panic!("no answer of Chromium: {what}:\n{}", self.log()))
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // Debian's program is a script, and the browser its child, which would write the directory again.
        kill_process_group(Pid::from_child(&self.process), Signal::KILL).ok();
        self.process.wait().ok();
        // The rest of the group may end a moment later, and write until then.
        let start = Instant::now();
        while fs::remove_dir_all(&self.directory).is_err()
            && self.directory.exists()
            && start.elapsed() < TIMEOUT
        {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
