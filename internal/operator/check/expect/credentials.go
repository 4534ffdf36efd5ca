package expect

import (
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/maek-dev/maek/internal/operator/check/plan"
	"github.com/maek-dev/maek/internal/probe"
	"github.com/maek-dev/maek/internal/secret"
)

// leastCredential is how long what is hidden must be, in bytes: shorter words are in many sentences, and to blot
// them out would tell what they are.
const leastCredential = 4

// credentials are what a target was shown, in all forms in which it may send them back. Whoever may read a Check's
// status may not read Secrets for that.
type credentials []string

// sentTo are the credentials of a question.
func sentTo(a plan.Answer) credentials {
	ask, ok := a.Probe.(probe.HTTP)
	if !ok || ask.Authorization == "" {
		return nil
	}
	_, token, found := strings.Cut(ask.Authorization, " ")
	if !found {
		token = ask.Authorization
	}
	all := credentials{token}
	if plain, err := base64.StdEncoding.DecodeString(token); err == nil {
		if _, password, isBasic := strings.Cut(string(plain), ":"); isBasic {
			all = append(all, password)
		}
	}
	for _, text := range all {
		quoted := strconv.Quote(text)
		all = append(all, quoted[1:len(quoted)-1])
		if inJSON, err := json.Marshal(text); err == nil {
			all = append(all, string(inJSON[1:len(inJSON)-1]))
		}
	}
	return all
}

// hide blots credentials out of a text.
func (c credentials) hide(text string) string {
	for _, word := range c {
		if len(word) >= leastCredential {
			text = strings.ReplaceAll(text, word, secret.Blot)
		}
	}
	return text
}

// quote quotes the beginning of what a target sent.
func (w *work) quote(text string) string {
	longest := 0
	for _, word := range w.shown {
		longest = max(longest, len(word))
	}
	// What begins among the bytes that are quoted is whole.
	return quote(w.shown.hide(text[:min(len(text), maxHead+longest)]))
}
