package etcd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strconv"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/metadata"
)

// patience is how long one question to a member may take.
const patience = 2 * time.Second

// member is one of the cluster, as its list or its configuration names it.
type member struct {
	// ID in the cluster; zero where only its name is known.
	ID uint64 `json:"id"`
	// Name of the member; empty while it never started.
	Name string `json:"name"`
	// PeerURLs and ClientURLs of the member.
	PeerURLs   []string `json:"peerURLs"`
	ClientURLs []string `json:"clientURLs"`
	// Learner tells that it has no vote.
	Learner bool `json:"learner,omitempty"`
	// LearnerSince is when it was first seen without a vote.
	LearnerSince time.Time `json:"learnerSince,omitzero"`
}

// key is how evidence names the member: by its ID, or by its name while no list could be read.
func (m member) key() string {
	if m.ID == 0 {
		return m.Name
	}
	return formatID(m.ID)
}

func formatID(id uint64) string { return strconv.FormatUint(id, 16) }

// view is what one member says of itself and the cluster.
type view struct {
	url    string
	answer string
	reason string
	took   time.Duration
	// status is nil where it did not answer.
	status *pb.StatusResponse
	// quorumRead says how a read went that a majority must agree to, ownRead one of the member's alone.
	quorumRead, quorumReason string
	quorumTook               time.Duration
	ownRead                  string
	certificate              certificate
	// members is its own list, where it was asked for.
	members []member
	cluster uint64
	// id of the member; zero where it did not say.
	id uint64
	// old is what a member says that knows the second API alone.
	old *oldView
}

// certificate is what a member showed.
type certificate struct {
	subject string
	expires time.Time
}

// ask looks at one member: is it there, what does it say, does a majority stand behind it.
func ask(ctx context.Context, clientURL string, config *tls.Config, now func() time.Time, list bool) (view, error) {
	v := view{url: clientURL}
	l, err := dial(clientURL, config)
	if err != nil {
		return v, err
	}
	defer func() { _ = l.Close() }()
	began := now()
	v.status, err = bounded(ctx, func(ctx context.Context) (*pb.StatusResponse, error) {
		return pb.NewMaintenanceClient(l.ClientConn).Status(ctx, &pb.StatusRequest{})
	})
	v.took = now().Sub(began)
	v.answer, v.reason = l.classify(err)
	if c := l.Shown(); c != nil {
		v.certificate = certificate{c.Subject.CommonName, c.NotAfter}
	}
	if err != nil {
		v.status = nil
		return v, nil
	}
	v.cluster, v.id = v.status.GetHeader().GetClusterId(), v.status.GetHeader().GetMemberId()
	if list {
		v.members = listMembers(ctx, l)
	}
	// A member without a vote refuses reads (rpctypes.ErrGRPCNotSupportedForLearner).
	if !v.status.IsLearner {
		v.read(ctx, l, now)
	}
	return v, nil
}

// read gets a key that need not exist, as etcdctl endpoint health does.
func (v *view) read(ctx context.Context, l *line, now func() time.Time) {
	const probe = "health"
	get := func(own bool) error {
		_, err := bounded(ctx, func(ctx context.Context) (*pb.RangeResponse, error) {
			if !own {
				// So asked, a member that knows of no leader says so instead of waiting for one.
				ctx = metadata.AppendToOutgoingContext(ctx, rpctypes.MetadataRequireLeaderKey, rpctypes.MetadataHasLeader)
			}
			return pb.NewKVClient(l.ClientConn).Range(ctx, &pb.RangeRequest{Key: []byte(probe), Serializable: own})
		})
		if errors.Is(rpctypes.Error(err), rpctypes.ErrPermissionDenied) || errors.Is(rpctypes.Error(err), rpctypes.ErrUserEmpty) {
			return nil // It agreed on who may read: that takes a majority too.
		}
		return err
	}
	began := now()
	err := get(false)
	v.quorumTook = now().Sub(began)
	v.quorumRead, v.quorumReason = l.classify(err)
	v.ownRead = answered
	if err != nil {
		v.ownRead, _ = l.classify(get(true))
	}
}

// listMembers is the member's own list, without asking the others. Servers before 3.5 know no other.
func listMembers(ctx context.Context, l *line) []member {
	r, err := bounded(ctx, func(ctx context.Context) (*pb.MemberListResponse, error) {
		return pb.NewClusterClient(l.ClientConn).MemberList(ctx, &pb.MemberListRequest{Linearizable: false})
	})
	if err != nil {
		return nil
	}
	var out []member
	for _, m := range r.Members {
		out = append(out, member{ID: m.ID, Name: m.Name, PeerURLs: m.PeerURLs, ClientURLs: m.ClientURLs, Learner: m.IsLearner})
	}
	return out
}

func bounded[T any](ctx context.Context, call func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return call(ctx)
}

// Hash is a member's hash of all keys and values at one revision.
type Hash struct {
	// Member is the ID of the member, in hexadecimal digits.
	Member string
	// URL at which it was asked.
	URL string
	// Hash of its keys up to Revision. Hashes may be compared where both Revision and CompactRevision
	// are the same.
	Hash uint32
	// Revision up to which it was made, and CompactRevision from which.
	Revision, CompactRevision int64
}

// hashOf makes a member read its whole database.
func hashOf(ctx context.Context, clientURL string, config *tls.Config, revision int64) (Hash, error) {
	l, err := dial(clientURL, config)
	if err != nil {
		return Hash{}, err
	}
	defer func() { _ = l.Close() }()
	r, err := pb.NewMaintenanceClient(l.ClientConn).HashKV(ctx, &pb.HashKVRequest{Revision: revision})
	if err != nil {
		return Hash{}, fmt.Errorf("asking %s for the hash of its keys: %w", clientURL, err)
	}
	return Hash{
		Member: formatID(r.Header.MemberId), URL: clientURL, Hash: r.Hash, Revision: revision, CompactRevision: r.CompactRevision,
	}, nil
}
