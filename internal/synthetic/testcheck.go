package synthetic

import (
	"context"
	"time"
)

var testOptions = []Option{
	{Name: "REPORT_FAILURE", Default: "false", Doc: "true: it fails."},
	{Name: "REPORT_DELAY", Default: "5s", Doc: "Time after which it ends."},
}

var _ = All.Add(Scenario{
	Name:    "test",
	Doc:     "Does nothing for a while, and then succeeds or fails as it is told: it tries whoever runs checks, and what becomes of a report.",
	Images:  []string{"test-check", "test-external-check"},
	Options: testOptions,
	Time:    time.Minute,
	Run:     runTest,
})

func runTest(ctx context.Context, env Environment) (Result, error) {
	o := env.read(testOptions)
	fail, delay := o.boolean("REPORT_FAILURE"), o.duration("REPORT_DELAY", 0)
	if err := o.err(); err != nil {
		return Result{}, err
	}
	switch {
	case !waitFor(ctx, env, delay):
		return Result{Errors: []string{"the run ended before REPORT_DELAY was over"}}, nil
	case fail:
		return Result{Errors: []string{"Test has failed!"}}, nil
	}
	return Result{}, nil
}
