package kuberhealthy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
)

// MaxReportBytes is how large the body of a report may be. Kuberhealthy knows no limit; a report becomes
// part of an object, and of every status page.
const MaxReportBytes = 1 << 20

// What is kept of a report's errors.
const (
	// MaxErrors is how many.
	MaxErrors = 64
	// MaxErrorBytes is how much of each.
	MaxErrorBytes = 2048
)

// ErrNoReport is a request that only asks whether anybody answers: nearly all stock checks send such a
// GET before they begin, and want 200.
var ErrNoReport = errors.New("the request is no report")

// ReadReport reads a report as the endpoint of an API takes it: /externalCheckStatus of V2, /check of V3.
// It returns ErrNoReport for GET and HEAD, and else a *Refusal, whose status is that version's.
//
// Keys are read in any case, what is not known is ignored, and of a key that comes twice the last
// counts, as Kuberhealthy's decoder has it: its clients rely on the first two. Where V2 takes a report
// that says OK and tells errors, they count.
func ReadReport(api API, method string, header http.Header, body io.Reader) (Report, error) {
	if method == http.MethodGet || method == http.MethodHead {
		return Report{}, ErrNoReport
	}
	if api == V3 {
		if err := envelope(method, header); err != nil {
			return Report{}, err
		}
	}
	text, err := io.ReadAll(io.LimitReader(body, MaxReportBytes+1))
	tooLarge, _ := errors.AsType[*http.MaxBytesError](err)
	if err != nil && tooLarge == nil {
		return Report{}, refuse("the report could not be read to its end")
	}
	if tooLarge != nil || len(text) > MaxReportBytes {
		return Report{}, &Refusal{
			Status:  http.StatusRequestEntityTooLarge,
			Message: fmt.Sprintf("the report is larger than %d bytes: send shorter errors", MaxReportBytes),
		}
	}
	var report struct {
		OK     bool
		Errors []string
	}
	// Some systems put a byte order mark before all that they write.
	if err := json.Unmarshal(bytes.TrimPrefix(text, []byte("\ufeff")), &report); err != nil {
		return Report{}, refuse(`the report is not JSON of the form {"OK": false, "Errors": ["what is wrong"]}`)
	}
	return judge(api, report.OK, report.Errors)
}

// envelope judges what stands around a report of version 3.
func envelope(method string, header http.Header) error {
	if method != http.MethodPost {
		return &Refusal{Status: http.StatusMethodNotAllowed, Message: "reports are sent by POST"}
	}
	if !strings.HasPrefix(header.Get("Content-Type"), "application/json") {
		return &Refusal{Status: http.StatusUnsupportedMediaType, Message: "reports are sent with the header Content-Type: application/json"}
	}
	if header.Get(HeaderRunID) == "" {
		return Unknown(V3, "")
	}
	return nil
}

// judge tells a report from one that contradicts itself.
func judge(api API, ok bool, told []string) (Report, error) {
	if ok && api == V3 && len(told) > 0 {
		return Report{}, refuse("the report says OK and tells errors: send either")
	}
	if !ok && slices.Contains(told, "") {
		return Report{}, refuse("the report has an error without text")
	}
	good, told := outcome(ok, told)
	if !good && len(told) == 0 {
		return Report{}, refuse("the report is not OK and tells no error: say what is wrong")
	}
	return Report{OK: good, Errors: kept(told)}, nil
}

// kept is what is kept of errors.
func kept(told []string) []string {
	var texts []string
	for _, text := range told[:min(len(told), MaxErrors)] {
		texts = append(texts, legible(text, MaxErrorBytes))
	}
	if more := len(told) - MaxErrors; more > 0 {
		texts[MaxErrors-1] = fmt.Sprintf("and %d more errors, which were not kept", more+1)
	}
	return texts
}

func refuse(message string) *Refusal {
	return &Refusal{Status: http.StatusBadRequest, Message: message}
}
