package expect

import (
	"regexp"
	"regexp/syntax"
	"sync"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/probe"
)

const (
	// maxInstructions is how large a pattern may be once its repetitions are written out. Matching takes
	// about so many steps for each byte of the text: 2,000 over 10 KiB are some tenths of a second, and
	// without a bound a pattern of 20 bytes could take hours of processor and 128 MiB of memory.
	maxInstructions = 2000
	// maxPatterns is how many compiled patterns are kept.
	maxPatterns = 4096
	// maxSteps bounds what one answer costs: as many as the largest pattern takes over the largest text that it
	// is held against. A path can find a value once for each level above it, and a server sends what it likes.
	maxSteps = maxInstructions * probe.KubeletBodyLimit
)

// work is what judging one answer may still cost.
type work struct {
	left int
}

// spend takes some steps of what is left.
func (w *work) spend(steps int) *finding {
	w.left -= steps
	if w.left < 0 {
		return invalid("what is expected takes too long to find in an answer of this size; write shorter regular expressions, or narrower paths")
	}
	return nil
}

// matches holds a pattern against a text.
func (w *work) matches(want, text string) (bool, *finding) {
	p, f := compiled(want)
	if f == nil {
		f = w.spend(p.size * len(text))
	}
	if f != nil {
		return false, f
	}
	return p.MatchString(text), nil
}

// pattern is one that is compiled.
type pattern struct {
	*regexp.Regexp

	// size is about how many instructions it is.
	size int
}

// patterns keeps what is compiled: the same few are used in every run.
var patterns = struct {
	sync.Mutex
	kept map[string]*pattern
}{kept: map[string]*pattern{}}

// compiled returns a pattern, or why it cannot be used.
func compiled(text string) (*pattern, *finding) {
	patterns.Lock()
	known := patterns.kept[text]
	patterns.Unlock()
	if known != nil {
		return known, nil
	}
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, invalid(quote(text) + " is no regular expression: " + err.Error())
	}
	if size(parsed) > maxInstructions {
		return nil, invalid("the regular expression " + quote(text) + " repeats too much; write smaller counts")
	}
	program, err := regexp.Compile(text)
	if err != nil {
		return nil, invalid(quote(text) + " is no regular expression: " + err.Error())
	}
	patterns.Lock()
	defer patterns.Unlock()
	if len(patterns.kept) >= maxPatterns {
		clear(patterns.kept)
	}
	made := &pattern{Regexp: program, size: size(parsed)}
	patterns.kept[text] = made
	return made, nil
}

func invalid(message string) *finding {
	return &finding{result: v1alpha1.ResultUnknown, reason: v1alpha1.ReasonExpectationInvalid, message: message}
}

// size estimates how many instructions a pattern is, without compiling it.
func size(re *syntax.Regexp) int {
	total := 1
	if re.Op == syntax.OpLiteral {
		total = len(re.Rune)
	}
	for _, sub := range re.Sub {
		total = min(total+size(sub), maxInstructions+1)
	}
	if re.Op == syntax.OpRepeat {
		total = min(total*max(re.Min, re.Max, 1), maxInstructions+1)
	}
	return total
}
