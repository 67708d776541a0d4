package upstream

import (
	"fmt"
	"strconv"
	"sync"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

// cluster is the cluster around the controller: the target, its pods and their samples, and the HPAs.
type cluster struct {
	objects *fake.Clientset // HPAs and pods, for informers to list and watch

	mutex       sync.Mutex
	replicas    int32
	pods        map[string]Pod
	fault       Fault
	metricFault map[string]bool
	conflicts   int // so many writes of the scale still meet a conflict
	version     int64
	passes      []time.Time
	patched     bool
	// Without behavior and with a window of 0, not even the recommendation at the start of a sync may count at its end,
	// since time passes in between. Fake time passes only while something sleeps.
	metricsTakeTime bool
}

var (
	hpas = autoscalingv2.SchemeGroupVersion.WithResource("horizontalpodautoscalers")
	pods = v1.SchemeGroupVersion.WithResource("pods")
)

func newCluster() *cluster {
	c := &cluster{objects: fake.NewSimpleClientset(), pods: map[string]Pod{}, version: 1}
	c.objects.PrependReactor("update", hpas.Resource, c.updateStatus)
	c.objects.PrependReactor("create", "events", func(action clienttesting.Action) (bool, runtime.Object, error) {
		return true, action.(clienttesting.CreateAction).GetObject(), nil
	})
	return c
}

// prepare sets the state of the step before the sync.
func (c *cluster) prepare(step *Step) error {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if step.SpecReplicas != nil {
		c.replicas = *step.SpecReplicas
	}
	c.fault = step.Fault
	c.metricFault = map[string]bool{}
	for _, metric := range step.MetricFault {
		c.metricFault[metric] = true
	}
	c.conflicts = 0
	switch step.Fault {
	case writeConflictOnce:
		c.conflicts = 1
	case writeConflictAlways:
		c.conflicts = 1000
	}
	c.passes, c.patched = nil, false
	c.objects.ClearActions()
	return c.preparePods(step.Pods)
}

func (c *cluster) preparePods(listed []Pod) error {
	next := make(map[string]Pod, len(listed))
	for _, pod := range listed {
		if _, twice := next[pod.Name]; twice {
			return fmt.Errorf("pod %s is listed twice", pod.Name)
		}
		next[pod.Name] = pod
		old, known := c.pods[pod.Name]
		var err error
		switch {
		case !known:
			err = c.objects.Tracker().Create(pods, podObject(pod), namespace)
		case old.Phase != pod.Phase || old.Ready != pod.Ready || old.Deleting != pod.Deleting:
			err = c.objects.Tracker().Update(pods, podObject(pod), namespace)
		}
		if err != nil {
			return err
		}
	}
	for name := range c.pods {
		if _, stays := next[name]; !stays {
			if err := c.objects.Tracker().Delete(pods, namespace, name); err != nil {
				return err
			}
		}
	}
	c.pods = next
	return nil
}

func podObject(pod Pod) *v1.Pod {
	ready := v1.ConditionFalse
	if pod.Ready {
		ready = v1.ConditionTrue
	}
	object := &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: pod.Name, Namespace: namespace, Labels: map[string]string{"app": "model"}},
		Status: v1.PodStatus{
			Phase:      v1.PodPhase(pod.Phase),
			Conditions: []v1.PodCondition{{Type: v1.PodReady, Status: ready}},
		},
	}
	if pod.Deleting {
		now := metav1.Now()
		object.DeletionTimestamp = &now
	}
	return object
}

// createHPA stores an HPA like a user's create.
func (c *cluster) createHPA(name, kind string, policy Policy) error {
	hpa, err := manifest(name, kind, policy)
	if err != nil {
		return err
	}
	hpa, err = create(hpa)
	if err != nil {
		return err
	}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.stamp(hpa)
	return c.objects.Tracker().Create(hpas, hpa, namespace)
}

// updateHPA stores another policy like a user's update.
func (c *cluster) updateHPA(policy Policy) error {
	hpa, err := manifest(ourName, ourKind, policy)
	if err != nil {
		return err
	}
	old, err := c.hpa(ourName)
	if err != nil {
		return err
	}
	hpa, err = update(hpa, old)
	if err != nil {
		return err
	}
	if hpa.Generation == old.Generation {
		return fmt.Errorf("the policy is the same as before: no pass follows such an edit")
	}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.stamp(hpa)
	return c.objects.Tracker().Update(hpas, hpa, namespace)
}

// deleteHPA deletes it like the API server: the last event of an object has its own version. The tracker's has not, so
// its caches would seem to go back in time.
func (c *cluster) deleteHPA(name string) error {
	hpa, err := c.hpa(name)
	if err != nil {
		return err
	}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.stamp(hpa)
	if err := c.objects.Tracker().Update(hpas, hpa, namespace); err != nil {
		return err
	}
	return c.objects.Tracker().Delete(hpas, namespace, name)
}

func (c *cluster) hpa(name string) (*autoscalingv2.HorizontalPodAutoscaler, error) {
	object, err := c.objects.Tracker().Get(hpas, namespace, name)
	if err != nil {
		return nil, err
	}
	return object.(*autoscalingv2.HorizontalPodAutoscaler), nil
}

// updateStatus is the status subresource, which the fake clientset lacks: the spec stays, and a writer with an older
// object gets a conflict.
func (c *cluster) updateStatus(action clienttesting.Action) (bool, runtime.Object, error) {
	written := action.(clienttesting.UpdateAction).GetObject().(*autoscalingv2.HorizontalPodAutoscaler)
	hpa, err := c.hpa(written.Name)
	if err != nil {
		return true, nil, err
	}
	if hpa.ResourceVersion != written.ResourceVersion {
		err := fmt.Errorf("it is version %s, not %s", hpa.ResourceVersion, written.ResourceVersion)
		return true, nil, apierrors.NewConflict(hpas.GroupResource(), hpa.Name, err)
	}
	hpa.Status = *written.Status.DeepCopy()
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.stamp(hpa)
	return true, hpa, c.objects.Tracker().Update(hpas, hpa, namespace)
}

// stamp returns the version that the tracker will use next: it counts the same writes. The tracker does not export its
// count, and the controller compares versions with those in its cache.
func (c *cluster) stamp(hpa *autoscalingv2.HorizontalPodAutoscaler) {
	c.version++
	hpa.ResourceVersion = strconv.FormatInt(c.version, 10)
}

// observed returns the outcome of the step's sync.
func (c *cluster) observed() (Expect, error) {
	hpa, err := c.hpa(ourName)
	if err != nil {
		return Expect{}, err
	}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	expect := Expect{Desired: c.replicas, Patched: c.patched, Conditions: map[string]string{}}
	if hpa.Status.DesiredReplicas != c.replicas {
		expect.StatusDesired = &hpa.Status.DesiredReplicas
	}
	for _, condition := range hpa.Status.Conditions {
		expect.Conditions[string(condition.Type)] = fmt.Sprintf("%s/%s", condition.Status, condition.Reason)
	}
	return expect, nil
}

func (c *cluster) size() int32 {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.replicas
}

func (c *cluster) passTimes() []time.Time {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.passes
}

func (c *cluster) setMetricsTakeTime(yes bool) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.metricsTakeTime = yes
}
