package lifecycle

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

func TestWhatFitsIsLeftAsItIs(t *testing.T) {
	d := v1alpha1.IncidentDetails{
		ID: "1", Code: "PodSick", Title: "pod a is sick", Why: "한글", Subject: v1alpha1.Subject{Kind: "Pod", Namespace: "shop", Name: "a"},
		Affected: map[string][]string{"Service": {"shop/api"}}, Chain: []v1alpha1.Link{{Text: "x", Evidence: []v1alpha1.Evidence{{Source: "y"}}}},
		Remedies: v1alpha1.Remedies{Now: []v1alpha1.Remedy{{Text: "z", Command: "kubectl get pods"}}},
	}
	if diff := cmp.Diff(d, Bound(d)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func FuzzBound(f *testing.F) {
	f.Add("plain", 3)
	f.Add("\xff\xfe not UTF-8 \x00", 10_000)
	f.Add(strings.Repeat("한글 \"<&>\" ", 5000), 2000)
	f.Fuzz(func(t *testing.T, text string, n int) {
		n = max(0, min(n, 2000))
		e := []v1alpha1.Evidence{}
		d := v1alpha1.IncidentDetails{
			Code: "PodSick", Title: text, Why: text, Field: text, Subject: v1alpha1.Subject{Kind: text, Namespace: text, Name: text, Machine: text}, Affected: map[string][]string{},
		}
		for i := range n {
			e = append(e, v1alpha1.Evidence{Source: text, Path: text, Value: text})
			d.Affected["Pod"] = append(d.Affected["Pod"], fmt.Sprint(text, i))
			d.Affected[strconv.Itoa(i)] = []string{text}
		}
		for range n {
			d.Chain = append(d.Chain, v1alpha1.Link{Text: text, Evidence: e, Subject: d.Subject})
			d.RuledOut = append(d.RuledOut, v1alpha1.Statement{Text: text, Evidence: e})
			d.Remedies.Now = append(d.Remedies.Now, v1alpha1.Remedy{Text: text, Command: text, Machine: text})
		}
		d.Evidence = e
		out := Bound(d)
		data, err := json.Marshal(out)
		if err != nil || len(data) > MaxBytes {
			t.Errorf("%d bytes, %v", len(data), err)
		}
		s := out.Subject
		if !utf8.ValidString(out.Title+out.Why+s.Name) || utf8.RuneCountInString(s.Kind) > 63 || utf8.RuneCountInString(s.Namespace) > 63 || utf8.RuneCountInString(s.Name) > 512 {
			t.Errorf("title %q, subject %+v", out.Title, s)
		}
		if len(d.Title) != len(text) || len(d.Chain) != n || n > 0 && d.Chain[0].Text != text {
			t.Error("what was given changed")
		}
	})
}
