// Package kuberhealthy is Kuberhealthy's contract: what its objects, checker pods, reports, status
// pages and metrics look like to those who use them, in both of its versions. It is pure: it reads no
// cluster, keeps no state and knows no clock. Who runs checks is the operator's business, and who
// answers requests the status page's.
//
// Version 2 is the API group comcast.github.io/v1 and version 3 is kuberhealthy.github.io/v2
// (https://github.com/kuberhealthy/kuberhealthy, branches master and main).
package kuberhealthy
