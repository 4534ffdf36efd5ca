package remote

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/maek-dev/maek/internal/probe"
)

func parse(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// authority is a certificate in PEM and a pool of it.
func authority(t *testing.T) ([]byte, *x509.CertPool) {
	t.Helper()
	s := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(s.Close)
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), pool
}

func TestATargetComesBackAsItWas(t *testing.T) {
	roots, pool := authority(t)
	at := Settings{Addresses: []string{"10.0.0.1:8080", "[fd00::1]:8080", "10.0.0.2"}}
	trusting := at
	trusting.Roots = roots
	for name, tc := range map[string]struct {
		target   probe.Target
		settings Settings
	}{
		"http": {probe.HTTP{
			URL: parse(t, "https://front.shop.svc:8080/a%2Fb?q=%20&q"), Host: "other.example", BodyLimit: MaxBody, Authorization: "Bearer x", Certificates: true,
			Header: http.Header{"X-a": {"1", "2"}, "Accept": nil},
		}, at},
		"a kubelet's http":     {probe.HTTP{URL: parse(t, "http://[fd00::1]:8080"), Header: http.Header{"User-Agent": {"kube-probe/1.36"}}}, at},
		"tcp":                  {probe.TCP{Address: "front.shop.svc:8080"}, at},
		"grpc":                 {probe.GRPC{Address: "10.0.0.1:8080", Service: "s", UserAgent: "u"}, at},
		"dns":                  {probe.DNS{Server: "10.96.0.10:53", Name: "kubernetes.default.svc.cluster.local", Type: "AAAA", Want: []string{"10.96.0.1", "\"a b\""}, OverTCP: true}, at},
		"tls":                  {probe.TLS{Address: "10.0.0.1:443", ServerName: "a.example", WarnBefore: time.Hour}, at},
		"tls and its own pool": {probe.TLS{Address: "10.0.0.1:443", Roots: pool}, trusting},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := FromTarget(tc.target, tc.settings)
			if err != nil {
				t.Fatal(err)
			}
			var sent bytes.Buffer
			if err := json.NewEncoder(&sent).Encode(NewRequest([]Probe{p}, time.Second)); err != nil {
				t.Fatal(err)
			}
			r, err := DecodeRequest(&sent)
			if err != nil {
				t.Fatal(err)
			}
			back, err := r.Probes[0].Target()
			if err != nil {
				t.Fatal(err)
			}
			samePool := cmp.Comparer(func(a, b *x509.CertPool) bool { return a.Equal(b) })
			if diff := cmp.Diff(tc.target, back, samePool); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.settings.Addresses, r.Probes[0].Addresses); diff != "" {
				t.Errorf("addresses (-want +got):\n%s", diff)
			}
		})
	}
}

// TestNoFieldOfATargetIsForgotten holds that a field which a target gets is thought of here.
func TestNoFieldOfATargetIsForgotten(t *testing.T) {
	for _, tc := range []struct {
		of   reflect.Type
		want string
	}{
		{reflect.TypeFor[probe.HTTP](), "URL Header Host BodyLimit Authorization Certificates"},
		{reflect.TypeFor[probe.TCP](), "Address"},
		{reflect.TypeFor[probe.GRPC](), "Address Service UserAgent"},
		{reflect.TypeFor[probe.DNS](), "Server Name Type Want OverTCP"},
		{reflect.TypeFor[probe.TLS](), "Address ServerName Roots WarnBefore"},
		{reflect.TypeFor[probe.Options](), "Now Dial TLS Run"},
	} {
		var got []string
		for f := range tc.of.Fields() {
			got = append(got, f.Name)
		}
		if diff := cmp.Diff(tc.want, strings.Join(got, " ")); diff != "" {
			t.Errorf("fields of %s (-want +got):\n%s", tc.of, diff)
		}
	}
}

func TestHowHTTPSIsMetComesBackAsItWas(t *testing.T) {
	roots, pool := authority(t)
	target := probe.HTTP{URL: &url.URL{Scheme: "https", Host: "10.0.0.1:8443"}}
	for name, tc := range map[string]struct {
		tls   *tls.Config
		roots []byte
		// wantErr is why it cannot be carried.
		wantErr     error
		wantMachine bool
	}{
		"the kubelet's way":          {},
		"the machine's authorities":  {tls: &tls.Config{ServerName: "a.example"}, wantMachine: true},
		"authorities of its own":     {tls: &tls.Config{ServerName: "a.example", RootCAs: pool, MinVersion: tls.VersionTLS13}, roots: roots},
		"everybody":                  {tls: &tls.Config{InsecureSkipVerify: true}},
		"authorities nobody told of": {tls: &tls.Config{RootCAs: pool}, wantErr: ErrUnknownRoots},
		"a client certificate":       {tls: &tls.Config{Certificates: []tls.Certificate{{}}}, wantErr: ErrClientCertificate},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := FromTarget(target, Settings{Addresses: []string{"10.0.0.1"}, TLS: tc.tls, Roots: tc.roots})
			if !errors.Is(err, tc.wantErr) {
				t.Fatalf("error %v, want %v", err, tc.wantErr)
			}
			if err != nil {
				return
			}
			got, err := p.Options()
			if err != nil {
				t.Fatal(err)
			}
			if (got == nil) != (tc.tls == nil) || p.SystemRoots() != tc.wantMachine {
				t.Fatalf("settings %v, the machine's authorities %v", got, p.SystemRoots())
			}
			if got != nil && (got.ServerName != tc.tls.ServerName || got.InsecureSkipVerify != tc.tls.InsecureSkipVerify || got.MinVersion != tc.tls.MinVersion || !got.RootCAs.Equal(tc.tls.RootCAs)) {
				t.Errorf("settings %+v, want %+v", got, tc.tls)
			}
		})
	}
}

func TestWhatCannotBeCarried(t *testing.T) {
	at := []string{"10.0.0.1:80"}
	for name, tc := range map[string]struct {
		target    probe.Target
		addresses []string
		want      string
	}{
		"a command":             {probe.Exec{Command: []string{"true"}}, at, "commands are run in containers"},
		"nothing":               {probe.Impossible{Err: errors.New("no port")}, at, "nobody else knows"},
		"no address":            {probe.TCP{Address: "a.example:80"}, nil, "it is not known at which addresses"},
		"a name for address":    {probe.TCP{Address: "a.example:80"}, []string{"a.example:80"}, "neither IP:PORT nor an IP"},
		"port 0":                {probe.TCP{Address: "10.0.0.1:80"}, []string{"10.0.0.1:0"}, "neither IP:PORT nor an IP"},
		"no port":               {probe.TCP{Address: "10.0.0.1"}, at, "no HOST:PORT"},
		"another scheme":        {probe.HTTP{URL: &url.URL{Scheme: "file", Path: "/etc/shadow"}}, at, "scheme"},
		"no URL":                {probe.HTTP{}, at, "no URL"},
		"an endless body":       {probe.HTTP{URL: &url.URL{Scheme: "http", Host: "10.0.0.1"}, BodyLimit: MaxBody + 1}, at, "bodyLimit"},
		"bytes that are none":   {probe.GRPC{Address: "10.0.0.1:80", Service: "\xff"}, at, "no UTF-8"},
		"a header of such":      {probe.HTTP{URL: &url.URL{Scheme: "http", Host: "10.0.0.1"}, Header: http.Header{"X": {"\xff"}}}, at, "no UTF-8"},
		"a warning in the past": {probe.TLS{Address: "10.0.0.1:443", WarnBefore: -1}, at, "below zero"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := FromTarget(tc.target, Settings{Addresses: tc.addresses}); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want %q", err, tc.want)
			}
		})
	}
}

// fill puts something into every field below v.
func fill(v reflect.Value, n *int) {
	*n++
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Unix(int64(*n), 5).UTC()))
			return
		}
		if v.Type() == reflect.TypeFor[url.URL]() {
			v.Set(reflect.ValueOf(url.URL{Scheme: "http", Host: "a.example", Path: "/x"}))
			return
		}
		for _, f := range v.Fields() {
			if f.Kind() != reflect.Interface {
				fill(f, n)
			}
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			fill(v.Index(i), n)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		one := reflect.New(v.Type().Elem()).Elem()
		fill(one, n)
		v.SetMapIndex(reflect.ValueOf("X-Name"), one)
	case reflect.String:
		v.SetString("\x00 \"text\" " + strings.Repeat("x", *n))
		if v.Type() == reflect.TypeFor[probe.Result]() {
			v.SetString(string(probe.Warning))
		}
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(*n))
	default:
	}
}

// TestAnOutcomeComesBackAsItWas fills every field that an outcome has, or gets.
func TestAnOutcomeComesBackAsItWas(t *testing.T) {
	var full probe.Outcome
	n := 0
	fill(reflect.ValueOf(&full).Elem(), &n)
	full.HTTP.Body, full.Strict.Message = "\xff\xfe\x00 no text", "\xff"
	full.HTTP.Header["X-Bytes"] = []string{"\xe9", ""}
	if n < 40 {
		t.Fatalf("filled %d fields", n)
	}
	for name, want := range map[string]probe.Outcome{
		"full": full, "bare": {Kubelet: probe.Verdict{Result: probe.Success}, Strict: probe.Verdict{Result: probe.Failure}},
		"an empty body": {Kubelet: probe.Verdict{Result: probe.Success}, Strict: probe.Verdict{Result: probe.Success}, HTTP: &probe.HTTPAnswer{Status: 204}},
	} {
		t.Run(name, func(t *testing.T) {
			data, err := json.Marshal(Answer{Index: 0, Outcome: new(FromOutcome(want))})
			if err != nil {
				t.Fatal(err)
			}
			head, err := json.Marshal(Head{APIVersion: Version, Node: "w1"})
			if err != nil {
				t.Fatal(err)
			}
			var got []probe.Outcome
			err = ReadAnswers(strings.NewReader(string(head)+"\n"+string(data)+"\n"), "w1", 1, func(a Answer) bool {
				o, err := a.Outcome.Outcome()
				if err != nil {
					t.Error(err)
				}
				got = append(got, o)
				return true
			})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]probe.Outcome{want}, got, cmpopts.IgnoreFields(probe.Outcome{}, "Err")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestRequestsThatAreRefused(t *testing.T) {
	one := `{"addresses":["10.0.0.1:80"],"tcp":{"address":"10.0.0.1:80"}}`
	whole := func(probes string) string {
		return `{"apiVersion":"` + Version + `","timeoutMilliseconds":1000,"probes":` + probes + `}`
	}
	if r, err := DecodeRequest(strings.NewReader(whole("[" + one + "]"))); err != nil || len(r.Probes) != 1 || r.Timeout() != time.Second {
		t.Fatalf("%+v, %v", r, err)
	}
	for name, tc := range map[string]struct{ text, want string }{
		"nothing":                  {"", "unexpected end"},
		"no JSON":                  {"<html>", "invalid character"},
		"two documents":            {whole("["+one+"]") + "{}", "after top-level value"},
		"another version":          {strings.Replace(whole("[]"), Version, "maek.dev/probe/v9", 1), `speaks "maek.dev/probe/v9"`},
		"a field of tomorrow":      {strings.Replace(whole("["+one+"]"), `"probes"`, `"exec":true,"probes"`, 1), "unknown field"},
		"a probe of tomorrow":      {whole(`[{"addresses":["10.0.0.1:80"],"exec":{}}]`), "unknown field"},
		"no probe":                 {whole("[]"), "asks for no probe"},
		"null":                     {whole("null"), "no list"},
		"65 probes":                {whole("[" + strings.Repeat(one+",", 64) + one + "]"), "more than 64"},
		"a million empty probes":   {whole("[" + strings.Repeat("{},", 1_000_000) + "{}]"), "more than 64"},
		"depth":                    {whole(strings.Repeat("[", 9000) + strings.Repeat("]", 9000)), "cannot unmarshal array"},
		"no depth that JSON has":   {strings.Repeat("[", 100_000), "exceeded max depth"},
		"no time":                  {strings.Replace(whole("["+one+"]"), "1000", "0", 1), "timeoutMilliseconds is 0"},
		"more time than there is":  {strings.Replace(whole("["+one+"]"), "1000", "30001", 1), "timeoutMilliseconds is 30001"},
		"a time beyond all bounds": {strings.Replace(whole("["+one+"]"), "1000", "9223372036854775808", 1), "cannot unmarshal"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := DecodeRequest(strings.NewReader(tc.text)); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want %q", err, tc.want)
			}
		})
	}
}

func TestAnswersThatAreNone(t *testing.T) {
	head := `{"apiVersion":"` + Version + `","node":"w1"}` + "\n"
	no := `{"index":0,"unasked":"no"}` + "\n"
	for name, tc := range map[string]struct{ text, want string }{
		"nothing":               {"", "unexpected EOF"},
		"no JSON":               {"<html>\n", "invalid character"},
		"another version":       {`{"apiVersion":"maek.dev/probe/v9","node":"w1"}` + "\n", "its agent speaks"},
		"another node":          {`{"apiVersion":"` + Version + `","node":"w2"}` + "\n", `answers as node "w2"`},
		"an end in the middle":  {head + no, "unexpected EOF"},
		"one answer twice":      {head + no + no, "answered twice"},
		"one too many":          {head + `{"index":2,"unasked":"no"}` + "\n", "none that was asked for"},
		"one below all":         {head + `{"index":-1,"unasked":"no"}` + "\n", "none that was asked for"},
		"one that says nothing": {head + `{"index":0}` + "\n", "none that was asked for"},
		"a line without end":    {head + strings.Repeat("x", maxLine+1), "token too long"},
	} {
		t.Run(name, func(t *testing.T) {
			err := ReadAnswers(strings.NewReader(tc.text), "w1", 2, func(Answer) bool { return true })
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want %q", err, tc.want)
			}
		})
	}
	for name, o := range map[string]Outcome{
		"a result that is none": {Kubelet: Verdict{Result: "fine"}, Strict: Verdict{Result: probe.Success}},
		"less than no time":     {Kubelet: Verdict{Result: probe.Success}, Strict: Verdict{Result: probe.Success}, Latency: -1},
		"a URL that is none":    {Kubelet: Verdict{Result: probe.Success}, Strict: Verdict{Result: probe.Success}, HTTP: &HTTPAnswer{URL: "http://[::1"}},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := o.Outcome(); err == nil {
				t.Error("it was taken")
			}
		})
	}
}

func FuzzDecodeRequest(f *testing.F) {
	f.Add([]byte(`{"apiVersion":"maek.dev/probe/v1","timeoutMilliseconds":1,"probes":[{"addresses":["::1"],"http":{"url":"http://[::1]/","security":{"roots":"eA=="}}}]}`))
	f.Add([]byte(`{"apiVersion":"maek.dev/probe/v1","timeoutMilliseconds":1,"probes":[{"addresses":["10.0.0.1:1"],"dns":{"server":"a:1","name":"x"}},{"addresses":["10.0.0.1"],"tls":{"address":"a:1"}}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := DecodeRequest(bytes.NewReader(data))
		if err != nil {
			return
		}
		if len(r.Probes) == 0 || len(r.Probes) > MaxProbes || r.Timeout() <= 0 || r.Timeout() > MaxTimeout {
			t.Errorf("%d probes, timeout %s", len(r.Probes), r.Timeout())
		}
		for _, p := range r.Probes {
			target, err := p.Target()
			if err == nil && (target == nil || target.String() == "") {
				t.Errorf("%+v gives no target", p)
			}
			_, _ = p.Options()
		}
	})
}
