// Package faults breaks a cluster on purpose and holds Maek's answer against the truth. A scenario
// is a folder below this one:
//
//	truth.yaml         what Maek must say, per environment
//	inject             on the lab, shell: bring the fault about
//	armed              on the lab, shell: exits 0 when the fault is live
//	restore            on the lab, shell: take the fault back
//	controlplane.yaml  on a control plane, steps and what shows that the fault is live (Script)
//
// Every run goes green, inject, armed, diagnose, restore, green. What shows that a fault is live
// shares no code with Maek. A run that is not armed is void: it says nothing about Maek.
//
// The lab is a real cluster on one machine; its scripts get KUBECONFIG, PATH with kubectl, LAB and MAEK,
// the programs, and the names drawn for this run (WORKER, OTHER, CONTROL_PLANE). What is done there is
// looked at in up to three ways, each with a truth of its own: from outside by the API server alone
// (lab), from outside with the reports of agents (agents), and by a machine for itself (machine). A control
// plane (package controlplane) has real processes and nodes that are code; its steps are undone by
// themselves, and it serves many scenarios one after another, unless a scenario asks for one of its
// own. There the names are:
//
//	SHOP             the namespace of the application
//	WORKER, OTHER    w1 and w2, or w2 and w1
//	WORKER_POD_CIDR  the pod addresses of WORKER
//	DNS              the address of the cluster's name server
//	APISERVER        host and port of the API server
//	OTHER_CA         a certificate authority that has signed nothing, in PEM and base64
//
// Names are drawn from a seed that is printed; -seed draws them again.
package faults
