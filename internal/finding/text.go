package finding

import (
	"fmt"
	"slices"
	"strings"
)

// Language is a language in which Maek speaks to people, as a BCP 47 primary tag.
type Language string

// The languages.
const (
	English Language = "en"
	Korean  Language = "ko"
)

// Text is a sentence for people, in every language that Maek speaks.
type Text struct {
	EN string
	KO string
}

// Textf formats both languages with the same arguments. Where Korean wants them in another order,
// its format says so with explicit indexes ("%[2]s").
func Textf(en, ko string, args ...any) Text {
	return Text{EN: fmt.Sprintf(en, args...), KO: agree(fmt.Sprintf(ko, args...))}
}

// Format formats both languages with arguments that differ between them.
func Format(en, ko string, args ...Text) Text {
	inEnglish, inKorean := make([]any, len(args)), make([]any, len(args))
	for i, a := range args {
		inEnglish[i], inKorean[i] = a.EN, a.KO
	}
	return Text{EN: fmt.Sprintf(en, inEnglish...), KO: agree(fmt.Sprintf(ko, inKorean...))}
}

// Verbatim is text that is the same in every language: a message of Kubernetes' own, a name.
func Verbatim(s string) Text { return Text{EN: s, KO: s} }

// In returns the text in a language; English where the language is unknown.
func (t Text) In(l Language) string {
	if l == Korean && t.KO != "" {
		return t.KO
	}
	return t.EN
}

// IsZero tells whether the text is empty.
func (t Text) IsZero() bool { return t == Text{} }

// Join puts texts one after another with a separator, leaving out empty ones.
func Join(sep string, texts ...Text) Text {
	var out Text
	for _, t := range texts {
		if t.IsZero() {
			continue
		}
		if !out.IsZero() {
			out.EN += sep
			out.KO += sep
		}
		out.EN += t.EN
		out.KO += t.KO
	}
	return out
}

// namesTold is how many names one sentence lists; the others are counted.
const namesTold = 4

// List lists names, sorted and each once.
func List(names []string) Text {
	names = slices.Clone(names)
	slices.Sort(names)
	names = slices.Compact(names)
	if len(names) <= namesTold {
		return Verbatim(strings.Join(names, ", "))
	}
	return Textf("%s and %d more", "%s 외 %d개", strings.Join(names[:namesTold], ", "), len(names)-namesTold)
}

// Pods counts pods.
func Pods(n int) Text {
	if n == 1 {
		return Text{EN: "1 pod", KO: "Pod 1개"}
	}
	return Textf("%d pods", "Pod %d개", n)
}
