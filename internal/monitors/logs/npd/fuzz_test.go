package npd

import "testing"

// FuzzAdd reads any configuration file.
func FuzzAdd(f *testing.F) {
	for _, text := range []string{
		`{}`, `null`, `[]`, `{"plugin":"kmsg","bufferSize":-1,"lookback":"-5m","rules":[{"type":"permanent","condition":"c","reason":"r","pattern":"("}]}`,
		`{"plugin":"custom","pluginConfig":{"invoke_interval":"0s","timeout":"9999999h","max_output_length":-1,"concurrency":1000000},"rules":[{"path":"/bin/true","args":[]}]}`,
		`{"plugin":"custom","rules":[{"path":"/x/log-counter","args":["--count=-1","--pattern=a","--lookback=x"]}]}`,
		`{"plugin":"journald","pluginConfig":{"source":1}}`, `{"plugin":"filelog","logPath":"../../x","conditions":[{"type":""}],"rules":[{"pattern":"a\\nb"}]}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d := &Detector{states: map[string]*state{}, workers: defaultWorkers}
		if err := d.add(data); err != nil && err.Error() == "" {
			t.Error("an error without words")
		}
		if d.workers > maxWorkers {
			t.Errorf("%d plugins run at once", d.workers)
		}
		for _, p := range d.plugins {
			if p.every <= 0 || p.timeout <= 0 || p.output <= 0 || p.output > maxOutput {
				t.Errorf("a plugin runs every %s, for %s, and says %d bytes", p.every, p.timeout, p.output)
			}
		}
	})
}
