// Package bundle keeps a snapshot on disk and reads it back: a folder, a tar archive (gzipped or
// not) or a single file, written by Write or put together by hand.
//
// What it reads, under any number of folders on top:
//
//	MANIFEST.json                          written by Write: moment, coverage, API server, answers; optional
//	*.json, *.yaml, *.yml                  Kubernetes objects: lists as kubectl get prints them, single ones, several documents
//	custom/GROUP/RESOURCE.json             custom resources, written by Write; they are read wherever they lie
//	logs/NAMESPACE/POD/CONTAINER.log       end of a container's log; .previous.log is its previous run's
//	metrics/kube-apiserver.txt             the API server's metrics that rules read, written by Write
//	machines/NODE/report.json              an agent's report
//	NAMESPACE/POD/logs.txt                 as kubectl cluster-info dump writes them
//	cluster-resources/...                  a Troubleshoot support bundle; other files of one are left alone
//	cluster-scoped-resources/..., namespaces/NAMESPACE/...  what oc adm must-gather writes
//
// How far a kind counts as read. The manifest says it where there is one. Without, a kind that a list
// holds is complete, with these exceptions: a list that says it goes on (metadata.continue) or breaks
// off is a part; when all lists together show a single namespace, they were probably taken with -n,
// so namespaced kinds are confined to it; a cluster-info dump covers the namespaces that it has
// folders of, which are all of them only if kube-public and kube-node-lease, which nobody asks for by
// name, are among them; a support bundle covers the namespaces that a kind has files of, held against
// its namespaces.json; a must-gather covers the
// cluster-scoped objects and the namespaces that it has folders of. A kind of which only single objects are there is a part. A kind that appears
// nowhere was not collected.
//
// The moment is the manifest's, else the newest time that the API server wrote into the objects, else
// (where no Lease shows its managed fields, as kubectl get hides them) the newest time that the
// objects mention, never the reader's clock.
//
// A bundle comes from anywhere, so nothing in it is trusted: nothing is written to disk, links are
// not followed, names that lead outside are refused, and sizes are bounded.
package bundle
