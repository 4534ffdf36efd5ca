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
	// maxRunes is how many bounds of character classes a pattern may have. Each \pL brings more than a thousand,
	// wherever it is written: without a bound a pattern of 1,024 bytes would hold 2 MiB and take 20 ms to compile.
	maxRunes = 16 << 10
	// maxPatterns is how many compiled patterns are kept, and maxKeptRunes how many bounds of classes they have
	// together: 32 MiB.
	maxPatterns  = 4096
	maxKeptRunes = 8 << 20
	// maxSteps bounds what one answer costs: as many as the largest pattern takes over the largest text that it
	// is held against. A path can find a value once for each level above it, and a server sends what it likes.
	maxSteps = maxInstructions * probe.KubeletBodyLimit
)

// work is what judging one answer may still cost, and what was shown to who gave it.
type work struct {
	left  int
	shown credentials
	// large is where a large body waits for its turn.
	large chan struct{}
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

	// size is about how many instructions it is, and runes how many bounds its classes have.
	size, runes int
	// unfit is why it cannot be used; nil where it can.
	unfit *finding
}

// patterns keeps what is compiled, and what cannot be: the same few are used in every run.
var patterns keeper

// keeper keeps patterns, within bounds.
type keeper struct {
	mu    sync.Mutex
	kept  map[string]*pattern
	runes int
}

func (k *keeper) find(text string) *pattern {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.kept[text]
}

func (k *keeper) keep(text string, made *pattern) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.kept == nil || len(k.kept) >= maxPatterns || k.runes+made.runes > maxKeptRunes {
		k.kept, k.runes = map[string]*pattern{}, 0
	}
	if k.kept[text] == nil {
		k.runes += made.runes
	}
	k.kept[text] = made
}

// compiled returns a pattern, or why it cannot be used.
func compiled(text string) (*pattern, *finding) {
	made := patterns.find(text)
	if made == nil {
		made = compile(text)
		patterns.keep(text, made)
	}
	return made, made.unfit
}

func compile(text string) *pattern {
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return &pattern{unfit: invalid(quote(text) + " is no regular expression: " + err.Error())}
	}
	instructions, classes := size(parsed), runes(parsed)
	switch {
	case instructions > maxInstructions:
		return &pattern{unfit: invalid("the regular expression " + quote(text) + " repeats too much; write smaller counts")}
	case classes > maxRunes:
		return &pattern{unfit: invalid("the regular expression " + quote(text) + " has too many classes of characters; write fewer of them, or smaller ones")}
	}
	program, err := regexp.Compile(text)
	if err != nil {
		return &pattern{unfit: invalid(quote(text) + " is no regular expression: " + err.Error())}
	}
	return &pattern{Regexp: program, size: instructions, runes: classes}
}

// runes counts the bounds of the character classes of a pattern. Those that repetitions write out are shared.
func runes(re *syntax.Regexp) int {
	total := 0
	if re.Op == syntax.OpCharClass {
		total = len(re.Rune)
	}
	for _, sub := range re.Sub {
		total += runes(sub)
	}
	return total
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
