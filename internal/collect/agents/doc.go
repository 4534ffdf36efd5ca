// Package agents gets machines' reports from the agents that run on them. One agent is enough: it
// passes on those of its peers. It is reached through the API server, by port-forward, or, where that
// does not answer, at the address and by the key that were remembered when it last did. Whom it is
// spoken to is known by the key that the Node object names; no credential is shown to anybody else.
package agents
