package flannel

import (
	"context"
	"fmt"
	"path"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// dialTime bounds the wait for a connection to etcd.
const dialTime = 2 * time.Second

// readV3 reads a store over etcd's v3 interface.
func readV3(ctx context.Context, a access) (held, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*dialTime)
	defer cancel()
	client, err := clientv3.New(clientv3.Config{
		Context: ctx, Endpoints: a.endpoints, TLS: a.tls, Username: a.username, Password: a.password, DialTimeout: dialTime, Logger: zap.NewNop(), MaxUnaryRetries: 1,
	})
	if err != nil {
		return held{}, fmt.Errorf("connecting to etcd at %s: %w", strings.Join(a.endpoints, ", "), err)
	}
	defer func() { _ = client.Close() }()

	h := held{api: "v3"}
	config, err := client.Get(ctx, path.Join(a.prefix, "config"))
	if err != nil {
		return held{}, fmt.Errorf("reading %s/config from etcd at %s: %w", a.prefix, strings.Join(a.endpoints, ", "), err)
	}
	if len(config.Kvs) > 0 {
		h.config = config.Kvs[0].Value
	}
	folder := path.Join(a.prefix, "subnets") + "/"
	subnets, err := client.Get(ctx, folder, clientv3.WithPrefix(), clientv3.WithLimit(maxLeases))
	if err != nil {
		return held{}, fmt.Errorf("listing %s in etcd at %s: %w", folder, strings.Join(a.endpoints, ", "), err)
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
	return h, lifetimes(ctx, client, &h, a)
}

// lifetimes asks how long leases last.
func lifetimes(ctx context.Context, client *clientv3.Client, h *held, a access) error {
	for _, i := range toAsk(h.leases, a.own) {
		l := &h.leases[i]
		if l.reserved {
			continue
		}
		answer, err := client.TimeToLive(ctx, clientv3.LeaseID(l.id))
		if err != nil {
			return fmt.Errorf("asking etcd how long the lease of %s lasts: %w", l.subnet, err)
		}
		// -1 stands for a lease that has ended (etcd, api/etcdserverpb, LeaseTimeToLiveResponse).
		l.ttl = new(max(0, time.Duration(answer.TTL)*time.Second))
	}
	return nil
}
