// Package upstream runs the HorizontalPodAutoscaler's controller of Kubernetes, unchanged, in fake time, and
// writes down what it decides in the form of recorded cases (../README.md).
package upstream

import "encoding/json"

// Case is one line of a file of recorded cases; ../README.md tells what the fields mean.
type Case struct {
	Name       string     `json:"name"`
	Policy     Policy     `json:"policy"`
	Controller Controller `json:"controller"`
	Steps      []Step     `json:"steps"`
}

// Policy is what the user asks for. One metric is a TargetMilli, several are Metrics.
type Policy struct {
	MinReplicas int32    `json:"minReplicas"`
	MaxReplicas int32    `json:"maxReplicas"`
	TargetMilli int64    `json:"targetMilli,omitempty"`
	Metrics     []Metric `json:"metrics,omitempty"`
	// As the user writes it: a tolerance of "0.122" is not yet "122m".
	Behavior json.RawMessage `json:"behavior,omitempty"`
}

// Metric is one Pods metric and its averageValue, in thousandths of its unit.
type Metric struct {
	Name        string `json:"name"`
	TargetMilli int64  `json:"targetMilli"`
}

// Controller holds the flags of kube-controller-manager.
type Controller struct {
	ToleranceMilli                int64 `json:"toleranceMilli"`
	DownscaleStabilizationSeconds int64 `json:"downscaleStabilizationSeconds"`
	SyncSeconds                   int64 `json:"syncSeconds"`
}

// Step is one pass of the controller: what is so before it, and what it decided.
type Step struct {
	At           float64  `json:"at"`
	Restart      bool     `json:"restart,omitempty"`
	Policy       *Policy  `json:"policy,omitempty"`
	Fault        Fault    `json:"fault,omitempty"`
	MetricFault  []string `json:"metricFault,omitempty"`
	Pods         []Pod    `json:"pods"`
	SpecReplicas *int32   `json:"specReplicas,omitempty"`
	Expect       Expect   `json:"expect"`
}

// Pod is one pod under the selector. Its samples are in ValueMilli if the policy has one metric without a
// name, else in ValuesMilli.
type Pod struct {
	Name        string            `json:"name"`
	Phase       string            `json:"phase"`
	Ready       bool              `json:"ready"`
	Deleting    bool              `json:"deleting"`
	ValueMilli  *int64            `json:"valueMilli"`
	ValuesMilli map[string]*int64 `json:"valuesMilli"`
}

// MarshalJSON writes one of the two forms; a sample that there is not is a null in both.
func (p Pod) MarshalJSON() ([]byte, error) {
	type pod struct {
		Name     string `json:"name"`
		Phase    string `json:"phase"`
		Ready    bool   `json:"ready"`
		Deleting bool   `json:"deleting"`
	}
	common := pod{p.Name, p.Phase, p.Ready, p.Deleting}
	if p.ValuesMilli == nil {
		return json.Marshal(struct {
			pod
			ValueMilli *int64 `json:"valueMilli"`
		}{common, p.ValueMilli})
	}
	return json.Marshal(struct {
		pod
		ValuesMilli map[string]*int64 `json:"valuesMilli"`
	}{common, p.ValuesMilli})
}

// sample is what the metrics API knows of a metric of the pod, nil if nothing.
func (p Pod) sample(metric string) *int64 {
	if p.ValuesMilli == nil {
		return p.ValueMilli
	}
	return p.ValuesMilli[metric]
}

// Expect is what the controller did in one pass, and the conditions after it.
type Expect struct {
	Desired       int32             `json:"desired"`
	Patched       bool              `json:"patched"`
	StatusDesired *int32            `json:"statusDesired,omitempty"`
	Conditions    map[string]string `json:"conditions"`
}

// Fault is what is wrong with the cluster during one pass.
type Fault string

const (
	kindUnknown         Fault = "kindUnknown"
	targetMissing       Fault = "targetMissing"
	selectorEmpty       Fault = "selectorEmpty"
	selectorInvalid     Fault = "selectorInvalid"
	selectorShared      Fault = "selectorShared"
	writeConflictOnce   Fault = "writeConflictOnce"
	writeConflictAlways Fault = "writeConflictAlways"
	writeRefused        Fault = "writeRefused"
)

var faults = []Fault{
	kindUnknown, targetMissing, selectorEmpty, selectorInvalid, selectorShared,
	writeConflictOnce, writeConflictAlways, writeRefused,
}

// metrics are the policy's metrics in order, whichever form it has.
func (p Policy) metrics() []Metric {
	if len(p.Metrics) > 0 {
		return p.Metrics
	}
	return []Metric{{"the-one", p.TargetMilli}}
}
