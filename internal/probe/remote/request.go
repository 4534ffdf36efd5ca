package remote

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// Version of the documents. One that does not know it refuses a request.
const Version = "maek.dev/probe/v1"

// Bounds of a request.
const (
	// MaxProbes in one request.
	MaxProbes = 64
	// MaxTimeout of one attempt.
	MaxTimeout = 30 * time.Second
	// MaxBody is how much may be asked for of an HTTP answer's body, in bytes.
	MaxBody = 1 << 20
	// MaxRequest is the length of a request, in bytes: authorities in PEM are most of it.
	MaxRequest = 512 << 10
	// maxAddresses of one probe.
	maxAddresses = 16
)

// Request asks for probes to be made.
type Request struct {
	// APIVersion is Version.
	APIVersion string `json:"apiVersion"`
	// TimeoutMilliseconds of each attempt, above zero.
	TimeoutMilliseconds int64 `json:"timeoutMilliseconds"`
	// Probes to make.
	Probes Probes `json:"probes"`
}

// NewRequest makes a request. Timeouts are brought into their bounds: to a millisecond at least, and to
// MaxTimeout.
func NewRequest(probes []Probe, timeout time.Duration) Request {
	timeout = min(max(timeout, time.Millisecond), MaxTimeout)
	return Request{APIVersion: Version, TimeoutMilliseconds: timeout.Milliseconds(), Probes: probes}
}

// Timeout of each attempt.
func (r Request) Timeout() time.Duration {
	return time.Duration(r.TimeoutMilliseconds) * time.Millisecond
}

// Probes are at most MaxProbes.
type Probes []Probe

// UnmarshalJSON implements json.Unmarshaler. It stops at the first probe too many, before there is memory for it.
func (p *Probes) UnmarshalJSON(data []byte) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if open, err := d.Token(); err != nil || open != json.Delim('[') {
		return errors.New("probes is no list")
	}
	var out Probes
	for d.More() {
		if len(out) == MaxProbes {
			return fmt.Errorf("there are more than %d probes", MaxProbes)
		}
		var one Probe
		if err := d.Decode(&one); err != nil {
			return fmt.Errorf("probe %d: %w", len(out), err)
		}
		out = append(out, one)
	}
	*p = out
	return nil
}

// DecodeRequest reads a request, strictly: what this program does not know is refused, for it would be left
// out of what is asked. The reader must be bounded. The probes themselves are looked at when each is made.
func DecodeRequest(r io.Reader) (Request, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return Request{}, fmt.Errorf("reading the request: %w", err)
	}
	var version struct {
		APIVersion string `json:"apiVersion"`
	}
	if err := json.Unmarshal(data, &version); err != nil {
		return Request{}, fmt.Errorf("reading the request: %w", err)
	}
	if version.APIVersion != Version {
		return Request{}, fmt.Errorf("the request speaks %.40q, and this program %q", version.APIVersion, Version)
	}
	var out Request
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&out); err != nil {
		return Request{}, fmt.Errorf("reading the request: %w", err)
	}
	switch {
	case len(out.Probes) == 0:
		return Request{}, errors.New("the request asks for no probe")
	case out.TimeoutMilliseconds <= 0 || out.TimeoutMilliseconds > MaxTimeout.Milliseconds():
		return Request{}, fmt.Errorf("timeoutMilliseconds is %d, and must be from 1 to %d", out.TimeoutMilliseconds, MaxTimeout.Milliseconds())
	}
	return out, nil
}
