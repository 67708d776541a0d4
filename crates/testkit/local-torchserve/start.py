#!/usr/bin/env python3
"""Start a real TorchServe that serves the sleepy handler. Standard library only.

  python3 start.py --python VENV/bin/python [--model sleepy=1.0] [options]

VENV holds torchserve, psutil and PyYAML (see install.rs for the versions) and no
torch: the stub in ./stub goes on PYTHONPATH unless --real-torch is given.

Prints one line, "READY pid=<java's pid> after=<seconds>s work=<directory>", once every
model has its workers up, then stays in the foreground. SIGTERM or SIGINT stops
TorchServe and its workers; when this script is killed outright, java dies with it.
Exit status: 0 stopped on request, 1 TorchServe did not start or ended by itself,
2 wrong options.
"""

import argparse
import collections
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request
import zipfile

HERE = pathlib.Path(__file__).resolve().parent
# sizeof(sockaddr_un.sun_path) less the closing zero, on Linux.
SOCKET_PATH_LIMIT = 107
# Until READY this takes 2.2 s of CPU rather than 3.0: tests start many servers, and load none of them much.
CHEAP_START = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


def main():
    options = parse()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        return run(options, stop)
    except Failure as failure:
        print(failure, file=sys.stderr, flush=True)
        return 1


class Failure(Exception):
    """Why TorchServe does not run, and what to do about it."""


def parse():
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--python", default=sys.executable, help="the Python that has torchserve")
    p.add_argument("--java", default=default_java())
    p.add_argument("--work", help="directory for config, models and logs; default a new temporary one")
    p.add_argument("--keep-work", action="store_true",
                   help="do not remove the temporary directory at the end")
    p.add_argument("--bind", default="127.0.0.1",
                   help="address of the three HTTP ports; 0.0.0.0 in a pod, as kubelet probes need")
    p.add_argument("--inference-port", type=int, default=8080)
    p.add_argument("--management-port", type=int, default=8081)
    p.add_argument("--metrics-port", type=int, default=8082)
    p.add_argument("--grpc-inference-port", type=int, default=7070)
    p.add_argument("--grpc-management-port", type=int, default=7071)
    p.add_argument("--worker-port", type=int, default=9000,
                   help="names the workers and their sockets")
    p.add_argument("--model", action="append", metavar="NAME[=VERSION]",
                   help="may be repeated; default sleepy=1.0")
    p.add_argument("--workers", type=int, default=1, help="per model version")
    p.add_argument("--batch-size", type=int, default=1)
    p.add_argument("--max-batch-delay", type=int, default=100, help="milliseconds")
    p.add_argument("--response-timeout", type=int, default=120, help="seconds, a whole number")
    p.add_argument("--job-queue-size", type=int, default=100)
    p.add_argument("--sleep-ms", type=float, default=50, help="handler time of a batch")
    p.add_argument("--per-item-ms", type=float, default=0, help="further time per item of a batch")
    p.add_argument("--load-ms", type=float, default=0, help="how long a model takes to load")
    p.add_argument("--metrics-mode", default="prometheus", choices=["prometheus", "log", "legacy"])
    p.add_argument("--extra", action="append", default=[], metavar="KEY=VALUE",
                   help="further line for config.properties; may be repeated")
    p.add_argument("--heap", default="256m", help="java's largest heap")
    p.add_argument("--ready-timeout", type=float, default=90, help="seconds")
    p.add_argument("--stop-timeout", type=float, default=15,
                   help="seconds that java has after SIGTERM before it is killed")
    p.add_argument("--stop-on-eof", action="store_true",
                   help="stop when standard input ends: whoever started this script is gone")
    p.add_argument("--no-wait", action="store_true", help="say READY without waiting for it")
    p.add_argument("--real-torch", action="store_true", help="leave the stub out")
    options = p.parse_args()
    options.models = [tuple((m.split("=", 1) + ["1.0"])[:2]) for m in options.model or ["sleepy"]]
    return options


def default_java():
    """What the torchserve command itself would run."""
    home = os.environ.get("JAVA_HOME")
    return os.path.join(home, "bin", "java") if home else "java"


def run(options, stop):
    check_programs(options)
    check_ports(options)
    temporary = [] if options.work else [tempfile.mkdtemp(prefix="ts.")]
    work = pathlib.Path(options.work or temporary[0]).absolute()
    java = None
    try:
        for directory in ("store", "logs"):
            (work / directory).mkdir(parents=True, exist_ok=True)
        sockets = socket_directory(work, options, temporary)
        log = work / "logs" / "stdout.log"
        write_models(work / "store", options)
        write_config(work / "config.properties", options)
        started = time.monotonic()
        java = start_java(work, sockets, log, options)
        (work / "pid").write_text(str(java.pid))
        if options.stop_on_eof:
            threading.Thread(target=watch_stdin, args=(stop,), daemon=True).start()
        if not options.no_wait:
            wait_ready(java, work, log, started, options, stop)
        if not stop.is_set():
            after = time.monotonic() - started
            print(f"READY pid={java.pid} after={after:.1f}s work={work}", flush=True)
        # The wait ends at once on a signal; the period only bounds how late java's own end is seen.
        while not stop.wait(0.5):
            if java.poll() is not None:
                raise Failure(ended(java, log))
        return 0
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        if java is not None:
            stop_java(java, options.stop_timeout)
        if not options.keep_work:
            for directory in temporary:
                shutil.rmtree(directory, ignore_errors=True)


def check_programs(options):
    python = shutil.which(options.python)
    if python is None:
        raise Failure(f"no Python at {options.python}: give --python VENV/bin/python")
    # TorchServe runs in another directory; the link of a venv must not be resolved.
    options.python = os.path.abspath(python)
    options.java = shutil.which(options.java)
    if options.java is None:
        raise Failure("no java on PATH: install openjdk-17-jre-headless, or give --java")


def check_ports(options):
    """A port in use: else READY could come from another TorchServe."""
    for port in (options.inference_port, options.management_port, options.metrics_port,
                 options.grpc_inference_port, options.grpc_management_port):
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind((options.bind, port))
            except OSError as e:
                raise Failure(f"port {port} on {options.bind}: {e.strerror}; give another one")


def socket_directory(work, options, temporary):
    """Where the workers' Unix sockets go; their paths must stay short."""
    last = f".ts.sock.{options.worker_port + 9999}"
    directory = work / "tmp"
    if len(os.fsencode(str(directory / last))) > SOCKET_PATH_LIMIT:
        directory = pathlib.Path(tempfile.mkdtemp(prefix="ts.", dir="/tmp"))
        temporary.append(str(directory))
    directory.mkdir(exist_ok=True)
    return directory


def write_models(store, options):
    """A .mar is a zip of a manifest, the handler and model-config.yaml: no archiver needed."""
    config = "\n".join([
        f"minWorkers: {options.workers}",
        f"maxWorkers: {options.workers}",
        f"batchSize: {options.batch_size}",
        f"maxBatchDelay: {options.max_batch_delay}",
        f"responseTimeout: {options.response_timeout}",
        "sleepy:",
        f"  sleep_ms: {options.sleep_ms}",
        f"  per_item_ms: {options.per_item_ms}",
        f"  load_ms: {options.load_ms}",
        "",
    ])
    for name, version in options.models:
        manifest = {
            "createdOn": "01/01/2025 00:00:00",
            "runtime": "python",
            "archiverVersion": "0.12.0",
            "model": {
                "modelName": name,
                "modelVersion": version,
                "handler": "sleepy_handler.py",
                "configFile": "model-config.yaml",
            },
        }
        with zipfile.ZipFile(store / archive(name, version), "w") as mar:
            mar.writestr("MAR-INF/MANIFEST.json", json.dumps(manifest))
            mar.writestr("model-config.yaml", config)
            mar.writestr("sleepy_handler.py", (HERE / "sleepy_handler.py").read_bytes())


def archive(name, version):
    return f"{name}-{version}.mar"


def write_config(path, options):
    text = (HERE / "config.properties.in").read_text()
    for key, value in {
        "BIND": options.bind,
        "INFERENCE_PORT": options.inference_port,
        "MANAGEMENT_PORT": options.management_port,
        "METRICS_PORT": options.metrics_port,
        "GRPC_INFERENCE_PORT": options.grpc_inference_port,
        "GRPC_MANAGEMENT_PORT": options.grpc_management_port,
        "WORKER_PORT": options.worker_port,
        "METRICS_MODE": options.metrics_mode,
        "JOB_QUEUE_SIZE": options.job_queue_size,
        "WORKERS": options.workers,
        "MODELS": ",".join(archive(*m) for m in options.models),
        "EXTRA": "\n".join(options.extra),
    }.items():
        text = text.replace(f"@{key}@", str(value))
    path.write_text(text)


def start_java(work, sockets, log, options):
    home = torchserve_home(options.python, work)
    env = dict(
        os.environ,
        LOG_LOCATION=str(work / "logs"),
        METRICS_LOCATION=str(work / "logs"),
        # This directory may be a checkout, or mounted read-only into a pod.
        PYTHONDONTWRITEBYTECODE="1",
    )
    env.pop("TS_CONFIG_FILE", None)
    if not options.real_torch:
        before = [env["PYTHONPATH"]] if env.get("PYTHONPATH") else []
        env["PYTHONPATH"] = os.pathsep.join([str(HERE / "stub")] + before)
    command = [
        options.java, f"-Xmx{options.heap}", *CHEAP_START, f"-Dmodel_server_home={home}",
        f"-Djava.io.tmpdir={sockets}", "-cp", f"{home}/ts/frontend/*",
        "org.pytorch.serve.ModelServer", "--python", options.python,
        "-f", str(work / "config.properties"), "-s", str(work / "store"),
        "-w", str(work / "store"), "-ncs",
    ]
    prctl = find_prctl()
    if prctl:
        # Orphaned workers become our children, so that stop_java can see the last of them go.
        prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    me = os.getpid()

    def die_with_parent():
        if prctl:
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != me:
                os._exit(1)

    with open(log, "ab") as out:
        # A session of its own: a group to kill, and no SIGINT from the terminal behind our back.
        return subprocess.Popen(command, cwd=work, env=env, stdin=subprocess.DEVNULL, stdout=out,
                                stderr=subprocess.STDOUT, start_new_session=True,
                                preexec_fn=die_with_parent)


def torchserve_home(python, work):
    """The directory that holds the package ts, asked without importing it."""
    ask = "import importlib.util as u; s = u.find_spec('ts'); print(s.origin if s else '')"
    origin = subprocess.run([python, "-c", ask], text=True, cwd=work, stdout=subprocess.PIPE,
                            timeout=60, check=False).stdout.strip()
    if not origin:
        raise Failure(f"{python} has no torchserve: pip install --no-deps torchserve psutil PyYAML")
    return pathlib.Path(origin).parent.parent


def find_prctl():
    """Linux only; found before the fork, since little is safe after it."""
    try:
        import ctypes  # missing from a Python that was built without libffi

        return ctypes.CDLL(None, use_errno=True).prctl
    except (ImportError, OSError, AttributeError, TypeError):
        return None


def watch_stdin(stop):
    try:
        while os.read(0, 4096):
            pass
    except OSError:
        pass
    stop.set()


def wait_ready(java, work, log, started, options, stop):
    while not all_ready(work, options):
        if java.poll() is not None:
            raise Failure(ended(java, log))
        if time.monotonic() - started > options.ready_timeout:
            raise Failure(f"not ready in {options.ready_timeout:g} s; {tail(log)}")
        if stop.wait(0.1):
            return


def all_ready(work, options):
    host = "127.0.0.1" if options.bind in ("0.0.0.0", "::", "localhost") else options.bind
    try:
        for name, version in options.models:
            path = "/".join(urllib.parse.quote(part, safe="") for part in (name, version))
            url = f"http://{host}:{options.management_port}/models/{path}"
            request = urllib.request.Request(url, headers=authorization(work))
            with urllib.request.urlopen(request, timeout=2) as answer:
                for model in json.load(answer):
                    ready = [w for w in model["workers"] if w["status"] == "READY"]
                    if len(ready) < options.workers:
                        return False
        return True
    except (OSError, ValueError, KeyError):
        return False


def authorization(work):
    """With token authorization, TorchServe writes its keys to its working directory."""
    try:
        keys = json.loads((work / "key_file.json").read_text())
    except FileNotFoundError:
        return {}
    return {"Authorization": "Bearer " + keys["management"]["key"]}


def ended(java, log):
    return f"TorchServe ended by itself with status {java.returncode}; {tail(log)}"


def tail(log):
    """The last lines of the log, since the directory that holds it may be removed."""
    with open(log, errors="replace") as f:
        return f"the end of {log}:\n" + "".join(collections.deque(f, maxlen=20))


def stop_java(java, timeout):
    """SIGTERM, then SIGKILL to the whole group; returns when the workers are gone too."""
    if java.poll() is None:
        java.terminate()
        try:
            java.wait(timeout)
        except subprocess.TimeoutExpired:
            pass
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            os.killpg(java.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            return
        reap(java)
        time.sleep(0.02)


def reap(java):
    java.poll()
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


if __name__ == "__main__":
    sys.exit(main())
