package expect

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/client-go/util/jsonpath"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/probe"
)

const (
	// maxDescents and maxCommas bound what a path can multiply: each step that goes down everywhere visits
	// every value below each that it was given, and each part of a union doubles what came before it.
	maxDescents = 1
	maxCommas   = 2
	// maxNesting is how deep a body may be nested: what goes down everywhere visits a value once for each
	// level above it.
	maxNesting = 100
	// maxValues is how many values a body may have: each that a path visits costs a microsecond.
	maxValues = 100_000
	// largeAtOnce is how many bodies larger than a kubelet's are judged at a time: what is made of one takes many times
	// the memory of its text.
	largeAtOnce = 4
)

// large has a value for each large body that is being judged.
var large = make(chan struct{}, largeAtOnce)

func (w *work) judgeJSON(expected []v1alpha1.JSONExpectation, answer *probe.HTTPAnswer) *finding {
	if answer.Cut {
		return bad(v1alpha1.ReasonUnexpectedJSON, "the body is longer than %d KiB, so that its JSON was not read to the end", len(answer.Body)>>10)
	}
	switch depth, values := extent(answer.Body); {
	case depth > maxNesting:
		return bad(v1alpha1.ReasonUnexpectedJSON, "the body is nested more than %d deep", maxNesting)
	case values > maxValues:
		return bad(v1alpha1.ReasonUnexpectedJSON, "the body has more than %d values", maxValues)
	}
	if len(answer.Body) > probe.KubeletBodyLimit {
		w.large <- struct{}{}
		defer func() { <-w.large }()
	}
	var body any
	if err := utiljson.Unmarshal([]byte(answer.Body), &body); err != nil {
		return bad(v1alpha1.ReasonUnexpectedJSON, "the body is not JSON; it begins with %s", w.quote(answer.Body))
	}
	for _, want := range expected {
		if f := w.judgeValue(want, body); f != nil {
			return f
		}
	}
	return nil
}

// extent is how deep a text of JSON is nested, and about how many values it has: brackets, and the commas
// between them.
func extent(text string) (depth, values int) {
	now, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{', c == '[':
			now++
			values++
			depth = max(depth, now)
		case c == '}', c == ']':
			now--
		case c == ',':
			values++
		}
	}
	return depth, values
}

func (w *work) judgeValue(want v1alpha1.JSONExpectation, body any) *finding {
	values, f := at(want.Path, body)
	if f != nil {
		return f
	}
	if len(values) == 0 {
		return bad(v1alpha1.ReasonUnexpectedJSON, "the body has nothing at %s", want.Path)
	}
	for _, value := range values {
		if f := w.judgeOne(want, value); f != nil {
			return f
		}
	}
	return nil
}

// judgeOne judges one value: where a path finds several, each must be as expected.
func (w *work) judgeOne(want v1alpha1.JSONExpectation, value any) *finding {
	if want.Equals == nil && want.Matches == "" {
		return nil
	}
	text := written(value)
	if f := w.spend(len(text)); f != nil {
		return f
	}
	switch {
	case want.Equals != nil:
		if equals(*want.Equals, value, text) {
			return nil
		}
		return bad(v1alpha1.ReasonUnexpectedJSON, "%s is %s, expected %s", want.Path, w.quote(text), quote(*want.Equals))
	default:
		if found, f := w.matches(want.Matches, text[:min(len(text), probe.KubeletBodyLimit)]); found || f != nil {
			return f
		}
		return bad(v1alpha1.ReasonUnexpectedJSON, "%s is %s, expected something that matches %s", want.Path, w.quote(text), quote(want.Matches))
	}
}

// equals compares a text as it is, and anything else by what it means: 3 and 3.0 are one number.
func equals(want string, value any, text string) bool {
	if _, isText := value.(string); isText || text == want {
		return text == want
	}
	var parsed any
	if err := utiljson.Unmarshal([]byte(want), &parsed); err != nil {
		return false
	}
	return same(value, parsed)
}

// same compares two values of JSON.
func same(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		return ok && maps.EqualFunc(a, b, same)
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, same)
	case int64:
		if b, ok := b.(float64); ok {
			return float64(a) == b
		}
	case float64:
		if b, ok := b.(int64); ok {
			return a == float64(b)
		}
	}
	return a == b
}

// written is a value as an expectation writes it.
func written(value any) string {
	if text, ok := value.(string); ok {
		return text
	}
	data, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprint(value)
	}
	return string(data)
}

// at returns what a path finds; nothing where there is nothing.
func at(path string, body any) ([]any, *finding) {
	expression, err := template(path)
	if err != nil {
		return nil, invalid(fmt.Sprintf("the path %s cannot be used: %v", quote(path), err))
	}
	finder := jsonpath.New("").AllowMissingKeys(true)
	if err := finder.Parse(expression); err != nil {
		return nil, invalid(fmt.Sprintf("the path %s cannot be used: %v", quote(path), err))
	}
	found, err := finder.FindResults(body)
	if err != nil {
		// An index beyond the end, or a path into what has no parts: it is not there.
		return nil, nil
	}
	var values []any
	for _, results := range found {
		for _, result := range results {
			switch {
			case !result.IsValid():
				values = append(values, nil)
			case result.CanInterface():
				values = append(values, result.Interface())
			}
		}
	}
	return values, nil
}

// template puts a path into the braces of kubectl's JSONPath, with the leading dot that people leave out.
func template(path string) (string, error) {
	path = strings.TrimSpace(path)
	if inner, found := strings.CutPrefix(path, "{"); found {
		path = strings.TrimSuffix(inner, "}")
	}
	switch {
	case strings.ContainsAny(path, "{}"):
		return "", errors.New("write one path, without braces")
	case strings.Count(path, "..") > maxDescents:
		return "", errors.New("write '..' once at most")
	case strings.Count(path, ",") > maxCommas:
		return "", fmt.Errorf("write %d commas at most", maxCommas)
	}
	if path != "" && !strings.ContainsRune(".[$@", rune(path[0])) {
		path = "." + path
	}
	return "{" + path + "}", nil
}
