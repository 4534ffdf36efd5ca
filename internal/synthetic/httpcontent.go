package synthetic

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/maek-dev/maek/internal/secret"
)

var httpContentOptions = []Option{
	{Name: "TARGET_URL", Doc: "Address of the page, http or https."},
	{Name: "TARGET_STRING", Doc: "Text that its body has to hold."},
	{Name: "TIMEOUT_DURATION", Default: "30s", Doc: "The longest that the request may take, its body included."},
}

var _ = All.Add(Scenario{
	Name:    "http-content",
	Doc:     "Fetches a page and looks for a text in it. A failure means that the address does not serve, or serves something else.",
	Images:  []string{"http-content-check"},
	Options: httpContentOptions,
	Time:    2 * time.Minute,
	Run:     runHTTPContent,
})

// mostContent is how much of a page is looked through.
const mostContent = 64 << 20

func runHTTPContent(ctx context.Context, env Environment) (Result, error) {
	o := env.read(httpContentOptions)
	address := o.address("TARGET_URL")
	o.needed("TARGET_STRING", "the text to look for")
	// Space at the ends belongs to it.
	wanted := env.Getenv("TARGET_STRING")
	timeout := o.duration("TIMEOUT_DURATION", time.Millisecond)
	if err := o.err(); err != nil {
		return Result{}, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), http.NoBody)
	if err != nil {
		return Result{}, fmt.Errorf("making a request: %w", reason(err))
	}
	request.Header.Set("User-Agent", userAgent)
	response, err := newHTTPClient(timeout, false).Do(request)
	if err != nil {
		return Result{Errors: []string{fmt.Sprintf("unable to fetch %s: %v", show(address), reason(err))}}, nil
	}
	defer response.Body.Close()
	found, size, err := contains(io.LimitReader(response.Body, mostContent), []byte(wanted))
	switch {
	case err != nil:
		return Result{Errors: []string{fmt.Sprintf("reading %s failed after %d bytes: %v", show(address), size, reason(err))}}, nil
	case !found:
		return Result{Errors: []string{fmt.Sprintf("could not find string in content: %q is not in the %d bytes of %s, which was answered with %d %s",
			shortened(secret.Redact(wanted), 100), size, show(address), response.StatusCode, http.StatusText(response.StatusCode))}}, nil
	case response.StatusCode >= http.StatusBadRequest:
		return Result{Notes: []string{fmt.Sprintf("the text was found in an answer with the status %d %s", response.StatusCode, http.StatusText(response.StatusCode))}}, nil
	}
	return Result{}, nil
}

// contains looks for a text in a stream, and says how far it read, without holding all of it.
func contains(stream io.Reader, wanted []byte) (found bool, size int64, err error) {
	const chunk = 64 << 10
	window := make([]byte, 0, chunk+len(wanted))
	for {
		n, err := stream.Read(window[len(window):cap(window)])
		size += int64(n)
		window = window[:len(window)+n]
		switch {
		case bytes.Contains(window, wanted):
			return true, size, nil
		case errors.Is(err, io.EOF):
			return false, size, nil
		case err != nil:
			return false, size, err
		}
		// The end may be the beginning of what is looked for.
		if keep := len(wanted) - 1; len(window) > keep && cap(window)-len(window) < chunk/2 {
			window = window[:copy(window, window[len(window)-keep:])]
		}
	}
}
