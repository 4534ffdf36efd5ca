package dns

import (
	"regexp"
	"slices"
	"strings"

	"github.com/maek-dev/maek/internal/finding"
)

// defaultDomain is the domain of a cluster that does not say otherwise
// (k8s.io/kubernetes/cmd/kubeadm/app/apis/kubeadm/v1beta4, DefaultServiceDNSDomain).
const defaultDomain = "cluster.local."

// override is what keeps names of Services from the plugin that knows them.
type override struct {
	// directive to blame; its name is empty where the fault is that one is missing.
	directive directive
	// zone of the server block, and the name that was tried.
	zone, name string
	// what it does.
	what finding.Text
}

// clusterDomain is the domain that a Corefile's kubernetes plugin serves; the default where none says.
func clusterDomain(blocks []serverBlock) string {
	for _, b := range blocks {
		for _, d := range b.find("kubernetes") {
			for _, zone := range slices.Concat(d.args, b.keys) {
				if z, _, ok := zoneOf(zone); ok && z != "." && !strings.HasSuffix(z, ".arpa.") {
					return z
				}
			}
		}
	}
	return defaultDomain
}

// overrides finds what answers for the name of a Service, that of the API server, before the
// kubernetes plugin of CoreDNS. Plugins are asked in an order that is compiled in and not in that of
// the Corefile: rewrite, template, hosts, kubernetes, then all that could know more
// (https://github.com/coredns/coredns/blob/master/plugin.cfg).
func overrides(blocks []serverBlock, port string) (override, bool) {
	o := override{name: "kubernetes.default.svc." + clusterDomain(blocks)}
	// What is imported from files, and what chooses by the question, cannot be judged from here.
	if has(blocks, "import") || has(blocks, "view") {
		return o, false
	}
	b, zone, ok := serving(blocks, o.name, port)
	if !ok {
		return o, false
	}
	o.zone = zone
	for _, judge := range []func(serverBlock, *override) bool{rewritten, templated, hosted} {
		if judge(b, &o) {
			return o, true
		}
	}
	// Other plugins can serve Services too, in builds of CoreDNS that are not the project's own.
	if slices.ContainsFunc(b.directives, func(d directive) bool { return !slices.Contains(plugins, d.name) }) {
		return o, false
	}
	for _, d := range b.find("kubernetes") {
		if coversAny(d.args, b, o.name) {
			return o, false
		}
	}
	o.directive = directive{}
	o.what = finding.Textf("the server block that answers for it, of zone %q, has no kubernetes plugin for it", "이 이름에 응답하는 server block(zone %q)에 해당 kubernetes 플러그인이 없습니다", zone)
	return o, true
}

// coversAny tells whether one of the zones that a plugin names covers a name; without any it serves
// those of its block.
func coversAny(zones []string, b serverBlock, name string) bool {
	if len(zones) == 0 {
		zones = b.keys
	}
	return slices.ContainsFunc(zones, func(key string) bool {
		zone, _, ok := zoneOf(key)
		return ok && covers(zone, name)
	})
}

// falls tells whether a plugin's block passes on what it cannot answer about a name.
func falls(d directive, name string) bool {
	return slices.ContainsFunc(d.block, func(line []string) bool {
		if line[0] != "fallthrough" {
			return false
		}
		return len(line) == 1 || slices.ContainsFunc(line[1:], func(z string) bool { return covers(normalized(z), name) })
	})
}

// templated tells whether a template answers for the address of a name, or stops it: one that has
// patterns and no fallthrough fails what fits none (coredns/plugin/template, ServeDNS).
func templated(b serverBlock, o *override) bool {
	for _, d := range b.find("template") {
		if len(d.args) < 2 || !slices.Contains([]string{"IN", "ANY"}, d.args[0]) || !slices.Contains([]string{"A", "ANY"}, d.args[1]) || !coversAny(d.args[2:], b, o.name) {
			continue
		}
		var patterns []string
		rcode := "NOERROR"
		for _, line := range d.block {
			switch {
			case line[0] == "match":
				patterns = append(patterns, line[1:]...)
			case line[0] == "rcode" && len(line) > 1:
				rcode = line[1]
			}
		}
		matches := len(patterns) == 0
		for _, pattern := range patterns {
			re, err := regexp.Compile(pattern)
			if err != nil {
				return false // CoreDNS would not run with it.
			}
			matches = matches || re.MatchString(o.name)
		}
		o.directive = d
		switch {
		case matches:
			o.what = finding.Textf("`%s` answers for it with %s before the kubernetes plugin is asked", "`%s` 설정이 kubernetes 플러그인보다 먼저 응답합니다(%s)", d, rcode)
			return true
		case !falls(d, o.name):
			o.what = finding.Textf("`%s` has patterns that it does not fit and no fallthrough, so it is answered with SERVFAIL before the kubernetes plugin is asked",
				"`%s` 설정의 match에 맞지 않고 fallthrough도 없어, kubernetes 플러그인보다 먼저 SERVFAIL로 응답합니다", d)
			return true
		}
	}
	return false
}

// hosted tells whether a hosts plugin without fallthrough stops a name that it does not know
// (coredns/plugin/hosts, ServeDNS).
func hosted(b serverBlock, o *override) bool {
	for _, d := range b.find("hosts") {
		var zones []string
		if len(d.args) > 1 {
			zones = d.args[1:]
		}
		if coversAny(zones, b, o.name) && !falls(d, o.name) {
			o.directive = d
			o.what = finding.Text{
				EN: "the hosts plugin has no fallthrough, so every name that it does not list is answered with SERVFAIL before the kubernetes plugin is asked",
				KO: "hosts 플러그인에 fallthrough가 없어, 목록에 없는 이름은 모두 kubernetes 플러그인보다 먼저 SERVFAIL로 응답합니다",
			}
			return true
		}
	}
	return false
}

// rewritten tells whether a name is turned into one of another domain (coredns/plugin/rewrite).
func rewritten(b serverBlock, o *override) bool {
	domain := strings.TrimPrefix(o.name, "kubernetes.default.svc.")
	for _, d := range b.find("rewrite") {
		args := d.args
		if len(d.block) > 0 {
			args = slices.Concat(args, d.block[0])
		}
		if len(args) > 0 && (args[0] == "stop" || args[0] == "continue") {
			args = args[1:]
		}
		if len(args) < 3 || args[0] != "name" {
			continue
		}
		to, ok := rewriteName(args[1:], o.name)
		if ok && !covers(domain, to) {
			o.directive = d
			o.what = finding.Textf("`%s` turns it into %s before the kubernetes plugin is asked", "`%s` 설정이 kubernetes 플러그인보다 먼저 이 이름을 %s로 바꿉니다", d, to)
			return true
		}
	}
	return false
}

// rewriteName applies a rule of the rewrite plugin to a name; false where it does not match.
func rewriteName(args []string, name string) (string, bool) {
	if len(args) == 2 {
		args = []string{"exact", args[0], args[1]}
	}
	from, to := args[1], args[2]
	switch args[0] {
	case "exact":
		return normalized(to), normalized(from) == name
	case "prefix":
		rest, ok := strings.CutPrefix(name, strings.ToLower(from))
		return strings.ToLower(to) + rest, ok
	case "suffix":
		rest, ok := strings.CutSuffix(name, normalized(from))
		return rest + normalized(to), ok
	case "substring":
		return strings.ReplaceAll(name, strings.ToLower(from), strings.ToLower(to)), strings.Contains(name, strings.ToLower(from))
	case "regex":
		re, err := regexp.Compile(from)
		if err != nil || !re.MatchString(name) {
			return "", false
		}
		out := to
		for i, group := range re.FindStringSubmatch(name) {
			out = strings.ReplaceAll(out, "{"+string(rune('0'+min(i, 9)))+"}", group)
		}
		return normalized(out), true
	}
	return "", false
}
