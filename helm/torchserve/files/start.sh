#!/bin/sh
# TorchServe's launcher waits for Java and passes no signal on: as a container's first process it would sit out the whole grace
# period. This one asks Java to end, and ends when Java ends, by whatever reason.
torchserve --start --foreground --ts-config /config/config.properties "$@" &
launcher=$!
trap 'torchserve --stop' TERM INT
# A wait that a signal ends is not the end.
while kill -0 "$launcher" 2>/dev/null; do
    wait "$launcher"
    status=$?
done
exit "${status:-0}"
