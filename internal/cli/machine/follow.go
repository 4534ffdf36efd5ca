package machine

import (
	"slices"
	"strings"
	"time"
)

// followBack is how much of the past --follow begins with, so that it shows at once what goes on.
const followBack = 30 * time.Second

// wanted tells whether a log line is of one of the sources that were named: its writer, its unit, or a
// part of the name of its log. Without names all are.
func wanted(names []string, writer, source string) bool {
	return len(names) == 0 || slices.ContainsFunc(names, func(name string) bool {
		name = unitName(name)
		return unitName(writer) == name || strings.Contains(source, name)
	})
}
