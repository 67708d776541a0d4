package upstream

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/apis/autoscaling"
	_ "k8s.io/kubernetes/pkg/apis/autoscaling/install" // the API server's versions, defaults and checks
	"k8s.io/kubernetes/pkg/registry/autoscaling/horizontalpodautoscaler"
)

const (
	namespace = "default"
	ourName   = "ours"
	otherName = "other"
	ourKind   = "Deployment"
	otherKind = "StatefulSet"
)

// manifest returns the HPA that a user would write for the policy.
func manifest(name, kind string, policy Policy) (*autoscalingv2.HorizontalPodAutoscaler, error) {
	hpa := &autoscalingv2.HorizontalPodAutoscaler{
		TypeMeta:   metav1.TypeMeta{APIVersion: "autoscaling/v2", Kind: "HorizontalPodAutoscaler"},
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace},
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{
				APIVersion: "apps/v1", Kind: kind, Name: name,
			},
			MinReplicas: &policy.MinReplicas,
			MaxReplicas: policy.MaxReplicas,
		},
	}
	for _, metric := range policy.metrics() {
		hpa.Spec.Metrics = append(hpa.Spec.Metrics, autoscalingv2.MetricSpec{
			Type: autoscalingv2.PodsMetricSourceType,
			Pods: &autoscalingv2.PodsMetricSource{
				Metric: autoscalingv2.MetricIdentifier{Name: metric.Name},
				Target: autoscalingv2.MetricTarget{
					Type:         autoscalingv2.AverageValueMetricType,
					AverageValue: resource.NewMilliQuantity(metric.TargetMilli, resource.DecimalSI),
				},
			},
		})
	}
	if policy.Behavior != nil {
		strict := json.NewDecoder(bytes.NewReader(policy.Behavior))
		strict.DisallowUnknownFields()
		if err := strict.Decode(&hpa.Spec.Behavior); err != nil {
			return nil, fmt.Errorf("behavior %s: %w", policy.Behavior, err)
		}
	}
	return hpa, nil
}

// create processes a manifest like the API server: it decodes, sets defaults, validates and encodes. So the controller
// gets every quantity in its canonical form.
func create(hpa *autoscalingv2.HorizontalPodAutoscaler) (*autoscalingv2.HorizontalPodAutoscaler, error) {
	internal, err := received(hpa)
	if err != nil {
		return nil, err
	}
	rest.FillObjectMetaSystemFields(internal)
	if err := rest.BeforeCreate(horizontalpodautoscaler.Strategy, request(), internal); err != nil {
		return nil, err
	}
	return sent(internal)
}

// update is create for an existing object. The generation shows whether the spec has changed.
func update(hpa, old *autoscalingv2.HorizontalPodAutoscaler) (*autoscalingv2.HorizontalPodAutoscaler, error) {
	internal, err := received(hpa)
	if err != nil {
		return nil, err
	}
	before, err := received(old)
	if err != nil {
		return nil, err
	}
	internal.ResourceVersion = before.ResourceVersion
	if err := rest.BeforeUpdate(horizontalpodautoscaler.Strategy, request(), internal, before); err != nil {
		return nil, err
	}
	return sent(internal)
}

// differ reports whether the API server sees a change of the spec between two policies.
func differ(a, b Policy) (bool, error) {
	var specs [2]autoscalingv2.HorizontalPodAutoscalerSpec
	for i, policy := range []Policy{a, b} {
		hpa, err := manifest(ourName, ourKind, policy)
		if err != nil {
			return false, err
		}
		hpa, err = create(hpa)
		if err != nil {
			return false, err
		}
		specs[i] = hpa.Spec
	}
	return !apiequality.Semantic.DeepEqual(specs[0], specs[1]), nil
}

func request() context.Context {
	ctx := genericapirequest.WithNamespace(genericapirequest.NewContext(), namespace)
	return genericapirequest.WithRequestInfo(ctx, &genericapirequest.RequestInfo{
		APIGroup: hpas.Group, APIVersion: hpas.Version, Resource: hpas.Resource, Namespace: namespace,
	})
}

func received(hpa *autoscalingv2.HorizontalPodAutoscaler) (*autoscaling.HorizontalPodAutoscaler, error) {
	document, err := json.Marshal(hpa)
	if err != nil {
		return nil, err
	}
	decoder := legacyscheme.Codecs.UniversalDecoder(autoscaling.SchemeGroupVersion)
	object, err := runtime.Decode(decoder, document)
	if err != nil {
		return nil, err
	}
	return object.(*autoscaling.HorizontalPodAutoscaler), nil
}

func sent(internal *autoscaling.HorizontalPodAutoscaler) (*autoscalingv2.HorizontalPodAutoscaler, error) {
	encoder := legacyscheme.Codecs.LegacyCodec(autoscalingv2.SchemeGroupVersion)
	document, err := runtime.Encode(encoder, internal)
	if err != nil {
		return nil, err
	}
	object, err := runtime.Decode(scheme.Codecs.UniversalDeserializer(), document)
	if err != nil {
		return nil, err
	}
	return object.(*autoscalingv2.HorizontalPodAutoscaler), nil
}
