#!/bin/sh
# TorchServe's launcher waits for Java and does not forward signals: as PID 1 it would wait until the grace period ends.
# This script stops Java on SIGTERM and exits when Java exits.
torchserve --start --foreground --ts-config /config/config.properties "$@" &
launcher=$!
trap 'torchserve --stop' TERM INT
# A signal interrupts `wait`, so wait again while the launcher runs.
while kill -0 "$launcher" 2>/dev/null; do
    wait "$launcher"
    status=$?
done
exit "${status:-0}"
