// Package upstream runs the unchanged HorizontalPodAutoscaler controller of Kubernetes in fake time, and records its
// decisions as cases (../README.md).
package upstream

import "encoding/json"

// Case is one line of a file of recorded cases. ../README.md describes the fields.
type Case struct {
	Name       string     `json:"name"`
	Policy     Policy     `json:"policy"`
	Controller Controller `json:"controller"`
	Steps      []Step     `json:"steps"`
}

// Policy is the user's policy. One metric is a TargetMilli, several are Metrics.
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

// Step is one sync of the controller: the state before it, and its decision.
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

// Pod is one pod that matches the selector. Its samples are in ValueMilli if the policy has one metric without a name,
// otherwise in ValuesMilli.
type Pod struct {
	Name        string            `json:"name"`
	Phase       string            `json:"phase"`
	Ready       bool              `json:"ready"`
	Deleting    bool              `json:"deleting"`
	ValueMilli  *int64            `json:"valueMilli"`
	ValuesMilli map[string]*int64 `json:"valuesMilli"`
}

// MarshalJSON writes one of the two forms. A missing sample is null in both.
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

// sample returns the sample of a metric, or nil.
func (p Pod) sample(metric string) *int64 {
	if p.ValuesMilli == nil {
		return p.ValueMilli
	}
	return p.ValuesMilli[metric]
}

// Expect is the controller's decision in one sync, and the conditions after it.
type Expect struct {
	Desired       int32             `json:"desired"`
	Patched       bool              `json:"patched"`
	StatusDesired *int32            `json:"statusDesired,omitempty"`
	Conditions    map[string]string `json:"conditions"`
}

// Fault is a fault of the cluster during one sync.
type Fault string

const (
	kindUnknown         Fault = "kindUnknown"
	targetMissing       Fault = "targetMissing"
	selectorEmpty       Fault = "selectorEmpty"
	selectorInvalid     Fault = "selectorInvalid"
	selectorShared      Fault = "selectorShared"
	writeConflictOnce   Fault = "writeConflictOnce"
	writeConflictAlways Fault = "writeConflictAlways"
	writeRejected       Fault = "writeRejected"
)

var faults = []Fault{
	kindUnknown, targetMissing, selectorEmpty, selectorInvalid, selectorShared,
	writeConflictOnce, writeConflictAlways, writeRejected,
}

// metrics returns the policy's metrics in order, for both forms.
func (p Policy) metrics() []Metric {
	if len(p.Metrics) > 0 {
		return p.Metrics
	}
	return []Metric{{"the-one", p.TargetMilli}}
}
