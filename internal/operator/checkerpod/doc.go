// Package checkerpod reads pods that run a check once, whoever's check it is: why one brought no result, how it
// ended, what it said last, and what the API server has against making it.
package checkerpod
