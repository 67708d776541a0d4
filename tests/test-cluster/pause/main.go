// The pause program: the first process of every pod. It holds the pod's namespaces open and does
// nothing else, as registry.k8s.io/pause does, which cannot be pulled without a registry.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)
	// Reaps orphans in pods that share one process namespace: ignored children leave no zombie.
	signal.Ignore(syscall.SIGCHLD)
	<-stop
}
