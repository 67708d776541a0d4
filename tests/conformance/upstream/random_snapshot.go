package upstream

// snapshots are syncs over unrelated sets of pods.
type snapshots struct{}

func (snapshots) before(w *randomWorld, step *Step, replicas int32) {
	if step.SpecReplicas == nil && w.chance(0.4) {
		size := w.firstSize()
		step.SpecReplicas, replicas = &size, size
	}
	count := oneOf(w, int(min(replicas, 60)), w.IntN(12), w.IntN(12), w.IntN(60))
	moods := w.randomMoods()
	for number := range count {
		pod := w.randomPod(podName(number))
		w.sample(&pod, moods)
		step.Pods = append(step.Pods, pod)
	}
	if step.Pods == nil {
		step.Pods = []Pod{}
	}
}

func (w *randomWorld) randomPod(name string) Pod {
	pod := Pod{Name: name, Phase: "Running", Ready: true}
	switch {
	case w.chance(0.12):
		pod.Phase = "Pending"
	case w.chance(0.04):
		pod.Phase = oneOf(w, "Failed", "Failed", "Succeeded", "Unknown")
	}
	pod.Ready = pod.Phase == "Running" && !w.chance(0.1)
	pod.Deleting = w.chance(0.06)
	return pod
}
