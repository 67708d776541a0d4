#!/usr/bin/env python3
"""Records the reference implementation of the control algorithm, for the tests next to this file.

The tests need only the recordings. To record again, with numpy and numba, pass the directory with the
reference's core.py, ctl.py and bench.py:

    python3 record.py figures REFERENCE > figures.csv      # about ten minutes on two cores
    python3 record.py inputs REFERENCE inputs              # a few seconds
"""
import os
import sys

import numpy as np

SCENARIOS = ["step", "step-lc", "step-q100", "spike60", "svc2x", "hetero", "tight-w1", "loose-w8", "drop", "azcode"]
CONTROLLERS = {
    "kpa": "d-kpa",
    "kpa:delay=180": "d-kpa-hold",
    "qm": "e-qm",
    "qm2": "e-qm2:kappa=1",
    "hpa": "b-hpa15",
    "oracle": "o-oracle",
}
SEEDS = range(1, 9)


def figures():
    from multiprocessing import Pool

    import bench

    jobs = [(scenario, theirs, seed) for scenario in SCENARIOS for theirs in CONTROLLERS.values() for seed in SEEDS]
    ours = {theirs: name for name, theirs in CONTROLLERS.items()}
    print("# Figures of the reference simulation, recorded by record.py: seeds 1 to 8 of each.")
    print("scenario,controller,seed,violation_seconds,pod_hours,changes,starts", flush=True)
    with Pool(2) as pool:
        for scenario, theirs, seed, found in pool.imap(bench.one, jobs):
            hours = found["rep_s"] / 3600
            numbers = [found["viol_s"], f"{hours:.3f}", found["events"], found["starts"]]
            print(scenario, ours[theirs], seed, *numbers, sep=",", flush=True)


class Recorder:
    """Wraps a controller: rounds the times in its input to whole microseconds, as TorchServe counts them, and records
    input and decisions."""

    def __init__(self, controller, out):
        self.controller, self.out, self.last = controller, out, {}

    def decide(self, view):
        view.Q, view.I = np.round(view.Q * 1e6) / 1e6, np.round(view.I * 1e6) / 1e6
        spec = view.spec
        wanted = self.controller.decide(view)
        words = [str(view.t), str(spec)]
        words.append("-" if wanted is None else str(int(min(max(wanted, view.cmin), view.cmax))))
        if view.lost:
            words.append("silent")
        else:
            words += [self.pod(view, int(slot)) for slot in np.nonzero(view.status)[0]]
        print(*words, file=self.out)
        return wanted

    def pod(self, view, slot):
        name = f"{slot}.{int(view.gen[slot])}"
        state = {1: "s", 2: "r", 3: "d"}[int(view.status[slot])]
        counters = (view.A, view.Rej, view.D, np.round(view.Q * 1e6), np.round(view.I * 1e6))
        now = [int(counter[slot]) for counter in counters]
        before = self.last.get(name, [0] * 5)
        self.last[name] = now
        if now == before:
            return f"{name}{state}"
        return f"{name}{state}" + ",".join(str(a - b) for a, b in zip(now, before))


def inputs(directory):
    from core import simulate
    from ctl import QM, QM2

    def step(low, high, begin, end, seconds):
        rate = np.full(seconds, float(low))
        rate[begin:end] = high
        return rate

    def spikes(base, high, length, every, seconds):
        rate = np.full(seconds, float(base))
        for begin in range(every, seconds, every):
            rate[begin : begin + length] = high
        return rate

    def sine(low, high, period, seconds):
        turn = 2 * np.pi * np.arange(seconds) / period - np.pi / 2
        return (low + high) / 2 + (high - low) / 2 * np.sin(turn)

    small = dict(W=2, c0=2, cmax=30, seed=3, T=0.05)
    recordings = {
        "a-step-and-back-a-queue-a-pod-kappa-off": (
            lambda: QM2(kappa=False), dict(rate=step(15, 45, 300, 800, 1500), **small)),
        "a-sine-one-queue-for-all-kappa-on": (
            lambda: QM2(pooled=True, kappa=True), dict(rate=sine(8, 40, 1200, 1800), mode=1, **small)),
        "a-gap-in-the-metrics-and-short-queues-kappa-on": (
            lambda: QM2(kappa=True),
            dict(rate=step(15, 40, 300, 900, 1300), qcap=30, drop=lambda t: 500 <= t < 560, **small)),
        "a-service-time-that-doubles-kappa-on": (
            lambda: QM2(kappa=True),
            dict(rate=np.full(1300, 20.0), svc_change=lambda t: 2.0 if 500 <= t < 900 else 1.0, **small)),
        "a-burst-every-five-hundred-seconds-kappa-off": (
            lambda: QM2(kappa=False), dict(rate=spikes(6, 60, 30, 500, 2600), **{**small, "T": 0.2})),
        "the-predecessor-on-a-step-with-uneven-pods": (
            lambda: QM(), dict(rate=step(15, 45, 300, 800, 1200), hetero=0.3, **small)),
    }
    os.makedirs(directory, exist_ok=True)
    for name, (controller, world) in recordings.items():
        controller = controller()
        with open(os.path.join(directory, name + ".txt"), "w") as out:
            settings = [
                "qm2" if isinstance(controller, QM2) else "qm",
                f"kappa={'on' if controller.kappa else 'off'}",
                f"pooled={'yes' if controller.pooled else 'no'}",
                f"workers={world['W']}", f"target={world['T']}", "min=1", f"max={world['cmax']}",
            ]
            print(*settings, file=out)
            simulate(ctl=Recorder(controller, out), **world)


if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1] not in ("figures", "inputs"):
        sys.exit(__doc__)
    sys.path.insert(0, os.path.abspath(sys.argv[2]))
    if sys.argv[1] == "figures":
        figures()
    else:
        inputs(sys.argv[3] if len(sys.argv) > 3 else "inputs")
