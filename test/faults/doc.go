// Package faults breaks a cluster on purpose and holds Maek's answer against the truth. A scenario
// is a folder below this one:
//
//	truth.yaml  what Maek must say, per environment
//	inject      shell: bring the fault about
//	armed       shell: exits 0 when the fault is live; shares no code with Maek
//	restore     shell: take the fault back
//
// The scripts get KUBECONFIG, PATH with kubectl and lab, and the names drawn for this run
// (WORKER, CONTROL_PLANE). Every run goes green, inject, armed, diagnose, restore, green. A run
// whose arm check fails is void: it says nothing about Maek.
package faults
