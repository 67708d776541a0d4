package upstream

// churn is a fleet without history under a policy that is edited repeatedly: only the controller's memory of replicas
// and proposals matters.
type churn struct{}

func (churn) before(w *randomWorld, step *Step, replicas int32) {
	if step.SpecReplicas == nil && replicas == 0 {
		size := w.firstSize()
		step.SpecReplicas, replicas = &size, size
	}
	moods := w.randomMoods()
	step.Pods = []Pod{}
	for number := range min(replicas, 20) {
		pod := Pod{Name: podName(int(number)), Phase: "Running", Ready: true}
		w.sample(&pod, moods)
		step.Pods = append(step.Pods, pod)
	}
}
