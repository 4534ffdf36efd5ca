// Package inservice takes pods that fail a Check out of their Services, and lets them in again. It does so
// by the pod condition maek.dev/in-service, which works on pods that name it in spec.readinessGates: the
// kubelet takes a pod for ready only while each of its gates is True, and EndpointSlices follow that.
//
// A health check that cuts traffic can do more harm than what it looks for. So everything here fails open:
//
//   - A pod that names the gate gets the condition True, reason NoVerdict, as soon as it is seen, whether or
//     not there is a Check. No rollout waits for a verdict.
//   - False is set on the red verdict of a check, written anew while that goes on, and ends as soon as the
//     check is green, is not heard of for three periods (90 seconds at least), rests, is deleted or asks for
//     it no more, as soon as a policy pauses or allows it no more, and after the policy's maxSeconds whatever
//     else is true. Every replica looks after that, the pod's owner first and the others a little later: what
//     one replica set does not outlive the next. Nobody's clock is trusted alone: a replica that has seen a
//     condition unchanged for that long by its own count gives the pod back too.
//
// # When a pod is taken out
//
// Two pure functions decide by a state that was gathered before: care, which looks after the conditions that
// there are or are missing, and candidates, which says who is to be taken out. candidates judges what this
// replica knows: the checks that it owns with their newest results. A pod that has failed failureThreshold runs
// in a row is taken out, unless one of the brakes holds: see the reasons in reason.go. What is left is examined
// against the API server itself, not the cache, asked once more from two places or more together with a pod of
// the same check that answers well, and examined again.
//
// # What is believed
//
// Who may patch the status of pods, write EndpointSlices or make pods may lie. So a condition that no entry of the
// ledger stands behind ends like one that nobody confirms; a slice makes no endpoint ready whose pod is not,
// which the Service does not select, or whose node is about to go; and pods that look like workloads of their
// own are bounded by their namespace's part of the bucket and by their node. Pauses are counted by the
// replica's own count of time as well as by the clocks that the ledger was written by.
//
// # Several replicas
//
// The pods of one Service may belong to checks of different replicas, and the budget is the cluster's. All
// take-outs therefore pass through one object: the Lease maek-in-service in the operator's namespace, which
// holds a ledger of them in an annotation. Whoever takes a pod out
//
//  1. reads the ledger, the pod, its Services, their EndpointSlices and the nodes of these;
//  2. counts every pod that the ledger has out as not ready, wherever it is, and judges floor and budget;
//  3. writes its own entry into the ledger, on the condition that nobody has written it since 1;
//  4. makes the pod's condition False, on the condition that the pod is the very version that it read in 1,
//     which the entry names.
//
// Two who race meet in 3: the second reads again and counts the first. One who dies or sleeps between 3 and 4
// leaves an entry that counts as out until the pod has another version; its late patch is refused from then
// on. So no clock is compared and no lock can lapse. Giving back needs none of this: it only makes more pods
// ready. Whether an entry is still out is read from the pod by whoever reserves next.
//
// # When every operator is gone
//
// A kubelet keeps a condition that is not its own. Pods that are out then stay out, and new pods that name the
// gate never get ready, until an operator runs again or somebody gives them back:
//
//	kubectl patch pod NAME -n NAMESPACE --subresource=status --type=strategic \
//	  -p '{"status":{"conditions":[{"type":"maek.dev/in-service","status":"True","reason":"Manual"}]}}'
//
// To uninstall, pause all CheckPolicies (or delete them), take the gate out of the pod templates, wait for
// their rollouts, and remove the operator last. A namespace that is annotated maek.dev/in-service: paused is
// let alone in the same way as by a policy that is paused.
package inservice
