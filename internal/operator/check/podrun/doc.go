// Package podrun runs the Checks whose question is a pod: synthetic, which plays a scenario, and podTemplate, a
// pod of the user's own.
//
// The pod of a run is all that is known of it. Its name follows from the check and the slot that the run is of, so
// that whoever runs the check next finds it and goes on, and of two who run it at once the second finds the pod of
// the first. It stays until its result is recorded (Clear): before that, a replica that takes over reads the result
// from the pod and does not ask again.
//
// What a run comes to:
//
//   - Success: every container ended with exit code 0, or the scenario says that nothing failed.
//   - Failure: a container ended otherwise, or was still at work when the timeout came; the scenario says what
//     failed.
//   - Unknown: nobody was asked. The pod found no node, its image could not be had, it was evicted, deleted, killed
//     for memory, its node was lost, or the API server did not answer. Its reasons are those of Kuberhealthy's
//     checker pods (checkerpod.Reason). To call that a failure would wake people for a target that is well; the
//     verdict of a check that stays Unknown becomes Unknown, never healthy.
//   - A plan.Refusal: the API server, or this package, does not take the pod until somebody changes something.
package podrun
