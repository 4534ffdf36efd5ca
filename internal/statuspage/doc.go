// Package statuspage answers requests, on every replica of the operator: Kuberhealthy's status
// documents and metrics, the reports of checker pods, and the requests of people to run a check now or
// to read what its pod logged. It writes nothing of its own but hands reports on.
//
// Whatever is asked for by a person, or by a program that is not Kuberhealthy's own, needs a token of
// the cluster with the right to it. Kuberhealthy asked for none at all: what its users' tools fetch,
// the documents and the metrics, is served without one as long as Options.Compatibility says so.
// A run's token, which is what a report is known by, is on no page.
package statuspage
