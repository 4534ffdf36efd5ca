package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/maek-dev/maek/internal/finding"
)

func TestFlags(t *testing.T) {
	type read struct {
		Listen, Config, Namespace, Pod         string
		Language                               finding.Language
		Adopt, Compatibility, Incidents, Debug bool
	}
	standard := read{Config: "/etc/config/kuberhealthy.yaml", Language: finding.English, Compatibility: true, Incidents: true}
	for name, tc := range map[string]struct {
		args    []string
		env     map[string]string
		want    func(*read)
		wantErr string
	}{
		"nothing": {want: func(*read) {}},
		"what Kuberhealthy 2 is started with": {
			args: []string{"-c", "/etc/kh.yaml", "--debug", "--forceMaster"},
			want: func(r *read) { r.Config, r.Debug = "/etc/kh.yaml", true },
		},
		"what the pod is told": {
			env: map[string]string{"POD_NAME": "maek-operator-0", "POD_NAMESPACE": "kuberhealthy", "MAEK_ADOPT": "true", "MAEK_COMPATIBILITY": "false"},
			want: func(r *read) {
				r.Pod, r.Namespace, r.Adopt, r.Compatibility = "maek-operator-0", "kuberhealthy", true, false
			},
		},
		"flags go before the environment": {
			args: []string{"--compatibility=true", "--adopt=false", "--namespace=ops"},
			env:  map[string]string{"POD_NAMESPACE": "kuberhealthy", "MAEK_ADOPT": "true", "MAEK_COMPATIBILITY": "false"},
			want: func(r *read) { r.Namespace = "ops" },
		},
		"Korean":                   {args: []string{"--language=ko"}, want: func(r *read) { r.Language = finding.Korean }},
		"no language":              {args: []string{"--language="}, want: func(*read) {}},
		"a language of others":     {args: []string{"--language=fr"}, wantErr: "--language is en or ko"},
		"an argument too many":     {args: []string{"run"}, wantErr: `"run" is no flag`},
		"a flag that there is not": {args: []string{"--force"}, wantErr: "unknown flag: --force"},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := parse(tc.args, func(name string) string { return tc.env[name] })
			if tc.wantErr != "" {
				if err == nil || err.Error() != tc.wantErr {
					t.Fatalf("error %v, want %q", err, tc.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			want := standard
			tc.want(&want)
			o := f.options
			got := read{o.Listen, o.ConfigPath, o.Namespace, o.Pod, o.Language, o.Adopt, f.compatibility, f.incidents, f.debug}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
