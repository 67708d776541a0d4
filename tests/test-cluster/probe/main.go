// A static program for the rig's own checks, and for the pods of its tests: there is no registry
// to pull one from.
//
//	probe serve [-port 8080] [-events FILE] [-name NAME] [-linger 0s]
//	    answers HTTP on every address with NAME, logs each request, and appends "NAME started",
//	    "NAME stopping" (at SIGTERM) and, LINGER later, "NAME stopped" to FILE
//	probe resolve NAME [SERVER]
//	    prints the addresses of a host name, asking SERVER instead of /etc/resolv.conf's if given
//	probe get URL
//	    prints the status and the body of an answer; takes any certificate
package main

import (
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	log.SetFlags(log.LUTC | log.LstdFlags | log.Lmicroseconds)
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "probe:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) >= 1 && args[0] == "serve":
		return serve(args[1:])
	case len(args) >= 2 && args[0] == "resolve":
		return resolve(args[1], args[2:])
	case len(args) == 2 && args[0] == "get":
		return get(args[1])
	}
	return fmt.Errorf("say serve, resolve NAME or get URL")
}

func serve(args []string) error {
	flags := flag.NewFlagSet("serve", flag.ExitOnError)
	port := flags.Int("port", 8080, "port to listen on")
	events := flags.String("events", "", "file that start and stop are appended to")
	name := flags.String("name", "probe", "what to answer")
	linger := flags.Duration("linger", 0, "time from SIGTERM to the end")
	if err := flags.Parse(args); err != nil {
		return err
	}

	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	listener, err := net.Listen("tcp", fmt.Sprintf(":%d", *port))
	if err != nil {
		return err
	}
	go http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		log.Printf("%s %s from %s", r.Method, r.URL.Path, r.RemoteAddr)
		fmt.Fprintln(w, *name)
	}))
	if err := record(*events, *name, "started"); err != nil {
		return err
	}
	<-stop
	if err := record(*events, *name, "stopping"); err != nil {
		return err
	}
	time.Sleep(*linger)
	return record(*events, *name, "stopped")
}

func record(path, name, event string) error {
	log.Println(name, event)
	if path == "" {
		return nil
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = fmt.Fprintln(file, name, event)
	return err
}

func resolve(name string, server []string) error {
	resolver := &net.Resolver{PreferGo: true}
	if len(server) > 0 {
		resolver.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort(server[0], "53"))
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	addresses, err := resolver.LookupHost(ctx, name)
	for _, address := range addresses {
		fmt.Println(address)
	}
	return err
}

func get(url string) error {
	client := http.Client{
		Timeout:   5 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
	}
	answer, err := client.Get(url)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	fmt.Println(answer.Status)
	_, err = io.Copy(os.Stdout, answer.Body)
	return err
}
