package statuspage_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"k8s.io/apimachinery/pkg/types"

	"github.com/maek-dev/maek/internal/kuberhealthy"
)

// TestScrapesWhileReportsCome is for the race detector, and holds that each answer is whole.
func TestScrapesWhileReportsCome(t *testing.T) {
	w := newWorld()
	for i := range 200 {
		e := w.entries[0]
		e.Check.NamespacedName = types.NamespacedName{Namespace: fmt.Sprint("team-", i%7), Name: fmt.Sprint("check-", i)}
		w.entries = append(w.entries, e)
	}
	runs := kuberhealthy.NewRunMetrics()
	address := serve(t, w.options())
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for i := range 25 {
				body := fmt.Sprintf(`{"OK":%t,"Errors":["attempt %d"]}`, false, i)
				if got := post(t, address, "/externalCheckStatus", body, run(runID)); got.status != http.StatusOK {
					t.Errorf("a report was answered %d %s", got.status, got.body)
				}
				runs.Ended(kuberhealthy.Check{API: kuberhealthy.V2}, "ReportedFailure", 0)
			}
		})
		group.Go(func() {
			for range 15 {
				got := get(t, address, "/metrics", "")
				parser := expfmt.NewTextParser(model.LegacyValidation)
				if _, err := parser.TextToMetricFamilies(strings.NewReader(got.body)); err != nil {
					t.Errorf("the metrics are malformed: %v", err)
				}
			}
		})
		group.Go(func() {
			for range 15 {
				if got := get(t, address, "/", ""); !strings.HasSuffix(got.body, "}") {
					t.Errorf("the document is not whole: %.80q", got.body)
				}
			}
		})
	}
	group.Wait()
	if len(w.reports) != 100 {
		t.Errorf("%d reports were taken", len(w.reports))
	}
}
