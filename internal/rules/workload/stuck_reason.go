package workload

import (
	"regexp"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
)

// stuckReason is a way in which the start of a pod fails, told by the words of an Event.
type stuckReason struct {
	// text by which it is known; nil matches every message.
	text *regexp.Regexp
	// others marks what other rules tell: the start fails for a missing ConfigMap, say.
	others bool
	// onNode marks what is the node's own matter, whatever the pod.
	onNode    bool
	mechanism finding.Mechanism
	// field of the pod spec that is wrong, where there is one.
	field string
	says  finding.Text
	// look is a command to run on the node, where one tells more.
	look string
}

// mountReasons are why a volume cannot be attached or mounted (k8s.io/kubernetes/pkg/volume,
// pkg/controller/volume/attachdetach; nfs-utils, mount.nfs).
var mountReasons = []stuckReason{
	{text: regexp.MustCompile(`(?:configmap|secret) "[^"]*" not found|references non-existent (?:config|secret) key|object "[^"]*"/"[^"]*" not registered`), others: true},
	{
		text: regexp.MustCompile(`Multi-Attach error`), mechanism: v1alpha1.MechanismRefused, field: ".volumes",
		says: finding.Textf("its volume is still attached to another node", "volume이 아직 다른 노드에 연결되어 있습니다"),
	},
	{
		text: regexp.MustCompile(`not found in the list of registered CSI drivers`), onNode: true, mechanism: v1alpha1.MechanismMissing,
		says: finding.Textf("the node has no such CSI driver: the driver's node plugin does not run there", "노드에 CSI driver가 등록되어 있지 않습니다. driver의 node plugin이 실행되지 않는 상태입니다"),
	},
	{
		text: regexp.MustCompile(`hostPath type check failed`), mechanism: v1alpha1.MechanismMisconfigured, field: ".volumes",
		says: finding.Textf("the path on the node is not there, or is not what hostPath.type says", "노드에 해당 경로가 없거나 hostPath.type과 종류가 다릅니다"),
	},
	{
		text: regexp.MustCompile(`mount\.nfs: access denied|mount\.nfs: Operation not permitted`), mechanism: v1alpha1.MechanismUnauthorized, field: ".volumes",
		says: finding.Textf("the NFS server refuses the node", "NFS 서버가 노드의 접근을 거부합니다"),
	},
	{
		text: regexp.MustCompile(`mount\.nfs: (?:Connection (?:timed out|refused)|No route to host|Network is unreachable)|mount\.nfs: .*(?i:timed out)`), mechanism: v1alpha1.MechanismUnreachable, field: ".volumes",
		says: finding.Textf("the NFS server does not answer", "NFS 서버가 응답하지 않습니다"),
	},
	{
		text: regexp.MustCompile(`(?:bad option|wrong fs type).*mount\.<type> helper program|unknown filesystem type`), onNode: true, mechanism: v1alpha1.MechanismMissing,
		says: finding.Textf("the node lacks the program or kernel module for this file system", "노드에 이 파일 시스템용 mount 프로그램이나 커널 모듈이 없습니다"),
	},
	{
		text: regexp.MustCompile(`wrong fs type|can't read superblock|Structure needs cleaning`), mechanism: v1alpha1.MechanismFailing, field: ".volumes",
		says: finding.Textf("the file system on the volume cannot be read", "volume의 파일 시스템을 읽을 수 없습니다"),
	},
	{
		text: regexp.MustCompile(`AttachVolume\.Attach failed|external-attacher`), mechanism: v1alpha1.MechanismFailing, field: ".volumes",
		says: finding.Textf("its volume cannot be attached to the node", "volume을 노드에 연결하지 못합니다"),
	},
	{
		mechanism: v1alpha1.MechanismFailing, field: ".volumes",
		says: finding.Textf("a volume cannot be mounted", "volume을 mount하지 못합니다"),
	},
}

// sandboxReasons are why a pod's sandbox, its network foremost, cannot be made (containerd,
// internal/cri/server/sandbox_run.go; github.com/containernetworking/plugins; runc).
var sandboxReasons = []stuckReason{
	{
		text: regexp.MustCompile(`cni plugin not initialized|NetworkPluginNotReady|no networks found in /etc/cni`), onNode: true, mechanism: v1alpha1.MechanismMissing,
		says: finding.Textf("the node has no network plugin that is ready", "노드에 준비된 network plugin이 없습니다"), look: "ls -l /etc/cni/net.d /opt/cni/bin",
	},
	{
		text: regexp.MustCompile(`loadFlannelSubnetEnv failed|/run/flannel/subnet\.env`), onNode: true, mechanism: v1alpha1.MechanismStopped,
		says: finding.Textf("flannel has not written its subnet on the node: flanneld does not run there", "노드에 flannel subnet 파일이 없습니다. flanneld가 실행되지 않는 상태입니다"), look: "systemctl status flanneld; ls -l /run/flannel",
	},
	{
		text: regexp.MustCompile(`no IP addresses available|no available IPs|failed to allocate for range`), onNode: true, mechanism: v1alpha1.MechanismExhausted,
		says: finding.Textf("the node has no pod address left", "노드에 남은 Pod IP 주소가 없습니다"), look: "ls /var/lib/cni/networks/* | wc -l",
	},
	{
		text: regexp.MustCompile(`failed to find plugin`), onNode: true, mechanism: v1alpha1.MechanismMissing,
		says: finding.Textf("a program of the network plugin is missing on the node", "노드에 network plugin 실행 파일이 없습니다"), look: "ls -l /opt/cni/bin",
	},
	{
		text: regexp.MustCompile(`no runtime for "[^"]*" is configured|unknown runtime handler`), mechanism: v1alpha1.MechanismMisconfigured, field: ".runtimeClassName",
		says: finding.Textf("the node's container runtime does not know the handler of its RuntimeClass", "노드의 컨테이너 runtime이 RuntimeClass handler를 알지 못합니다"), look: "containerd config dump | grep -A3 runtimes",
	},
	{
		text: regexp.MustCompile(`failed to get sandbox image|sandbox image .* not found`), onNode: true, mechanism: v1alpha1.MechanismMissing,
		says: finding.Textf("the node cannot get the sandbox image (pause)", "노드가 sandbox 이미지(pause)를 받지 못합니다"), look: "crictl images | grep pause",
	},
	{
		text: regexp.MustCompile(`(?i)(?:cilium|calico|flannel|weave|antrea|ovn|kube-router|multus|aws-cni|ipamd|cni)[^"]*(?:connection refused|connect: no such file|is the agent running|failed to connect|dial unix)|dial unix [^ ]*(?:cilium|calico|cni|multus|antrea|ovn)`), onNode: true, mechanism: v1alpha1.MechanismStopped,
		says: finding.Textf("the network plugin's own daemon does not answer on the node", "노드에서 network plugin의 daemon이 응답하지 않습니다"), look: "crictl ps -a | grep -iE 'cilium|calico|flannel|weave|antrea|ovn|multus|aws-node'",
	},
	{
		text: regexp.MustCompile(`connection is unauthorized|[Uu]nauthorized`), onNode: true, mechanism: v1alpha1.MechanismUnauthorized,
		says: finding.Textf("the API server refuses the network plugin's credentials", "API server가 network plugin의 자격 증명을 거부합니다"), look: "ls -l /etc/cni/net.d",
	},
	{
		text: regexp.MustCompile(`(?:setup|set up|setting up)[^:]* network`), onNode: true, mechanism: v1alpha1.MechanismFailing,
		says: finding.Textf("its network cannot be set up on the node", "노드에서 Pod 네트워크를 구성하지 못합니다"), look: "journalctl -u containerd --since -10min | grep -i cni",
	},
	{
		text: regexp.MustCompile(`no space left on device`), onNode: true, mechanism: v1alpha1.MechanismExhausted,
		says: finding.Textf("the node's disk is full", "노드의 디스크가 가득 찼습니다"), look: "df -h; df -i",
	},
	{
		text: regexp.MustCompile(`[Rr]esource temporarily unavailable|cannot allocate memory`), onNode: true, mechanism: v1alpha1.MechanismExhausted,
		says: finding.Textf("the node can start no more processes", "노드에서 더 이상 프로세스를 시작할 수 없습니다"), look: "cat /proc/sys/kernel/pid_max; ps -e | wc -l; free -h",
	},
	{
		onNode: true, mechanism: v1alpha1.MechanismFailing,
		says: finding.Textf("its sandbox cannot be made on the node", "노드에서 Pod sandbox를 만들지 못합니다"), look: "journalctl -u containerd --since -10min",
	},
}

// resourceReasons are why the devices that a pod claims cannot be prepared on its node
// (k8s.io/kubernetes/pkg/kubelet/events, FailedPrepareDynamicResources).
var resourceReasons = []stuckReason{{
	onNode: true, mechanism: v1alpha1.MechanismFailing,
	says: finding.Textf("the devices that it claims cannot be prepared on the node", "요청한 device를 노드에서 준비하지 못합니다"),
}}

// stuckEvents are the reasons of the Events that tell why a pod does not start
// (k8s.io/kubernetes/pkg/kubelet/events/event.go), with what their messages may say.
var stuckEvents = map[string][]stuckReason{
	"FailedMount": mountReasons, "FailedAttachVolume": mountReasons, "FailedMapVolume": mountReasons,
	"FailedCreatePodSandBox": sandboxReasons, "NetworkNotReady": sandboxReasons,
	"FailedPrepareDynamicResources": resourceReasons,
}

// reasonFor finds what a message says.
func reasonFor(reasons []stuckReason, message string) stuckReason {
	for _, r := range reasons {
		if r.text == nil || r.text.MatchString(message) {
			return r
		}
	}
	return stuckReason{}
}
