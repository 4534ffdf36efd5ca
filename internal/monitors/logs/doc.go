// Package logs reads a machine's logs: the kernel's, the journal, the old text files, and those of the
// control plane's and the network's Pods. Lines are held against a catalogue of what they mean; what
// is given is what stands now, not every line. Each pattern says when what it told of is over, so that
// a happening whose cause is gone is gone too. A flood is counted.
package logs
