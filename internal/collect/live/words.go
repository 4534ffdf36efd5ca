package live

import (
	"errors"
	"net/url"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/internal/secret"
)

// maxWords bounds a quoted message, in bytes: a proxy may answer with a whole page.
const maxWords = 300

// words are what whoever failed said: without the address that client-go puts before it, which may
// carry a continue token of a hundred characters, on one line, and redacted: a webhook, a proxy or an
// identity provider may quote what it was sent.
func words(err error) string {
	text := err.Error()
	if status, ok := errors.AsType[*apierrors.StatusError](err); ok {
		text = status.ErrStatus.Message
		if said := bodyOf(status); said != "" {
			text = said
		}
	} else if failed, ok := errors.AsType[*url.Error](err); ok {
		text = failed.Err.Error()
	}
	return oneLine(text)
}

// bodyOf is the answer behind an error for which client-go found its own words, because the body was
// no Status; empty where there is none.
func bodyOf(status *apierrors.StatusError) string {
	if status.ErrStatus.Details == nil {
		return ""
	}
	for _, cause := range status.ErrStatus.Details.Causes {
		if cause.Type == metav1.CauseTypeUnexpectedServerResponse && cause.Message != "unknown" {
			return cause.Message
		}
	}
	return ""
}

func oneLine(text string) string {
	text = secret.Redact(strings.Join(strings.Fields(strings.ToValidUTF8(text, "\uFFFD")), " "))
	if len(text) > maxWords {
		text = strings.ToValidUTF8(text[:maxWords], "") + " …"
	}
	return text
}
