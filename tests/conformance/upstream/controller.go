package upstream

import (
	"context"
	"sync"
	"testing/synctest"
	"time"

	"k8s.io/client-go/informers"
	"k8s.io/kubernetes/pkg/controller/podautoscaler"
	"k8s.io/kubernetes/pkg/controller/podautoscaler/metrics"
)

// controller is one process of the HPA controller, from its start to its end.
type controller struct {
	upstream  *podautoscaler.HorizontalController
	informers informers.SharedInformerFactory
	context   context.Context
	cancel    context.CancelFunc
	running   sync.WaitGroup
}

// newController builds it like kube-controller-manager, and fills its caches.
func newController(c *cluster, flags Controller) *controller {
	ctx, cancel := context.WithCancel(context.Background())
	factory := informers.NewSharedInformerFactory(c.objects, 12*time.Hour)
	seconds := func(n int64) time.Duration { return time.Duration(n) * time.Second }
	upstream := podautoscaler.NewHorizontalController(
		ctx,
		c.objects.CoreV1(),
		scales{cluster: c},
		c.objects.AutoscalingV2(),
		mapper{cluster: c},
		metrics.NewRESTMetricsClient(nil, samples{cluster: c}, nil),
		factory.Autoscaling().V2().HorizontalPodAutoscalers(),
		factory.Core().V1().Pods(),
		seconds(flags.SyncSeconds),
		seconds(flags.DownscaleStabilizationSeconds),
		// The nearest double, as the flag's parser returns it.
		float64(flags.ToleranceMilli)/1000,
		5*time.Minute,  // the CPU initialization period, of no effect on Pods metrics
		30*time.Second, // the initial readiness delay, likewise
	)
	factory.Start(ctx.Done())
	// Run must find them filled: it checks at once, and then every 100 ms.
	synctest.Wait()
	return &controller{upstream: upstream, informers: factory, context: ctx, cancel: cancel}
}

// run starts the syncs.
func (c *controller) run() {
	c.running.Go(func() { c.upstream.Run(c.context, 5) })
}

// stop stops it, and waits until all its goroutines have ended.
func (c *controller) stop() {
	c.cancel()
	c.informers.Shutdown()
	c.running.Wait()
}
