package upstream

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"testing"
	"testing/synctest"

	"github.com/go-logr/logr"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/util/retry"
	"k8s.io/klog/v2"
)

// This program has the form of a test, since fake time is available in tests only. Built with "go test -c", it writes
// cases to stdout, and the output of the test to stderr.
var (
	seed    = flag.Uint64("seed", 1, "of the random worlds")
	cases   = flag.Int("cases", 0, "how many random worlds")
	shard   = flag.Int("shard", 0, "record only those whose number leaves this remainder, divided by -shards")
	shards  = flag.Int("shards", 1, "among how many processes the worlds are divided")
	scripts = flag.Bool("scripts", false, "record the cases on stdin again, whatever they expect")
)

var stdout = os.Stdout

func TestMain(m *testing.M) {
	os.Stdout = os.Stderr // where package testing says PASS
	klog.SetLogger(logr.Discard())
	// Errors are part of the cases. The handlers would log each of them, and let time pass.
	utilruntime.ErrorHandlers = []utilruntime.ErrorHandler{
		func(context.Context, error, string, ...any) {},
	}
	// As often as usual, but without waiting: the clock stands still during a sync.
	retry.DefaultRetry.Duration = 0
	os.Exit(m.Run())
}

func TestRecord(t *testing.T) {
	out := bufio.NewWriter(stdout)
	defer func() {
		if err := out.Flush(); err != nil {
			t.Fatal(err)
		}
	}()
	if *scripts {
		recordScripts(t, os.Stdin, out)
	}
	for number := *shard; number < *cases; number += *shards {
		world := newRandomWorld(*seed, number)
		write(t, out, recordCase(t, world.header, world))
	}
}

func recordCase(t *testing.T, c Case, world source) Case {
	synctest.Test(t, func(t *testing.T) {
		var err error
		if c.Steps, err = record(c.Policy, c.Controller, world); err != nil {
			t.Fatalf("%s: %v", c.Name, err)
		}
	})
	return c
}

func recordScripts(t *testing.T, in io.Reader, out io.Writer) {
	lines := bufio.NewReader(in)
	for number := 1; ; number++ {
		line, err := lines.ReadBytes('\n')
		if len(bytes.TrimSpace(line)) > 0 {
			var c Case
			strict := json.NewDecoder(bytes.NewReader(line))
			strict.DisallowUnknownFields()
			if err := strict.Decode(&c); err != nil {
				t.Fatalf("line %d of stdin is not a case: %v", number, err)
			}
			write(t, out, recordCase(t, c, &script{c.Steps}))
		}
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func write(t *testing.T, out io.Writer, c Case) {
	line, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(out, "%s\n", line); err != nil {
		t.Fatal(err)
	}
}

// script is a case whose steps are known.
type script struct {
	steps []Step
}

func (s *script) next(int32) *Step {
	if len(s.steps) == 0 {
		return nil
	}
	step := s.steps[0]
	s.steps = s.steps[1:]
	return &step
}
