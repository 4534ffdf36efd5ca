package etcd

import (
	"path"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// flags are a program's settings by their long names, without dashes. Where one is given twice the
// last wins, as in the programs themselves.
type flags map[string]string

// list takes a setting apart at its commas.
func (f flags) list(name string) []string {
	var out []string
	for v := range strings.SplitSeq(f[name], ",") {
		if v = strings.TrimSpace(v); v != "" {
			out = append(out, v)
		}
	}
	return out
}

// on tells whether a truth is set.
func (f flags) on(name string) bool { return f[name] == "true" }

// commandFlags finds a program in a command line, also in one that a shell gets as a word, and returns
// its flags; false where the command does not start it.
func commandFlags(argv []string, program string) (flags, bool) {
	var words []string
	for i, arg := range argv {
		if shells := []string{"sh", "bash"}; i > 0 && slices.Contains(shells, path.Base(argv[0])) && strings.Contains(arg, " ") {
			words = append(words, strings.Fields(arg)...)
			continue
		}
		words = append(words, arg)
	}
	at := slices.IndexFunc(words, func(w string) bool { return path.Base(w) == program })
	if at < 0 || at > 0 && !slices.Contains([]string{"sh", "bash"}, path.Base(words[0])) {
		return nil, false
	}
	return argumentFlags(words[at+1:]), true
}

// argumentFlags reads "--name=value", "--name value" and "--name", with one dash or two.
func argumentFlags(args []string) flags {
	f := flags{}
	for i := 0; i < len(args); i++ {
		if !strings.HasPrefix(args[i], "-") {
			continue
		}
		name, value, given := strings.Cut(strings.TrimLeft(args[i], "-"), "=")
		switch {
		case given:
		case i+1 < len(args) && !strings.HasPrefix(args[i+1], "-"):
			i++
			value = args[i]
		default:
			value = "true"
		}
		f[name] = strings.Trim(value, `"'`)
	}
	return f
}

// environmentFlags reads ETCD_NAME=value lines, as etcd takes its flags from the environment
// (go.etcd.io/etcd/pkg/flags/flag.go, SetFlagsFromEnv) and systemd reads them from a file.
func environmentFlags(lines []string) flags {
	f := flags{}
	for _, line := range lines {
		line = strings.TrimPrefix(strings.TrimSpace(line), "export ")
		name, value, ok := strings.Cut(line, "=")
		if name, is := strings.CutPrefix(name, "ETCD_"); ok && is {
			f[strings.ToLower(strings.ReplaceAll(name, "_", "-"))] = strings.Trim(value, `"'`)
		}
	}
	return f
}

// fileFlags reads etcd's configuration file, whose keys are the flags' names but for TLS
// (go.etcd.io/etcd/server/embed/config.go, configYAML).
func fileFlags(data []byte) (flags, error) {
	var file map[string]any
	if err := yaml.Unmarshal(data, &file); err != nil {
		return nil, err
	}
	f := flags{}
	take := func(prefix string, values map[string]any) {
		for name, v := range values {
			switch v := v.(type) {
			case string:
				f[prefix+name] = v
			case bool:
				f[prefix+name] = map[bool]string{true: "true", false: "false"}[v]
			case float64:
				f[prefix+name] = formatNumber(v)
			}
		}
	}
	take("", file)
	if tls, ok := file["client-transport-security"].(map[string]any); ok {
		take("", tls)
	}
	if tls, ok := file["peer-transport-security"].(map[string]any); ok {
		take("peer-", tls)
	}
	return f, nil
}
