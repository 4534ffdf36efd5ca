package probe

import (
	"strings"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
)

// expandCommand settles $(NAME) in a probe's command. The kubelet knows only values that the spec
// itself gives: a variable that comes from a ConfigMap or a Secret is empty there
// (ExpandContainerCommandOnlyStatic of pkg/kubelet/container/helpers.go).
func expandCommand(command []string, env []corev1.EnvVar) []string {
	if len(command) == 0 {
		return nil
	}
	values := make(map[string]string, len(env))
	for _, v := range env {
		values[v.Name] = v.Value
	}
	out := make([]string, len(command))
	for i, word := range command {
		out[i] = expand(word, values)
	}
	return out
}

// expand replaces $(NAME) by its value, leaves references to names that it does not know as they
// are, and makes $$ a $, so that $$(NAME) is no reference.
func expand(word string, values map[string]string) string {
	var out strings.Builder
	for {
		before, after, found := strings.Cut(word, "$")
		out.WriteString(before)
		switch {
		case !found:
			return out.String()
		case after == "":
			out.WriteByte('$')
			return out.String()
		case after[0] == '$':
			out.WriteByte('$')
			word = after[1:]
		case after[0] == '(':
			name, rest, closed := strings.Cut(after[1:], ")")
			if !closed {
				out.WriteString("$(")
				word = after[1:]
				continue
			}
			if value, known := values[name]; known {
				out.WriteString(value)
			} else {
				out.WriteString("$(" + name + ")")
			}
			word = rest
		default:
			r, size := utf8.DecodeRuneInString(after)
			out.WriteByte('$')
			out.WriteRune(r)
			word = after[size:]
		}
	}
}
