// Package remote carries probes to somebody else who makes them, and outcomes back. What arrives is the very
// probe, and what comes back is the very outcome: whoever judges cannot tell that it was made elsewhere.
//
// A [Request] is one JSON document. The answer to it is a [Head] and then one [Answer] for each probe, one a
// line, in the order in which they come.
//
// A probe brings the addresses that it goes to: whoever makes it resolves no name. Credentials of its TLS are
// not carried.
package remote
