package agents

import (
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/maek-dev/maek/internal/snapshot"
)

func snapshotOf(objects ...runtime.Object) *snapshot.Snapshot {
	b := snapshot.NewBuilder(moment, snapshot.Source{})
	for _, o := range objects {
		b.Add(o)
	}
	return b.Build()
}

func snapshotOfDeadServer() *snapshot.Snapshot {
	b := snapshot.NewBuilder(moment, snapshot.Source{})
	b.SetAPI(snapshot.API{Asked: true, Failure: &snapshot.APIFailure{Layer: snapshot.LayerConnect, Reason: snapshot.ConnectionRefused}})
	return b.Build()
}
