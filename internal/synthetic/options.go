package synthetic

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// options reads what a scenario is told. It takes the defaults from the scenario's own table, so that
// what is documented is what holds, and keeps what makes no sense until err is asked.
type options struct {
	declared []Option
	getenv   func(string) string
	problems []error
}

// read begins to read the options of a table.
func (e Environment) read(declared []Option) *options {
	return &options{declared: declared, getenv: e.Getenv}
}

// err says what made no sense, all of it, a sentence each.
func (o *options) err() error { return errors.Join(o.problems...) }

// refuse keeps that an option makes no sense, and what to write instead.
func (o *options) refuse(name, value, instead string) {
	o.problems = append(o.problems, &OptionError{Name: name, Value: value, Instead: instead})
}

// text returns an option without the space around it, or its default.
func (o *options) text(name string) string {
	at := slices.IndexFunc(o.declared, func(d Option) bool { return d.Name == name })
	if at < 0 {
		panic(fmt.Sprintf("synthetic: the option %s is read, and not declared", name))
	}
	if value := strings.TrimSpace(o.getenv(name)); value != "" {
		return value
	}
	return o.declared[at].Default
}

// needed returns an option that has no default.
func (o *options) needed(name, instead string) string {
	value := o.text(name)
	if value == "" {
		o.refuse(name, "", instead)
	}
	return value
}

// integer returns an option that is a whole number from least to most.
func (o *options) integer(name string, least, most int) int {
	value := o.text(name)
	n, err := strconv.Atoi(value)
	if err != nil || n < least || n > most {
		o.refuse(name, value, fmt.Sprintf("a whole number from %d to %d", least, most))
		return least
	}
	return n
}

// number returns an option that is a number.
func (o *options) number(name string) float64 {
	value := o.text(name)
	n, err := strconv.ParseFloat(value, 64)
	if err != nil || n != n {
		o.refuse(name, value, "a number such as 0.9")
	}
	return n
}

// boolean returns an option that is true or false, in the spellings that strconv.ParseBool knows. One
// that is not set, and has no default, is false.
func (o *options) boolean(name string) bool {
	value := o.text(name)
	if value == "" {
		return false
	}
	yes, err := strconv.ParseBool(value)
	if err != nil {
		o.refuse(name, value, "true or false")
	}
	return yes
}

// duration returns an option that is a duration of at least least.
func (o *options) duration(name string, least time.Duration) time.Duration {
	value := o.text(name)
	d, err := time.ParseDuration(value)
	if err != nil || d < least {
		o.refuse(name, value, fmt.Sprintf("a duration of at least %s, such as 30s, 10m or 1h30m", least))
		return least
	}
	return d
}

// list returns an option that names several, with commas between them.
func (o *options) list(name string) []string {
	var names []string
	for part := range strings.SplitSeq(o.text(name), ",") {
		if part = strings.TrimSpace(part); part != "" {
			names = append(names, part)
		}
	}
	return names
}

// choice returns an option that is one of a few words, in upper case.
func (o *options) choice(name string, words ...string) string {
	value := o.text(name)
	word := strings.ToUpper(value)
	if !slices.Contains(words, word) {
		o.refuse(name, value, "one of "+strings.Join(words, ", "))
	}
	return word
}

// OptionError is an option that makes no sense.
type OptionError struct {
	// Name of the environment variable, and its Value; empty where it is not set.
	Name, Value string
	// Instead says what to write, as the end of a sentence.
	Instead string
}

// Error says which option it is, what it holds and what it should hold.
func (e *OptionError) Error() string {
	if e.Value == "" {
		return fmt.Sprintf("the environment variable %s is not set: write %s", e.Name, e.Instead)
	}
	return fmt.Sprintf("the environment variable %s is %q: write %s", e.Name, e.Value, e.Instead)
}
