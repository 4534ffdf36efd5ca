// Package run runs the checks of both of Kuberhealthy's APIs: it knows which run is due, makes its
// checker pod, stores its report, fails it with a reason where none comes, and clears up after it.
//
// What is recorded in the cluster is all there is. A run is recorded before its pod is made, the pod's
// name follows from the run, and what to do next is a pure function of the check, its record and its
// pods (next): whoever owns a check after a kill, at whatever step, computes the same step again. Every
// record is written with the resourceVersion that it was read with, so that of two owners one loses,
// and nothing happens twice. What is kept in memory only saves requests and tells more about failures.
package run
