package expect

import (
	"regexp"
	"regexp/syntax"
	"sync"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

const (
	// maxInstructions is how large a pattern may be once its repetitions are written out. Matching takes
	// about so many steps for each byte of the text: 2,000 over 10 KiB are some tenths of a second, and
	// without a bound a pattern of 20 bytes could take hours of processor and 128 MiB of memory.
	maxInstructions = 2000
	// maxPatterns is how many compiled patterns are kept.
	maxPatterns = 4096
)

// patterns keeps what is compiled: the same few are used in every run.
var patterns = struct {
	sync.Mutex
	kept map[string]*regexp.Regexp
}{kept: map[string]*regexp.Regexp{}}

// compiled returns a pattern, or why it cannot be used.
func compiled(text string) (*regexp.Regexp, *finding) {
	patterns.Lock()
	pattern := patterns.kept[text]
	patterns.Unlock()
	if pattern != nil {
		return pattern, nil
	}
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, invalid(quote(text) + " is no regular expression: " + err.Error())
	}
	if size(parsed) > maxInstructions {
		return nil, invalid("the regular expression " + quote(text) + " repeats too much; write smaller counts")
	}
	pattern, err = regexp.Compile(text)
	if err != nil {
		return nil, invalid(quote(text) + " is no regular expression: " + err.Error())
	}
	patterns.Lock()
	defer patterns.Unlock()
	if len(patterns.kept) >= maxPatterns {
		clear(patterns.kept)
	}
	patterns.kept[text] = pattern
	return pattern, nil
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
