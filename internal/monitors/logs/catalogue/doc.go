// Package catalogue is what the lines of a machine's logs mean: a table of patterns in the wording of
// old and of today's kernels and components, each with lines that fit, lines that look like them and
// do not, and a rule for when what it told of is over. It judges nothing: a line that fits is a
// happening that a rule may weigh.
package catalogue
