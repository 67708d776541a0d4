package upstream

import (
	"fmt"
	"math/rand/v2"
	"strconv"
)

// randomWorld is the random cluster number N of a seed. The same two numbers produce the same cluster.
type randomWorld struct {
	*rand.Rand
	header Case
	policy Policy // in force
	kind   kindOfWorld
	// The last behavior. Ratios are often at the ends of its tolerances.
	tolerance float64

	at, started float64
	steps       int     // so many are still to come
	edits       float64 // the chance of an edit before the next pass
	first       bool
}

// kindOfWorld determines the next steps of a cluster.
type kindOfWorld interface {
	// before changes the step's pods and samples, and possibly the replicas.
	before(w *randomWorld, step *Step, replicas int32)
}

func newRandomWorld(seed uint64, number int) *randomWorld {
	w := &randomWorld{Rand: rand.New(rand.NewPCG(seed, uint64(number))), edits: 0.07, first: true}
	w.header.Controller = w.controllerFlags()
	w.tolerance = float64(w.header.Controller.ToleranceMilli) / 1000
	w.policy = w.randomPolicy()
	w.header.Policy = w.policy
	name := ""
	switch pick := w.Float64(); {
	case pick < 0.35:
		name, w.kind, w.steps = "snapshot", snapshots{}, 1+w.IntN(4)
	case pick < 0.55:
		name, w.kind, w.steps, w.edits = "churn", churn{}, 8+w.IntN(30), 0.25
	default:
		s := newSequence(w)
		name, w.kind, w.steps = "sequence-"+s.shapes(), s, 8+w.IntN(30)
		if w.chance(0.05) {
			w.steps = 120
		}
	}
	if n := len(w.policy.Metrics); n > 0 {
		name += fmt.Sprintf("-%d-metrics", n)
	}
	w.header.Name = fmt.Sprintf("seed-%d-number-%d-%s", seed, number, name)
	return w
}

func (w *randomWorld) controllerFlags() Controller {
	return Controller{
		ToleranceMilli:                oneOf(w, 100, 100, 100, 0, 200, 333, 10, 50, 118, 122, 243, w.Int64N(400)),
		DownscaleStabilizationSeconds: oneOf[int64](w, 300, 300, 60, 45, 15, 100, 600, 0),
		SyncSeconds:                   oneOf[int64](w, 15, 15, 15, 15, 5, 30, 1),
	}
}

func (w *randomWorld) next(replicas int32) *Step {
	if w.steps == 0 {
		return nil
	}
	w.steps--
	step := &Step{}
	if w.first {
		replicas = w.firstSize()
		step.SpecReplicas = &replicas
	} else {
		w.advance(step)
	}
	w.kind.before(w, step, replicas)
	w.first = false
	w.fault(step)
	return step
}

func (w *randomWorld) firstSize() int32 {
	lowest, highest := w.policy.MinReplicas, w.policy.MaxReplicas
	switch {
	case w.chance(0.02):
		return 0
	case w.chance(0.04):
		return w.Int32N(2 * highest) // outside the bounds, too
	case w.chance(0.4) && highest >= 20 && lowest <= 10:
		return 10 * (1 + w.Int32N(min(highest/10, 20))) // where percentages come out even, but for rounding
	default:
		return lowest + w.Int32N(highest-lowest+1)
	}
}

// advance goes to the next sync: by the clock, by an edit before that, or by a restart.
func (w *randomWorld) advance(step *Step) {
	sync := float64(w.header.Controller.SyncSeconds)
	due := w.started + sync
	for due <= w.at {
		due += sync
	}
	switch {
	case w.chance(0.04):
		step.Restart = true
		w.at = float64(int64(w.at)) + float64(1+w.IntN(40))
		w.started = w.at
		if w.chance(0.2) {
			w.edit(step)
		}
	case w.chance(w.edits) && due-w.at >= 1:
		// At halves between the syncs, a half away from both.
		w.at += 0.5 * float64(1+w.IntN(int(2*(due-w.at))-1))
		w.edit(step)
	default:
		w.at = due
	}
	step.At = w.at
}

func (w *randomWorld) edit(step *Step) {
	for {
		edited := w.editedPolicy(w.policy)
		changed, err := differ(w.policy, edited)
		if err != nil {
			panic(fmt.Sprintf("a policy that the API server refuses: %v", err))
		}
		if changed {
			step.Policy = &edited
			w.policy = edited
			return
		}
	}
}

func (w *randomWorld) fault(step *Step) {
	if w.chance(0.06) {
		// A fault of the write matters only if something is written.
		fault := oneOf(w, faults[w.IntN(len(faults))], writeConflictOnce, writeConflictAlways, writeRejected)
		// Without pods nothing is shared. After a restart the order of the two HPAs is random.
		if fault != selectorShared || len(step.Pods) > 0 && !step.Restart {
			step.Fault = fault
		}
	}
	for _, metric := range w.policy.Metrics {
		if w.chance(0.06) {
			step.MetricFault = append(step.MetricFault, metric.Name)
		}
	}
}

func (w *randomWorld) chance(p float64) bool {
	return w.Float64() < p
}

func oneOf[T any](w *randomWorld, choices ...T) T {
	return choices[w.IntN(len(choices))]
}

// podName counts a, b, … z, aa, ab, …
func podName(number int) string {
	name := ""
	for number++; number > 0; number = (number - 1) / 26 {
		name = string(rune('a'+(number-1)%26)) + name
	}
	return name
}

func metricName(number int) string {
	return "m" + strconv.Itoa(number)
}
