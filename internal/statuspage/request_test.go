package statuspage_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// said is an answer.
type said struct {
	status int
	header http.Header
	body   string
}

// get asks with a token, or without one where it is empty.
func get(t *testing.T, address, path, token string) said {
	t.Helper()
	return ask(t, http.MethodGet, address, path, "", map[string]string{"Authorization": authorization(token)})
}

// post sends a body.
func post(t *testing.T, address, path, body string, header map[string]string) said {
	t.Helper()
	return ask(t, http.MethodPost, address, path, body, header)
}

func authorization(token string) string {
	if token == "" {
		return ""
	}
	return "Bearer " + token
}

func ask(t *testing.T, method, address, path, body string, header map[string]string) said {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, "http://"+address+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range header {
		if value != "" {
			request.Header.Set(name, value)
		}
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return said{response.StatusCode, response.Header, string(text)}
}
