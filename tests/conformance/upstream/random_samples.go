package upstream

import "math"

// mood describes how the pods report a metric in one sync.
type mood struct {
	ratio  float64 // of value to target
	spread float64 // around it, 0: all the same
	silent float64 // the share of pods without a sample
}

func (w *randomWorld) randomMoods() map[string]mood {
	moods := map[string]mood{}
	for _, metric := range w.header.Policy.metrics() {
		moods[metric.Name] = mood{
			ratio:  w.randomRatio(),
			spread: oneOf(w, 0, 0, 0.05, 0.5),
			silent: oneOf(w, 0, 0, 0, 0.1, 0.4, 1),
		}
	}
	return moods
}

// randomRatio is often at a threshold: at 1, and at the ends of the tolerance band.
func (w *randomWorld) randomRatio() float64 {
	tolerance := oneOf(w, w.tolerance, float64(w.header.Controller.ToleranceMilli)/1000)
	switch w.IntN(9) {
	case 0:
		return 1
	case 1:
		return 1 + tolerance
	case 2:
		return max(0, 1-tolerance)
	case 3, 8:
		return oneOf(w, 0.0, 0.01, 10, 60)
	case 4:
		return 1 + 2*tolerance*(w.Float64()-0.5)
	case 5:
		return oneOf(w, 0.5, 2, 1.5, 3, 0.95, 1.05)
	default:
		return 3 * w.Float64()
	}
}

// sample sets the pod's samples. Whether they are read depends on its phase.
func (w *randomWorld) sample(pod *Pod, moods map[string]mood) {
	value := func(metric Metric) *int64 {
		mood := moods[metric.Name]
		if w.chance(mood.silent) || pod.Phase == "Pending" && w.chance(0.8) || pod.Phase != "Running" && w.chance(0.5) {
			return nil
		}
		ratio := mood.ratio * (1 + mood.spread*(2*w.Float64()-1))
		value := int64(math.Round(ratio * float64(metric.TargetMilli)))
		if w.chance(0.002) {
			value = -value // no queue is shorter than empty, but the HPA knows no queues
		}
		return &value
	}
	// An edit may drop a metric of the first policy. The pods still report it.
	first := w.header.Policy
	if len(first.Metrics) == 0 {
		pod.ValueMilli = value(first.metrics()[0])
		return
	}
	pod.ValuesMilli = map[string]*int64{}
	for _, metric := range first.Metrics {
		pod.ValuesMilli[metric.Name] = value(metric)
	}
}
