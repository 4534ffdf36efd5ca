package dns

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// The Corefile is parsed here and not by its own library, github.com/coredns/caddy/caddyfile, because
// that one follows "import" to files of the machine on which it runs.

// serverBlock is a part of a Corefile that serves zones.
type serverBlock struct {
	keys       []string
	directives []directive
}

// directive is one setting of a server block: a plugin with its arguments.
type directive struct {
	name string
	args []string
	// block are the lines within its braces.
	block [][]string
	// line where it stands, counted from 1.
	line int
}

// token is a word of a Corefile.
type token struct {
	text string
	line int
	// first tells that it begins a line.
	first bool
}

// tokens splits a Corefile into words: at white space, with quotes to hold some together, and without
// what follows a "#" (github.com/coredns/caddy/caddyfile, lexer).
func tokens(text string) []token {
	var out []token
	var word strings.Builder
	line, start, begun := 1, 1, 0
	inWord, quoted, comment, escaped := false, false, false, false
	end := func() {
		if inWord {
			out = append(out, token{text: word.String(), line: start, first: start != begun})
			begun = start
		}
		word.Reset()
		inWord, quoted = false, false
	}
	for _, ch := range strings.TrimPrefix(text, "\uFEFF") {
		switch {
		case quoted && escaped:
			if ch != '"' {
				word.WriteRune('\\')
			}
			word.WriteRune(ch)
			escaped = false
		case quoted && ch == '\\':
			escaped = true
		case quoted && ch == '"':
			end()
		case quoted:
			word.WriteRune(ch)
		case unicode.IsSpace(ch):
			if ch != '\r' {
				end()
			}
			comment = comment && ch != '\n'
		case comment:
		case ch == '#':
			end()
			comment = true
		case !inWord:
			inWord, start = true, line
			if quoted = ch == '"'; !quoted {
				word.WriteRune(ch)
			}
		default:
			word.WriteRune(ch)
		}
		if ch == '\n' {
			line++
		}
	}
	end()
	return out
}

// parseCorefile reads the server blocks of a Corefile. Snippets are put in where they are imported;
// imports of files stay as directives named "import".
func parseCorefile(text string) ([]serverBlock, error) {
	ts := tokens(text)
	snippets := map[string][]directive{}
	var blocks []serverBlock
	for i := 0; i < len(ts); {
		if ts[i].text == "import" && ts[i].first {
			b := serverBlock{directives: []directive{{name: "import", line: ts[i].line}}}
			for i++; i < len(ts) && !ts[i].first; i++ {
				b.directives[0].args = append(b.directives[0].args, ts[i].text)
			}
			blocks = append(blocks, b)
			continue
		}
		b := serverBlock{}
		at := ts[i].line
		for ; i < len(ts) && ts[i].text != "{"; i++ {
			if key := strings.TrimSuffix(ts[i].text, ","); key != "" {
				b.keys = append(b.keys, key)
			}
		}
		if i == len(ts) || len(b.keys) == 0 {
			return nil, fmt.Errorf("line %d: a server block without braces", at)
		}
		next, directives, err := parseDirectives(ts, i+1)
		if err != nil {
			return nil, fmt.Errorf("the server block of line %d: %w", at, err)
		}
		i = next
		if name := b.keys[0]; len(b.keys) == 1 && strings.HasPrefix(name, "(") && strings.HasSuffix(name, ")") {
			snippets[strings.Trim(name, "()")] = directives
			continue
		}
		for _, d := range directives {
			if d.name == "import" && len(d.args) > 0 && snippets[d.args[0]] != nil {
				b.directives = append(b.directives, snippets[d.args[0]]...)
				continue
			}
			b.directives = append(b.directives, d)
		}
		blocks = append(blocks, b)
	}
	return blocks, nil
}

// parseDirectives reads up to the brace that closes a server block, and returns what comes after.
func parseDirectives(ts []token, i int) (int, []directive, error) {
	var out []directive
	for i < len(ts) {
		if ts[i].text == "}" {
			return i + 1, out, nil
		}
		d := directive{name: ts[i].text, line: ts[i].line}
		for i++; i < len(ts) && !ts[i].first && ts[i].text != "{" && ts[i].text != "}"; i++ {
			d.args = append(d.args, ts[i].text)
		}
		if i < len(ts) && ts[i].text == "{" && !ts[i].first {
			depth := 1
			for i++; i < len(ts) && depth > 0; i++ {
				switch ts[i].text {
				case "{":
					depth++
				case "}":
					depth--
					continue
				}
				if ts[i].first || len(d.block) == 0 {
					d.block = append(d.block, nil)
				}
				last := len(d.block) - 1
				d.block[last] = append(d.block[last], ts[i].text)
			}
			if depth > 0 {
				return i, nil, fmt.Errorf("the brace of line %d is not closed", d.line)
			}
		}
		out = append(out, d)
	}
	return i, nil, errors.New("its brace is not closed")
}

// zoneOf splits the key of a server block into its zone, lower case with a dot at its end, and its
// port, "53" where it names none; false for a transport that pods do not use (dns://, tls://, ...).
func zoneOf(key string) (zone, port string, ok bool) {
	if scheme, rest, found := strings.Cut(key, "://"); found {
		if scheme != "dns" {
			return "", "", false
		}
		key = rest
	}
	zone, port = key, "53"
	if i := strings.LastIndex(key, ":"); i >= 0 {
		zone, port = key[:i], key[i+1:]
	}
	return normalized(zone), port, true
}

// normalized is a name in lower case with a dot at its end.
func normalized(name string) string {
	name = strings.ToLower(name)
	if !strings.HasSuffix(name, ".") {
		name += "."
	}
	return name
}

// covers tells whether a zone contains a name, both normalized.
func covers(zone, name string) bool {
	return zone == "." || name == zone || strings.HasSuffix(name, "."+zone)
}

// serving returns the block that answers for a name on a port: that of the longest zone that covers it.
func serving(blocks []serverBlock, name, port string) (serverBlock, string, bool) {
	var best serverBlock
	longest := ""
	for _, b := range blocks {
		for _, key := range b.keys {
			zone, p, ok := zoneOf(key)
			if ok && p == port && covers(zone, name) && len(zone) > len(longest) {
				best, longest = b, zone
			}
		}
	}
	return best, longest, longest != ""
}

// find returns the directives of a name.
func (b serverBlock) find(name string) []directive {
	return slices.DeleteFunc(slices.Clone(b.directives), func(d directive) bool { return d.name != name })
}

// has tells whether any block has a directive of a name.
func has(blocks []serverBlock, name string) bool {
	return slices.ContainsFunc(blocks, func(b serverBlock) bool { return len(b.find(name)) > 0 })
}

// String is the directive as it stands in the Corefile, without its block.
func (d directive) String() string { return strings.Join(append([]string{d.name}, d.args...), " ") }
