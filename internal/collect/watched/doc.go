// Package watched fills snapshots by watching an API server, for a program that stays: one stream a kind
// instead of a list each time. What it holds is trimmed, cleaned and shared exactly as package live does
// it, and package live answers the questions and looks at the API server itself, so that rules cannot tell
// which of the two they judge.
//
// A snapshot costs what changed since the one before: tables of kinds are immutable and shared. A kind
// whose stream broke stays for a short time as it was last seen, with the time of that in its coverage,
// and is unread after: objects that nobody follows any more prove nothing. A right that is
// withdrawn is seen when the stream is opened anew, minutes later: until then the API server goes on sending what
// it allowed. Kinds of custom resources are not watched but listed now and then, in package live's bounds.
package watched
