package v1alpha1

// Machine is a machine that looked at itself, and through its agent at the others.
type Machine struct {
	// Name is the host's own name.
	Name string `json:"name"`
	// OS and its version, as /etc/os-release calls it.
	// +optional
	OS string `json:"os,omitempty"`
	// Kernel release.
	// +optional
	Kernel string `json:"kernel,omitempty"`
	// Agent tells whether an agent runs on the machine and answered.
	Agent bool `json:"agent"`
	// AgentsAsked is the number of other machines' agents that were asked through it.
	AgentsAsked int `json:"agentsAsked"`
	// AgentsSilent are the nodes among them whose agents gave no report.
	// +optional
	AgentsSilent []string `json:"agentsSilent,omitempty"`
	// APIServer is how the API server answers this machine; absent where nothing here says which it is.
	// +optional
	APIServer *APIServerSeen `json:"apiServer,omitempty"`
	// Running are the pods whose sandboxes run on the machine, where the API server cannot tell; absent
	// where it can, or the container runtime told nothing.
	// +optional
	Running []RunningPods `json:"running,omitempty"`
}

// APIServerSeen is how the API server answers one machine.
type APIServerSeen struct {
	// Server is its address, as a kubeconfig of the machine names it.
	Server string `json:"server"`
	// Answers tells whether it gave any HTTP answer.
	Answers bool `json:"answers"`
	// Message says why it does not, or how it says that it is not ready; empty where it is.
	// +optional
	Message string `json:"message,omitempty"`
}

// RunningPods are the pods of a namespace that run on a machine.
type RunningPods struct {
	// Namespace of the pods.
	Namespace string `json:"namespace"`
	// Pods is their number.
	Pods int `json:"pods"`
	// Names of some of them, sorted.
	Names []string `json:"names"`
}
