package kuberhealthy_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/maek-dev/maek/internal/kuberhealthy"
)

// envelope is the header that version 3's clients send.
var envelope = http.Header{"Content-Type": {"application/json"}, "Kh-Run-Uuid": {"8b5d7c4e"}}

func TestReports(t *testing.T) {
	good := kuberhealthy.Report{OK: true}
	bad := kuberhealthy.Report{Errors: []string{"disk is full"}}
	form := `the report is not JSON of the form {"OK": false, "Errors": ["what is wrong"]}`
	mute := "the report is not OK and tells no error: say what is wrong"
	blank := "the report has an error without text"
	both := "the report says OK and tells errors: send either"
	tests := map[string]struct {
		body           string
		wantV2, wantV3 kuberhealthy.Report
		// Refusals, all with the status 400.
		wantRefusalV2, wantRefusalV3 string
	}{
		"version 2's client says all is well":   {body: `{"Errors":[],"OK":true}`, wantV2: good, wantV3: good},
		"and without a list":                    {body: `{"Errors":null,"OK":true}`, wantV2: good, wantV3: good},
		"version 3's client sends a status":     {body: `{"ok":true,"currentUUID":"","lastRunUnix":1}`, wantV2: good, wantV3: good},
		"keys of any case":                      {body: `{"oK":false,"ERRORS":["disk is full"]}`, wantV2: bad, wantV3: bad},
		"the last of two keys counts":           {body: `{"OK":true,"ok":false,"Errors":["a"],"errors":["disk is full"]}`, wantV2: bad, wantV3: bad},
		"keys that nobody knows":                {body: `{"OK":true,"a":{"b":[1,2,{"c":null}]}}`, wantV2: good, wantV3: good},
		"a byte order mark":                     {body: "\ufeff" + `{"OK":true}`, wantV2: good, wantV3: good},
		"blanks around it":                      {body: " \r\n{\"OK\" : true}\n", wantV2: good, wantV3: good},
		"not OK without an error":               {body: `{"OK":false,"Errors":[]}`, wantRefusalV2: mute, wantRefusalV3: mute},
		"an empty object":                       {body: `{}`, wantRefusalV2: mute, wantRefusalV3: mute},
		"null":                                  {body: `null`, wantRefusalV2: mute, wantRefusalV3: mute},
		"a blank error":                         {body: `{"OK":false,"Errors":["disk is full",""]}`, wantRefusalV2: blank, wantRefusalV3: blank},
		"an error of blanks":                    {body: `{"OK":false,"Errors":[" \n"]}`, wantRefusalV2: mute, wantRefusalV3: mute},
		"an error of blanks beside one of text": {body: `{"OK":false,"Errors":[" ","disk is full"]}`, wantV2: bad, wantV3: bad},
		"OK with errors":                        {body: `{"OK":true,"Errors":["disk is full"]}`, wantV2: bad, wantRefusalV3: both},
		"OK with a blank error":                 {body: `{"OK":true,"Errors":[""]}`, wantV2: good, wantRefusalV3: both},
		"nothing":                               {body: "", wantRefusalV2: form, wantRefusalV3: form},
		"half of a report":                      {body: `{"OK":true`, wantRefusalV2: form, wantRefusalV3: form},
		"something after it":                    {body: `{"OK":true}{}`, wantRefusalV2: form, wantRefusalV3: form},
		"a list":                                {body: `[{"OK":true}]`, wantRefusalV2: form, wantRefusalV3: form},
		"a text for a truth":                    {body: `{"OK":"true"}`, wantRefusalV2: form, wantRefusalV3: form},
		"errors that are no texts":              {body: `{"OK":false,"Errors":[1]}`, wantRefusalV2: form, wantRefusalV3: form},
		"errors that are no list":               {body: `{"OK":false,"Errors":"disk is full"}`, wantRefusalV2: form, wantRefusalV3: form},
		"a shell that does not escape":          {body: `{"ok":false,"errors":["a "quoted" word"]}`, wantRefusalV2: form, wantRefusalV3: form},
		"a form":                                {body: "OK=true", wantRefusalV2: form, wantRefusalV3: form},
		"a hole without bottom":                 {body: strings.Repeat("[", 100000), wantRefusalV2: form, wantRefusalV3: form},
		"quotes, backslashes and newlines stay": {
			body:   `{"OK":false,"Errors":["\"a\\\n\tb"]}`,
			wantV2: kuberhealthy.Report{Errors: []string{"\"a\\\n\tb"}}, wantV3: kuberhealthy.Report{Errors: []string{"\"a\\\n\tb"}},
		},
		"what steers a terminal does not": {
			body:   "{\"OK\":false,\"Errors\":[\"\\u001b[2J\\u0000\\u009b\xff\\ud800\"]}",
			wantV2: kuberhealthy.Report{Errors: []string{"\ufffd[2J\ufffd\ufffd\ufffd\ufffd"}},
			wantV3: kuberhealthy.Report{Errors: []string{"\ufffd[2J\ufffd\ufffd\ufffd\ufffd"}},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			for _, version := range []struct {
				api     kuberhealthy.API
				header  http.Header
				want    kuberhealthy.Report
				refusal string
			}{
				{kuberhealthy.V2, nil, tc.wantV2, tc.wantRefusalV2},
				{kuberhealthy.V3, envelope, tc.wantV3, tc.wantRefusalV3},
			} {
				got, err := kuberhealthy.ReadReport(version.api, http.MethodPost, version.header, strings.NewReader(tc.body))
				if version.refusal != "" {
					wantRefusal(t, err, http.StatusBadRequest, version.refusal)
					continue
				}
				if err != nil {
					t.Errorf("%s: %v", version.api, err)
				}
				if diff := cmp.Diff(version.want, got); diff != "" {
					t.Errorf("%s (-want +got):\n%s", version.api, diff)
				}
			}
		})
	}
}

func wantRefusal(t *testing.T, err error, status int, message string) {
	t.Helper()
	refusal, ok := errors.AsType[*kuberhealthy.Refusal](err)
	if !ok {
		t.Fatalf("got %v, want a refusal", err)
	}
	if diff := cmp.Diff(kuberhealthy.Refusal{Status: status, Message: message}, *refusal); diff != "" {
		t.Errorf("refusal (-want +got):\n%s", diff)
	}
}

func TestWhatStandsAroundAReport(t *testing.T) {
	const body = `{"OK":true}`
	without := func(key string) http.Header {
		header := envelope.Clone()
		header.Del(key)
		return header
	}
	tests := map[string]struct {
		api    kuberhealthy.API
		method string
		header http.Header
		status int
		want   string
	}{
		"version 2 asks for nothing": {api: kuberhealthy.V2, method: http.MethodPost},
		"not even a method":          {api: kuberhealthy.V2, method: "BREW"},
		"version 3 wants POST":       {api: kuberhealthy.V3, method: http.MethodPut, header: envelope, status: 405, want: "reports are sent by POST"},
		"and JSON":                   {api: kuberhealthy.V3, method: http.MethodPost, header: without("Content-Type"), status: 415, want: "reports are sent with the header Content-Type: application/json"},
		"of any charset":             {api: kuberhealthy.V3, method: http.MethodPost, header: http.Header{"Content-Type": {"application/json; charset=utf-8"}, "Kh-Run-Uuid": {"x"}}},
		"and the run":                {api: kuberhealthy.V3, method: http.MethodPost, header: without("Kh-Run-Uuid"), status: 400, want: "no run is named: send the value of KH_RUN_UUID in the header kh-run-uuid"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			report, err := kuberhealthy.ReadReport(tc.api, tc.method, tc.header, strings.NewReader(body))
			if tc.status != 0 {
				wantRefusal(t, err, tc.status, tc.want)
			} else if err != nil || !report.OK {
				t.Errorf("got %+v, %v", report, err)
			}
		})
	}
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		for _, api := range []kuberhealthy.API{kuberhealthy.V2, kuberhealthy.V3} {
			if _, err := kuberhealthy.ReadReport(api, method, nil, iotest.ErrReader(io.ErrUnexpectedEOF)); !errors.Is(err, kuberhealthy.ErrNoReport) {
				t.Errorf("%s by %s: %v", api, method, err)
			}
		}
	}
}

// endless is a body without an end, which counts what is read of it.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	e.read += len(p)
	return len(p), nil
}

func TestBodiesWithoutMeasure(t *testing.T) {
	const tooLarge = "the report is larger than 1048576 bytes: send shorter errors"
	body := &endless{}
	_, err := kuberhealthy.ReadReport(kuberhealthy.V2, http.MethodPost, nil, body)
	wantRefusal(t, err, http.StatusRequestEntityTooLarge, tooLarge)
	if body.read > 3*kuberhealthy.MaxReportBytes {
		t.Errorf("%d bytes were read", body.read)
	}
	limited := http.MaxBytesReader(httptest.NewRecorder(), io.NopCloser(&endless{}), 1000)
	_, err = kuberhealthy.ReadReport(kuberhealthy.V2, http.MethodPost, nil, limited)
	wantRefusal(t, err, http.StatusRequestEntityTooLarge, tooLarge)

	_, err = kuberhealthy.ReadReport(kuberhealthy.V2, http.MethodPost, nil, iotest.ErrReader(io.ErrUnexpectedEOF))
	wantRefusal(t, err, http.StatusBadRequest, "the report could not be read to its end")

	largest := `{"OK":true}` + strings.Repeat(" ", kuberhealthy.MaxReportBytes-len(`{"OK":true}`))
	if _, err := kuberhealthy.ReadReport(kuberhealthy.V2, http.MethodPost, nil, strings.NewReader(largest)); err != nil {
		t.Errorf("the largest report: %v", err)
	}
}

func TestWhatIsKeptOfErrors(t *testing.T) {
	long := strings.Repeat("é", 5000)
	body := `{"OK":false,"Errors":["` + long + `"` + strings.Repeat(`,"another"`, 99) + `]}`
	report, err := kuberhealthy.ReadReport(kuberhealthy.V2, http.MethodPost, nil, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	want := slices.Concat(
		[]string{strings.Repeat("é", 1024) + " ... (cut: 10000 bytes in all)"},
		slices.Repeat([]string{"another"}, 62),
		[]string{"and 37 more errors, which were not kept"},
	)
	if diff := cmp.Diff(want, report.Errors); diff != "" {
		t.Errorf("errors (-want +got):\n%s", diff)
	}
}

// FuzzReadReport holds that whatever is sent becomes a report of bounded size that is not at odds with
// itself, or one of the refusals that clients know.
func FuzzReadReport(f *testing.F) {
	for _, seed := range []string{
		`{"OK":true,"Errors":[]}`, `{"ok":false,"errors":["a",""]}`, `null`, "\ufeff{}", `{"OK":true,"Errors":["\ud800\u0000"]}`,
		"{\"OK\":false,\"Errors\":[\"\xff\x1b[0m\"]}", `{"OK":false,"OK":true}`, `[[[[`, `{"Errors":{"a":1}}`,
	} {
		f.Add(true, []byte(seed))
		f.Add(false, []byte(seed))
	}
	f.Fuzz(func(t *testing.T, v3 bool, body []byte) {
		api := kuberhealthy.V2
		if v3 {
			api = kuberhealthy.V3
		}
		report, err := kuberhealthy.ReadReport(api, http.MethodPost, envelope, bytes.NewReader(body))
		if err != nil {
			refusal, ok := errors.AsType[*kuberhealthy.Refusal](err)
			if !ok || refusal.Status != http.StatusBadRequest && refusal.Status != http.StatusRequestEntityTooLarge {
				t.Fatalf("refused by %v", err)
			}
			if refusal.Message == "" || strings.ContainsAny(refusal.Message, "\r\n") {
				t.Fatalf("message %q", refusal.Message)
			}
			return
		}
		if report.OK != (len(report.Errors) == 0) {
			t.Fatalf("%+v is at odds with itself", report)
		}
		if len(report.Errors) > kuberhealthy.MaxErrors {
			t.Fatalf("%d errors", len(report.Errors))
		}
		for _, text := range report.Errors {
			if strings.TrimSpace(text) == "" || len(text) > kuberhealthy.MaxErrorBytes+64 || !utf8.ValidString(text) || strings.ContainsAny(text, "\x00\x1b\r\u009b") {
				t.Fatalf("error %q", text)
			}
		}
	})
}
