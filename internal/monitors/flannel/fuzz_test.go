package flannel

import "testing"

// FuzzStored reads any value of flannel's store, and any unit file and environment.
func FuzzStored(f *testing.F) {
	f.Add("/coreos.com/network/subnets/10.244.1.0-24", []byte(`{"PublicIP":"10.0.0.1","BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"aa:bb:cc:dd:ee:ff"}}`))
	f.Add("10.244.1.0-24&fd00::-64", []byte(`{"PublicIP":4294967295,"BackendData":null}`))
	f.Add("-", []byte(`{"Network":"10.244.0.0/33","SubnetLen":-1,"Backend":{"Type":1,"VNI":1e99}}`))
	f.Add("a=\"b\\\nc' $X ${Y:-z} ${", []byte("[Service]\nExecStart=/x -a \\\n b\nEnvironment=\"A=$B\" C='d\nEnvironmentFile=-/x\n"))
	f.Fuzz(func(t *testing.T, text string, data []byte) {
		if l, err := parseLease(text, data); err == nil {
			l.evidence()
		}
		if c, err := parseConfig(data); err == nil {
			c.evidence("etcd")
		}
		arguments := words(text)
		for _, line := range joined(data) {
			arguments = append(arguments, words(line)...)
		}
		for _, a := range arguments {
			expand(a, map[string]string{"A": "${B}", "B": "$A"})
		}
		s := settingsOf("unit", arguments, map[string]string{text: string(data)})
		if s.prefix() == "" || s.prefix()[0] != '/' {
			t.Errorf("the prefix is %q", s.prefix())
		}
		s.endpoints()
	})
}
