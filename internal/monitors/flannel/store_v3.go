package flannel

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/metadata"

	"github.com/maek-dev/maek/internal/monitors/etcdconn"
)

const (
	// memberTime bounds what one member may take to answer.
	memberTime = 3 * time.Second
	// storeTime bounds all members together.
	storeTime = 10 * time.Second
)

// readV3 reads a store over etcd's v3 interface, of the first member that answers.
func readV3(ctx context.Context, a access) (held, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTime)
	defer cancel()
	var errs []error
	for _, endpoint := range a.endpoints {
		h, err := readMember(ctx, a, endpoint)
		if err == nil {
			return h, nil
		}
		errs = append(errs, err)
	}
	return held{}, errors.Join(errs...)
}

func readMember(ctx context.Context, a access, endpoint string) (held, error) {
	ctx, cancel := context.WithTimeout(ctx, memberTime)
	defer cancel()
	conn, err := etcdconn.Dial(endpoint, a.tls)
	if err != nil {
		return held{}, err
	}
	defer func() { _ = conn.Close() }()
	if ctx, err = authenticated(ctx, conn, a, endpoint); err != nil {
		return held{}, err
	}
	keys := pb.NewKVClient(conn.ClientConn)
	h := held{api: "v3"}
	config, err := keys.Range(ctx, &pb.RangeRequest{Key: []byte(path.Join(a.prefix, "config"))})
	if err != nil {
		return held{}, fmt.Errorf("reading %s/config from etcd at %s: %w", a.prefix, endpoint, why(conn, err))
	}
	if len(config.Kvs) > 0 {
		h.config = config.Kvs[0].Value
	}
	folder := path.Join(a.prefix, "subnets") + "/"
	// Of all keys that begin with the folder, the end is the folder with its slash one greater.
	end := strings.TrimSuffix(folder, "/") + string(rune('/'+1))
	subnets, err := keys.Range(ctx, &pb.RangeRequest{Key: []byte(folder), RangeEnd: []byte(end), Limit: maxLeases})
	if err != nil {
		return held{}, fmt.Errorf("listing %s in etcd at %s: %w", folder, endpoint, why(conn, err))
	}
	h.cut = subnets.More
	for _, kv := range subnets.Kvs {
		l, err := parseLease(strings.TrimPrefix(string(kv.Key), folder), kv.Value)
		if err != nil {
			h.strange = append(h.strange, err)
			continue
		}
		l.id, l.reserved = kv.Lease, kv.Lease == 0
		h.leases = append(h.leases, l)
	}
	inOrder(h.leases)
	return h, lifetimes(ctx, pb.NewLeaseClient(conn.ClientConn), &h, a)
}

// why is what the connection failed of where it did, of which gRPC has only the words.
func why(conn *etcdconn.Conn, err error) error {
	if dialled, _ := conn.Dialled(); dialled != nil {
		return dialled
	}
	return err
}

// authenticated is a context with the token that etcd gives for the user's name and password, where there
// are any (https://etcd.io/docs/latest/learning/design-auth-v3/).
func authenticated(ctx context.Context, conn *etcdconn.Conn, a access, endpoint string) (context.Context, error) {
	if a.username == "" {
		return ctx, nil
	}
	answer, err := pb.NewAuthClient(conn.ClientConn).Authenticate(ctx, &pb.AuthenticateRequest{Name: a.username, Password: a.password})
	switch {
	case errors.Is(rpctypes.Error(err), rpctypes.ErrAuthNotEnabled):
		return ctx, nil
	case err != nil:
		return nil, fmt.Errorf("logging in to etcd at %s: %w", endpoint, why(conn, err))
	}
	return metadata.AppendToOutgoingContext(ctx, rpctypes.TokenFieldNameGRPC, answer.Token), nil
}

// lifetimes asks how long leases last.
func lifetimes(ctx context.Context, leases pb.LeaseClient, h *held, a access) error {
	for _, i := range toAsk(h.leases, a.own) {
		l := &h.leases[i]
		if l.reserved {
			continue
		}
		answer, err := leases.LeaseTimeToLive(ctx, &pb.LeaseTimeToLiveRequest{ID: l.id})
		if err != nil {
			return fmt.Errorf("asking etcd how long the lease of %s lasts: %w", l.subnet, err)
		}
		// -1 stands for a lease that has ended (etcd, api/etcdserverpb, LeaseTimeToLiveResponse).
		l.ttl = new(max(0, time.Duration(answer.TTL)*time.Second))
	}
	return nil
}
