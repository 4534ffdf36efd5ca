// Package check runs Checks: it watches them, has the questions of those that this replica owns asked when
// they are due, and keeps the verdict in their status.
//
// What is asked, by whom and what the answer means is the business of the packages below it (see plan); when,
// that of due and of the scheduler. This one joins them, and decides:
//
//   - verdict: one run is one word, whatever the number of its targets (aggregate); thresholds make of runs a
//     verdict (internal/history), and retries show as a reason of their own (conditions).
//   - writing: memory goes before the cluster. A status is written when it says something else than before,
//     and else as a slow heartbeat, a few per second whatever happens; a write that meets another's is made
//     again upon that one (write).
//   - changing hands: whoever takes a check over begins with the verdict that is written, so that nothing
//     recovers because its replica died (adopt).
//
// While the API server is away this replica owns nothing, and writes nothing and makes no pods; what it ran
// last it goes on asking, for its metrics and to go on from there.
package check
