"""A TorchServe handler that sleeps and answers; it needs no torch.

A batch takes, in milliseconds,
    sleep_ms + per_item_ms * (items in the batch)
from the section "sleepy" of the model's model-config.yaml, or from SLEEPY_MS and
SLEEPY_PER_ITEM_MS in the environment. While the file of SLEEPY_MS_FILE exists, sleep_ms is
the number in it: a server becomes slow, or as fast as before, without a restart.

A request may ask, as JSON, for its own time: {"sleep_ms": 250} (the longest in the batch
counts), or for a failure: {"fail": "exception"} (503 for the whole batch) or
{"fail": "exit"} (the worker process dies).
"""

import json
import os
import time


class SleepyHandler:
    def initialize(self, context):
        config = (getattr(context, "model_yaml_config", None) or {}).get("sleepy") or {}
        self.sleep_ms = float(config.get("sleep_ms", os.environ.get("SLEEPY_MS", 50)))
        self.per_item_ms = float(
            config.get("per_item_ms", os.environ.get("SLEEPY_PER_ITEM_MS", 0))
        )
        time.sleep(float(config.get("load_ms", os.environ.get("SLEEPY_LOAD_MS", 0))) / 1000.0)
        model = context.manifest["model"]
        self.name = model["modelName"]
        self.version = model["modelVersion"]
        self.initialized = True

    def handle(self, data, context):
        bodies = [body_of(item) for item in data]
        for body in bodies:
            if body.get("fail") == "exit":
                os._exit(3)
            if body.get("fail") == "exception":
                raise RuntimeError("asked to fail")
        asked = [float(body["sleep_ms"]) for body in bodies if "sleep_ms" in body]
        ms = (max(asked) if asked else self.current_sleep_ms()) + self.per_item_ms * len(data)
        time.sleep(ms / 1000.0)
        answer = {"model": self.name, "version": self.version, "slept_ms": ms, "batch": len(data)}
        return [answer for _ in data]

    def current_sleep_ms(self):
        try:
            with open(os.environ.get("SLEEPY_MS_FILE", "")) as file:
                return float(file.read())
        except FileNotFoundError:
            return self.sleep_ms


def body_of(item):
    body = item.get("body", item.get("data"))
    if isinstance(body, (bytes, bytearray, str)):
        try:
            body = json.loads(body or "null")
        except ValueError:
            return {}
    return body if isinstance(body, dict) else {}
