package upstream

import (
	"math"
	"slices"
	"strings"
)

// sequence is a fleet under changing load: pods start when replicas are added, and serve, stop reporting, fail and
// terminate.
type sequence struct {
	loads map[string]*load
	names []string // of the loads, in the metrics' order
	fleet []*member
	born  int
}

// load is the sum of one metric over all pods, in targets of the first policy.
type load struct {
	shape string
	size  float64 // of the swings
	phase float64
	level float64 // of the walk
}

type member struct {
	Pod
	waits  int // passes until it runs
	warms  int // passes until it is ready
	silent int // passes without a sample
	leaves int // passes until it is gone, 0: it stays
}

func newSequence(w *randomWorld) *sequence {
	s := &sequence{loads: map[string]*load{}}
	for _, metric := range w.policy.metrics() {
		s.names = append(s.names, metric.Name)
		s.loads[metric.Name] = &load{
			shape: oneOf(w, "rising", "falling", "walk", "steps", "spike", "wave", "idle"),
			size:  0.5 + 12*w.Float64(),
			phase: 20 * w.Float64(),
			level: 4 * w.Float64(),
		}
	}
	return s
}

func (s *sequence) shapes() string {
	var shapes []string
	for _, name := range s.names {
		shapes = append(shapes, s.loads[name].shape)
	}
	return strings.Join(shapes, "-")
}

func (s *sequence) before(w *randomWorld, step *Step, replicas int32) {
	if step.SpecReplicas == nil && (w.chance(0.02) || replicas == 0 && w.chance(0.4)) {
		size := w.firstSize()
		step.SpecReplicas, replicas = &size, size
	}
	s.live(w, int(min(replicas, 50)))
	step.Pods = s.report(w)
}

// live advances by one sync: the fleet scales toward the replicas, which it reaches later.
func (s *sequence) live(w *randomWorld, replicas int) {
	serving := 0
	for _, m := range s.fleet {
		s.age(w, m)
		if m.leaves == 0 && m.Phase != "Failed" {
			serving++
		}
	}
	s.fleet = slices.DeleteFunc(s.fleet, func(m *member) bool { return m.leaves == 1 })
	for ; serving < replicas; serving++ {
		m := &member{Pod: Pod{Name: podName(s.born), Phase: "Pending"}, waits: w.IntN(4), warms: w.IntN(3)}
		if w.first {
			m.waits, m.warms = 0, 0
		}
		s.born++
		s.age(w, m)
		s.fleet = append(s.fleet, m)
	}
	for i := len(s.fleet) - 1; serving > replicas && i >= 0; i-- {
		if m := s.fleet[i]; m.leaves == 0 && m.Phase != "Failed" {
			m.leaves, m.Deleting = 2+w.IntN(3), true
			serving--
		}
	}
}

func (s *sequence) age(w *randomWorld, m *member) {
	if m.leaves > 1 {
		m.leaves--
		return
	}
	if m.silent > 0 {
		m.silent--
	} else if w.chance(0.03) {
		m.silent = 1 + w.IntN(6)
	}
	switch {
	case m.Phase == "Pending" && m.waits > 0:
		m.waits--
	case m.Phase == "Pending":
		m.Phase = "Running"
		m.Ready = m.warms == 0
	case m.Phase == "Running" && m.warms > 0:
		m.warms--
		m.Ready = m.warms == 0
	case m.Phase == "Running" && w.chance(0.01):
		m.Phase, m.Ready = oneOf(w, "Failed", "Failed", "Failed", "Succeeded", "Unknown"), false
	case m.Phase == "Unknown" && w.chance(0.5):
		m.Phase, m.Ready = "Running", true
	case m.Phase == "Failed" && w.chance(0.3):
		m.leaves, m.Deleting = 2, true
	}
}

func (s *sequence) report(w *randomWorld) []Pod {
	running := 0
	for _, m := range s.fleet {
		if m.Phase == "Running" && !m.Deleting {
			running++
		}
	}
	moods := map[string]mood{}
	for _, name := range s.names {
		moods[name] = mood{
			ratio:  s.loads[name].now(w) / float64(max(1, running)),
			spread: 0.03,
		}
		if w.chance(0.04) {
			// The whole metric is missing once, or much of it.
			moods[name] = mood{ratio: 1, silent: oneOf(w, 1, 1, 0.6)}
		}
	}
	listed := []Pod{}
	for _, m := range s.fleet {
		pod := m.Pod
		w.sample(&pod, moods)
		if m.silent > 0 {
			pod.ValueMilli = nil
			for name := range pod.ValuesMilli {
				pod.ValuesMilli[name] = nil
			}
		}
		listed = append(listed, pod)
	}
	return listed
}

// now returns the current load, 0 or more.
func (l *load) now(w *randomWorld) float64 {
	at := w.at/float64(w.header.Controller.SyncSeconds) + l.phase
	switch l.shape {
	case "rising":
		return l.size * at / 20
	case "falling":
		return max(0, l.size*(2-at/25))
	case "walk":
		l.level = max(0, l.level+l.size*0.3*(w.Float64()-0.5))
		return l.level
	case "steps":
		if int(at/7)%2 == 0 {
			return l.size
		}
		return l.size / 6
	case "spike":
		if int(at)%11 == 0 {
			return 3 * l.size
		}
		return l.size / 4
	case "wave":
		return l.size * (1 + math.Sin(at/4)) / 2
	default:
		return 0
	}
}
