package upstream

import (
	"encoding/json"
	"slices"
)

func (w *randomWorld) randomPolicy() Policy {
	policy := Policy{MinReplicas: w.randomMin()}
	policy.MaxReplicas = policy.MinReplicas + w.randomSpan()
	if w.chance(0.5) {
		policy.TargetMilli = w.randomTarget()
	} else {
		for number := range 2 + w.IntN(3) {
			policy.Metrics = append(policy.Metrics, Metric{metricName(number), w.randomTarget()})
		}
	}
	if w.chance(0.65) {
		policy.Behavior = w.randomBehavior()
	}
	return policy
}

func (w *randomWorld) randomMin() int32 {
	return oneOf(w, 1, 1, 1, 2, 3, 1+w.Int32N(8))
}

func (w *randomWorld) randomSpan() int32 {
	return oneOf(w, 9, 9, 20, w.Int32N(40), 1000)
}

// randomTarget stays far from where sums and counts overflow: what happens there depends on the processor.
func (w *randomWorld) randomTarget() int64 {
	return oneOf(w, 1000, 7000, 50_000, 100_000, 7_000_000, 1+w.Int64N(100_000), 1+w.Int64N(30), 1_000_000_000_000)
}

// editedPolicy changes one thing or two.
func (w *randomWorld) editedPolicy(policy Policy) Policy {
	edited := policy
	edited.Metrics = slices.Clone(policy.Metrics)
	for range 1 + w.IntN(2) {
		switch w.IntN(6) {
		case 0:
			edited.MinReplicas = min(w.randomMin(), edited.MaxReplicas)
		case 1:
			edited.MaxReplicas = edited.MinReplicas + w.randomSpan()
		case 2:
			w.editMetrics(&edited)
		default:
			w.editBehavior(&edited)
		}
	}
	return edited
}

func (w *randomWorld) editMetrics(policy *Policy) {
	switch n := len(policy.Metrics); {
	case n == 0:
		policy.TargetMilli = w.around(policy.TargetMilli)
	case n > 1 && w.chance(0.3):
		gone := w.IntN(n)
		policy.Metrics = slices.Delete(policy.Metrics, gone, gone+1)
	case w.chance(0.3):
		// Another order, which must not matter.
		slices.Reverse(policy.Metrics)
	default:
		metric := &policy.Metrics[w.IntN(n)]
		metric.TargetMilli = w.around(metric.TargetMilli)
	}
}

// around is up to three times as much or as little: the load stays as it is.
func (w *randomWorld) around(target int64) int64 {
	return max(1, int64(float64(target)*(0.34+2.66*w.Float64())))
}

func (w *randomWorld) editBehavior(policy *Policy) {
	// With a window of 0 the recordings let time pass in the passes without behavior and in no others, which
	// would show in the ages of what both leave behind.
	stays := w.header.Controller.DownscaleStabilizationSeconds == 0
	switch {
	case stays && policy.Behavior == nil:
	case !stays && w.chance(0.25):
		policy.Behavior = nil
	default:
		policy.Behavior = w.randomBehavior()
	}
}

// behavior is spec.behavior as users write it: every field may be left out.
type behavior struct {
	ScaleUp   *rules `json:"scaleUp,omitempty"`
	ScaleDown *rules `json:"scaleDown,omitempty"`
}

type rules struct {
	Window    *int32       `json:"stabilizationWindowSeconds,omitempty"`
	Select    string       `json:"selectPolicy,omitempty"`
	Policies  []ratePolicy `json:"policies,omitempty"`
	Tolerance any          `json:"tolerance,omitempty"`
}

type ratePolicy struct {
	Type   string `json:"type"`
	Value  int32  `json:"value"`
	Period int32  `json:"periodSeconds"`
}

func (w *randomWorld) randomBehavior() json.RawMessage {
	var written behavior
	if w.chance(0.75) {
		written.ScaleUp = w.randomRules()
	}
	if w.chance(0.75) {
		written.ScaleDown = w.randomRules()
	}
	text, err := json.Marshal(written)
	if err != nil {
		panic(err)
	}
	return text
}

func (w *randomWorld) randomRules() *rules {
	written := &rules{}
	if w.chance(0.6) {
		window := oneOf(w, 0, 0, 15, 30, 45, 60, 90, 120, 300, w.Int32N(3601))
		written.Window = &window
	}
	if w.chance(0.6) {
		written.Select = oneOf(w, "Max", "Max", "Min", "Min", "Disabled")
	}
	if w.chance(0.7) {
		for range 1 + w.IntN(3) {
			written.Policies = append(written.Policies, w.randomRatePolicy())
		}
	}
	if w.chance(0.35) {
		written.Tolerance = oneOf[any](w, "0", "50m", "0.05", "500u", "118m", "0.122", "0.061", "1", "1.5", "100m",
			"0.0005", "250000u", 0.05, 0.3, 0)
	}
	return written
}

func (w *randomWorld) randomRatePolicy() ratePolicy {
	policy := ratePolicy{
		Type: "Pods", Value: 1 + w.Int32N(6),
		Period: oneOf(w, 15, 15, 30, 45, 60, 90, 120, 300, 1+w.Int32N(1800)),
	}
	if w.chance(0.5) {
		policy.Type = "Percent"
		policy.Value = oneOf(w, 10, 20, 30, 50, 80, 90, 100, 100, 120, 200, 1+w.Int32N(1000))
	}
	return policy
}
