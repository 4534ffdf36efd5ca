// Package checkerpod reads pods that run a check once, whether it is one of Kuberhealthy's or a Check: why one brought
// no result, how it ended, what it said last, and what the API server has against making it.
package checkerpod
