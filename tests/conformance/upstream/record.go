package upstream

import (
	"fmt"
	"testing/synctest"
	"time"
)

// The time without changes around a sync. Syncs are half a second apart or more.
const margin = 250 * time.Millisecond

// source returns the next step, or nil at the end. It gets the target's replicas.
type source interface {
	next(replicas int32) *Step
}

// record runs the controller through the steps of a case and records its decisions. It must be called in a synctest
// bubble.
func record(policy Policy, flags Controller, world source) ([]Step, error) {
	r := recorder{cluster: newCluster(), flags: flags, policy: policy, begin: time.Now().Add(time.Second)}
	defer func() {
		if r.controller != nil {
			r.controller.stop()
		}
	}()
	for step := world.next(0); step != nil; step = world.next(r.cluster.size()) {
		if err := r.pass(step); err != nil {
			return nil, fmt.Errorf("step %d, at %v s: %w", len(r.steps), step.At, err)
		}
		r.steps = append(r.steps, *step)
	}
	return r.steps, nil
}

type recorder struct {
	cluster    *cluster
	controller *controller
	flags      Controller
	policy     Policy
	begin      time.Time
	steps      []Step
}

func (r *recorder) pass(step *Step) error {
	at := r.begin.Add(time.Duration(step.At * float64(time.Second)))
	if err := r.before(step, at); err != nil {
		return err
	}
	sleepUntil(at)
	if err := r.cause(step); err != nil {
		return err
	}
	sleepUntil(at.Add(margin))
	synctest.Wait()
	if err := r.onePassAt(at); err != nil {
		return err
	}
	var err error
	if step.Expect, err = r.cluster.observed(); err != nil {
		return err
	}
	if step.Fault == selectorShared {
		return r.cluster.deleteHPA(otherName)
	}
	return nil
}

// before sets the state for the sync.
func (r *recorder) before(step *Step, at time.Time) error {
	first := len(r.steps) == 0
	if step.Restart && (first || step.Fault == selectorShared) {
		return fmt.Errorf("a restart can be neither the first step nor one with %s", selectorShared)
	}
	if step.Restart {
		// At once: the syncs that were due until then are not made.
		r.controller.stop()
	}
	sleepUntil(at.Add(-margin))
	if err := r.cluster.prepare(step); err != nil {
		return err
	}
	if step.Policy != nil && !first {
		r.policy = *step.Policy
	}
	if step.Restart && step.Policy != nil {
		if err := r.cluster.updateHPA(r.policy); err != nil {
			return err
		}
	}
	r.cluster.setMetricsTakeTime(r.flags.DownscaleStabilizationSeconds == 0 && r.policy.Behavior == nil)
	if first || step.Restart {
		r.controller = newController(r.cluster, r.flags)
	}
	if first {
		r.controller.run()
	}
	if step.Fault == selectorShared {
		// The controller must have seen the other HPA's selector before the sync.
		nothing := Policy{MinReplicas: 1, MaxReplicas: 1, TargetMilli: 1}
		if err := r.cluster.createHPA(otherName, otherKind, nothing); err != nil {
			return err
		}
	}
	synctest.Wait()
	return nil
}

// cause triggers the sync, unless the clock does.
func (r *recorder) cause(step *Step) error {
	switch {
	case len(r.steps) == 0:
		return r.cluster.createHPA(ourName, ourKind, r.policy)
	case step.Restart:
		r.controller.run()
	case step.Policy != nil:
		return r.cluster.updateHPA(r.policy)
	}
	return nil
}

// onePassAt rejects a script whose times are not those of the controller.
func (r *recorder) onePassAt(at time.Time) error {
	passes := r.cluster.passTimes()
	if len(passes) == 1 && passes[0].Sub(at).Abs() < time.Millisecond {
		return nil
	}
	var found []time.Duration
	for _, pass := range passes {
		found = append(found, pass.Sub(r.begin))
	}
	return fmt.Errorf("the controller passes at %v here, and not once at this time: it does at 0, every syncSeconds "+
		"after it has started, and at an edit", found)
}

func sleepUntil(at time.Time) {
	time.Sleep(time.Until(at))
}
