package upstream

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
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
	return oneOf(w, 9, 9, 20, w.Int32N(40), 200, 1000)
}

// randomTarget stays far from values where sums and counts overflow: the result depends on the processor.
func (w *randomWorld) randomTarget() int64 {
	return oneOf(w, 1000, 7000, 50_000, 100_000, 7_000_000, 1+w.Int64N(100_000), 1+w.Int64N(30), 1_000_000_000_000)
}

// editedPolicy changes one or two fields.
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

// around returns up to three times as much or as little: the load stays the same.
func (w *randomWorld) around(target int64) int64 {
	return max(1, int64(float64(target)*(0.34+2.66*w.Float64())))
}

func (w *randomWorld) editBehavior(policy *Policy) {
	// With a window of 0, recordings let time pass in syncs without behavior and in no others, which would show in the
	// ages of the results of both.
	stays := w.header.Controller.DownscaleStabilizationSeconds == 0
	switch {
	case stays && policy.Behavior == nil:
	case !stays && w.chance(0.25):
		policy.Behavior = nil
	default:
		policy.Behavior = w.randomBehavior()
	}
}

// behavior returns spec.behavior as users write it: every field may be absent.
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
	if w.chance(0.2) {
		return w.percentsOnly()
	}
	var found behavior
	if w.chance(0.75) {
		found.ScaleUp = w.randomRules()
	}
	if w.chance(0.75) {
		found.ScaleDown = w.randomRules()
	}
	return written(found)
}

// percentsOnly limits each direction by one percentage only, so that its rounding shows.
func (w *randomWorld) percentsOnly() json.RawMessage {
	limited := func() *rules {
		percent := oneOf(w, 10, 12, 30, 80, 90, 120, 1+w.Int32N(150))
		return &rules{Window: new(int32), Policies: []ratePolicy{{"Percent", percent, oneOf[int32](w, 15, 15, 60)}}}
	}
	return written(behavior{limited(), limited()})
}

func written(behavior behavior) json.RawMessage {
	text, err := json.Marshal(behavior)
	if err != nil {
		panic(err)
	}
	return text
}

func (w *randomWorld) randomRules() *rules {
	found := &rules{}
	if w.chance(0.75) {
		window := oneOf(w, 0, 0, 0, 0, 15, 30, 45, 60, 90, 120, 300, w.Int32N(3601))
		found.Window = &window
	}
	if w.chance(0.6) {
		found.Select = oneOf(w, "Max", "Max", "Min", "Min", "Disabled")
	}
	if w.chance(0.7) {
		for range oneOf(w, 1, 1, 2, 3) {
			found.Policies = append(found.Policies, w.randomRatePolicy())
		}
	}
	if w.chance(0.35) {
		w.tolerance = oneOf(w, 0, 0.05, 0.0005, 0.118, 0.118, 0.122, 0.061, 0.172, 0.243, 0.1, 0.25, 1, 1.5)
		found.Tolerance = w.quantity(w.tolerance)
	}
	return found
}

// quantity returns one of the forms of a number.
func (w *randomWorld) quantity(number float64) any {
	switch text := strconv.FormatFloat(number, 'f', -1, 64); w.IntN(4) {
	case 0:
		return text
	case 1:
		return number
	case 2:
		return strconv.FormatFloat(math.Round(number*1e6), 'f', -1, 64) + "u"
	default:
		return strconv.FormatFloat(math.Round(number*1e7)/1e4, 'f', -1, 64) + "m"
	}
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
