package expect

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/probe"
)

// judgeStatus judges the status of an answer that is whole.
func judgeStatus(spec *v1alpha1.CheckSpec, o probe.Outcome, verdict probe.Verdict) *finding {
	status := o.HTTP.Status
	if spec.Expect != nil && len(spec.Expect.StatusCodes) > 0 {
		if slices.ContainsFunc(spec.Expect.StatusCodes, func(r v1alpha1.HTTPStatusRange) bool { return covers(r, status) }) {
			return nil
		}
		return bad(v1alpha1.ReasonUnexpectedStatus, "HTTP %s, expected %s", statusText(status), ranges(spec.Expect.StatusCodes))
	}
	switch {
	case verdict.Passed():
		return nil
	case o.Difference == probe.RedirectedAway:
		return bad(v1alpha1.ReasonRedirectedAway, "HTTP %s: %s", statusText(status), verdict.Message)
	default:
		return bad(v1alpha1.ReasonUnexpectedStatus, "HTTP %s, expected 200-399", statusText(status))
	}
}

func statusText(status int) string {
	if text := http.StatusText(status); text != "" {
		return fmt.Sprintf("%d %s", status, text)
	}
	return strconv.Itoa(status)
}

func covers(r v1alpha1.HTTPStatusRange, status int) bool {
	from, to, isRange := strings.Cut(string(r), "-")
	if !isRange {
		to = from
	}
	low, err := strconv.Atoi(from)
	if err != nil {
		return false
	}
	high, err := strconv.Atoi(to)
	return err == nil && low <= status && status <= high
}

func ranges(all []v1alpha1.HTTPStatusRange) string {
	var texts []string
	for _, r := range all {
		texts = append(texts, string(r))
	}
	return strings.Join(texts, ", ")
}

// judgeHTTP judges what an answer says beside its status, and tells nobody what was shown to who gave it.
func judgeHTTP(expected *v1alpha1.CheckExpectation, answer *probe.HTTPAnswer, shown credentials) *finding {
	if answer == nil {
		return nil
	}
	w := work{left: maxSteps, shown: shown, large: large}
	for _, want := range expected.Headers {
		if f := w.judgeHeader(want, answer.Header); f != nil {
			return f
		}
	}
	if expected.Matches != "" {
		body := answer.Body[:min(len(answer.Body), probe.KubeletBodyLimit)]
		if f := w.judgeText(expected.Matches, body, v1alpha1.ReasonUnexpectedBody, "the body"); f != nil {
			return f
		}
	}
	if len(expected.JSON) > 0 {
		return w.judgeJSON(expected.JSON, answer)
	}
	return nil
}

func (w *work) judgeHeader(want v1alpha1.HeaderExpectation, header http.Header) *finding {
	values := header.Values(want.Name)
	if len(values) == 0 {
		return bad(v1alpha1.ReasonUnexpectedHeader, "the answer has no header %s", want.Name)
	}
	switch {
	case want.Equals != nil:
		if slices.Contains(values, *want.Equals) {
			return nil
		}
		return bad(v1alpha1.ReasonUnexpectedHeader, "the header %s is %s, expected %s", want.Name, w.quoteAll(values), quote(*want.Equals))
	case want.Matches != "":
		for _, value := range values {
			if found, f := w.matches(want.Matches, value[:min(len(value), probe.KubeletBodyLimit)]); found || f != nil {
				return f
			}
		}
		return bad(v1alpha1.ReasonUnexpectedHeader, "the header %s is %s, expected something that matches %s", want.Name, w.quoteAll(values), quote(want.Matches))
	default:
		return nil
	}
}

// quoteAll quotes the first of several values, and counts the others.
func (w *work) quoteAll(values []string) string {
	if len(values) == 1 {
		return w.quote(values[0])
	}
	return fmt.Sprintf("%s and %d more", w.quote(values[0]), len(values)-1)
}

// judgeText looks for a pattern in a text.
func (w *work) judgeText(want, text, reason, what string) *finding {
	if found, f := w.matches(want, text); found || f != nil {
		return f
	}
	if text == "" {
		return bad(reason, "%s is empty, expected something that matches %s", what, quote(want))
	}
	return bad(reason, "%s does not match %s; it begins with %s", what, quote(want), w.quote(text))
}

// judgeOutput looks for the pattern in what a command printed.
func judgeOutput(spec *v1alpha1.CheckSpec, expected *v1alpha1.CheckExpectation, verdict probe.Verdict) *finding {
	if spec.Exec == nil || expected.Matches == "" {
		return nil
	}
	w := work{left: maxSteps}
	return w.judgeText(expected.Matches, verdict.Message, v1alpha1.ReasonUnexpectedOutput, "the output")
}
