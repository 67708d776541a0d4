package upstream

import (
	"context"
	"errors"
	"fmt"
	"time"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	scaleclient "k8s.io/client-go/scale"
	"k8s.io/metrics/pkg/apis/custom_metrics/v1beta2"
	customclient "k8s.io/metrics/pkg/client/custom_metrics"
)

const selector = "app=model"

// mapper maps the kinds of targets. The controller calls it first in every sync, so it counts them.
type mapper struct {
	meta.RESTMapper
	cluster *cluster
}

func (m mapper) RESTMappings(kind schema.GroupKind, _ ...string) ([]*meta.RESTMapping, error) {
	if kind.Kind == ourKind {
		m.cluster.mutex.Lock()
		defer m.cluster.mutex.Unlock()
		m.cluster.passes = append(m.cluster.passes, time.Now())
		if m.cluster.fault == kindUnknown {
			return nil, &meta.NoKindMatchError{GroupKind: kind}
		}
	}
	resource, _ := meta.UnsafeGuessKindToResource(kind.WithVersion("v1"))
	return []*meta.RESTMapping{{
		Resource: resource, GroupVersionKind: kind.WithVersion("v1"), Scope: meta.RESTScopeNamespace,
	}}, nil
}

// scales serves the scale subresource of the targets.
type scales struct {
	scaleclient.ScaleInterface
	cluster *cluster
}

func (s scales) Scales(string) scaleclient.ScaleInterface { return s }

func (s scales) Get(_ context.Context, target schema.GroupResource, name string, _ metav1.GetOptions) (*autoscalingv1.Scale, error) {
	c := s.cluster
	c.mutex.Lock()
	defer c.mutex.Unlock()
	scale := &autoscalingv1.Scale{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace},
		Spec:       autoscalingv1.ScaleSpec{Replicas: c.replicas},
		Status:     autoscalingv1.ScaleStatus{Replicas: int32(len(c.pods)), Selector: selector},
	}
	if name == otherName {
		scale.Spec.Replicas = 1
		return scale, nil
	}
	switch c.fault {
	case targetMissing:
		return nil, apierrors.NewNotFound(target, name)
	case selectorEmpty:
		scale.Status.Selector = ""
	case selectorInvalid:
		scale.Status.Selector = "app in (model"
	}
	return scale, nil
}

func (s scales) Update(_ context.Context, target schema.GroupResource, scale *autoscalingv1.Scale, _ metav1.UpdateOptions) (*autoscalingv1.Scale, error) {
	c := s.cluster
	c.mutex.Lock()
	defer c.mutex.Unlock()
	switch {
	case scale.Name != ourName:
		return nil, errors.New("the other HPA is there to be seen, not to write")
	case c.fault == writeRejected:
		return nil, apierrors.NewForbidden(target, scale.Name, errors.New("as scripted"))
	case c.conflicts > 0:
		c.conflicts--
		return nil, apierrors.NewConflict(target, scale.Name, errors.New("as scripted"))
	}
	c.replicas = scale.Spec.Replicas
	c.patched = true
	return scale, nil
}

// samples serves the custom metrics API.
type samples struct {
	customclient.MetricsInterface
	cluster *cluster
}

func (s samples) RootScopedMetrics() customclient.MetricsInterface       { return s }
func (s samples) NamespacedMetrics(string) customclient.MetricsInterface { return s }

func (s samples) GetForObjects(_ schema.GroupKind, _ labels.Selector, metric string, _ labels.Selector) (*v1beta2.MetricValueList, error) {
	c := s.cluster
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.metricsTakeTime {
		c.mutex.Unlock()
		time.Sleep(time.Microsecond)
		c.mutex.Lock()
	}
	if c.metricFault[metric] {
		return nil, fmt.Errorf("no answer for %s, as scripted", metric)
	}
	list := &v1beta2.MetricValueList{}
	for _, pod := range c.pods {
		if value := pod.sample(metric); value != nil {
			list.Items = append(list.Items, v1beta2.MetricValue{
				DescribedObject: v1.ObjectReference{Kind: "Pod", Namespace: namespace, Name: pod.Name},
				Metric:          v1beta2.MetricIdentifier{Name: metric},
				Timestamp:       metav1.Now(),
				Value:           *resource.NewMilliQuantity(*value, resource.DecimalSI),
			})
		}
	}
	return list, nil
}
