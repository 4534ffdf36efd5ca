package storage

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	stats "k8s.io/kubelet/pkg/apis/stats/v1alpha1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "VolumeFull",
	Title: finding.Text{EN: "volume is full", KO: "volume이 가득 찼습니다"},
	Doc: finding.Text{
		EN: "The file system on a volume has no bytes or no inodes left, so what writes to it fails. The kubelet is asked for what it measures, " +
			"on nodes where a pod with a volume crashes or is not ready; what a container says of a full disk and how full the node's own disk is are told beside it, for the " +
			"two look alike in a log. A volume of which more than nine tenths are used is told as info. Left alone: volumes on nodes that were not asked, and raw block volumes, which nobody measures.",
		KO: "volume의 파일 시스템에 남은 용량이나 inode가 없어 쓰기가 실패합니다. volume을 쓰는 Pod가 비정상 종료되거나 Ready가 아닌 노드의 kubelet에 측정값을 물어봅니다. " +
			"로그만으로는 노드 디스크가 가득 찬 경우와 구분되지 않으므로, 컨테이너의 메시지와 노드 자체의 디스크 사용률을 함께 알립니다. 90% 넘게 사용한 volume은 info로 알립니다. " +
			"물어보지 않은 노드의 volume과 측정되지 않는 raw block volume은 제외합니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/storage/persistent-volumes/#expanding-persistent-volumes-claims",
	Severity: finding.Warning,
	Needs: owners(rule.Any[*corev1.PersistentVolumeClaim](), rule.Optional[*storagev1.StorageClass](), rule.Optional[*corev1.PersistentVolume](),
		rule.Optional[*coordinationv1.Lease]()),
	Detect: volumeFull,
})

const (
	// nodesAsked bounds how many kubelets are asked what they measure.
	nodesAsked = 8
	// unwellFor is how long a pod must not have been ready for its node's kubelet to be asked.
	unwellFor = time.Minute
)

// spaceWords are how programs say that they cannot write any more (errno ENOSPC and EDQUOT).
var spaceWords = regexp.MustCompile(`(?i)no space left on device|disk(?: is)? full|ENOSPC|disk quota exceeded|not enough (?:disk )?space`)

// sick is a pod with claims that does not work.
type sick struct {
	pod       *corev1.Pod
	container string // one that ended in error; empty where none did
	previous  bool
	since     time.Time
}

func volumeFull(p *rule.Pass) {
	if p.Len(snapshot.KindOf[*corev1.PersistentVolumeClaim]()) == 0 {
		return
	}
	byNode := map[string][]sick{}
	var nodes []string
	for _, pod := range snapshot.List[*corev1.Pod](p.Snapshot) {
		s, ok := sickWithVolume(p, pod)
		if !ok {
			continue
		}
		if byNode[pod.Spec.NodeName] == nil {
			nodes = append(nodes, pod.Spec.NodeName)
		}
		byNode[pod.Spec.NodeName] = append(byNode[pod.Spec.NodeName], s)
	}
	slices.Sort(nodes)
	told := map[finding.Subject]bool{}
	for _, node := range nodes[:min(len(nodes), nodesAsked)] {
		answer, ok := p.Ask(snapshot.Question{Kind: snapshot.KubeletStats, Name: node})
		if !ok || answer.Outcome != snapshot.Answered {
			continue
		}
		var measured stats.Summary
		if err := json.Unmarshal([]byte(answer.Text), &measured); err != nil {
			continue
		}
		for _, pod := range measured.Pods {
			for _, v := range pod.VolumeStats {
				if v.PVCRef == nil {
					continue
				}
				subject := finding.Subject{Kind: "PersistentVolumeClaim", Namespace: v.PVCRef.Namespace, Name: v.PVCRef.Name}
				f, full := fullVolume(p, subject, fileSystem(v.FsStats), measured.Node.Fs, node, byNode[node], answer.At)
				if full && !told[subject] {
					told[subject] = true
					p.Report(f)
				}
			}
		}
	}
}

// sickWithVolume tells whether a pod mounts a claim, runs on a node that reports, and does not work.
func sickWithVolume(p *rule.Pass, pod *corev1.Pod) (sick, bool) {
	if pod.Spec.NodeName == "" || pod.DeletionTimestamp != nil || snapshot.PodDone(pod) || snapshot.PodReady(pod) ||
		p.Now().Sub(snapshot.NotReadySince(pod)) < unwellFor || p.Writer(snapshot.KubeletOn(pod.Spec.NodeName)).State == snapshot.Dead {
		return sick{}, false
	}
	s := sick{pod: pod, since: snapshot.NotReadySince(pod)}
	mounted := false
	for range claimNames(pod) {
		mounted = true
		break
	}
	started := false
	for _, c := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		started = started || c.State.Running != nil || c.RestartCount > 0 || c.State.Terminated != nil
		switch {
		case s.container != "":
		case c.State.Terminated != nil && c.State.Terminated.ExitCode != 0:
			s.container = c.Name
		case c.LastTerminationState.Terminated != nil && c.LastTerminationState.Terminated.ExitCode != 0:
			s.container, s.previous = c.Name, true
		}
	}
	return s, mounted && started
}

// fullVolume tells of a volume that is full or nearly so.
func fullVolume(p *rule.Pass, subject finding.Subject, fs fileSystem, disk *stats.FsStats, node string, unwell []sick, at time.Time) (finding.Finding, bool) {
	used, _ := fs.used()
	inodes, _ := fs.inodesUsed()
	worst := max(used, inodes)
	if worst < nearlyFullPercent {
		return finding.Finding{}, false
	}
	f := finding.Finding{
		Subject: subject, Mechanism: v1alpha1.MechanismExhausted, Field: ".spec.resources.requests.storage",
		Evidence: []finding.Evidence{{
			Source: "kubelet on " + node, Path: "/stats/summary volume " + finding.Qualified(subject), Value: fs.words(), At: finding.Timestamp(at),
		}},
	}
	what := finding.Textf("%d %% of its bytes", "용량의 %d%%", used)
	if inodes > used {
		what = finding.Textf("%d %% of its inodes", "inode의 %d%%", inodes)
	}
	name := finding.Qualified(subject)
	if worst < fullPercent {
		f.Severity = finding.Info
		f.Title = finding.Format("claim %s: its volume is nearly full, %s are used", "PersistentVolumeClaim %s: volume이 거의 찼습니다(%s 사용)", finding.Verbatim(name), what)
		f.Why = finding.Verbatim(fs.words())
		f.Remedies = growRemedies(p, subject)
		return f, true
	}
	var names []string
	for _, s := range unwell {
		if s.pod.Namespace != subject.Namespace || !mountsClaim(s.pod, subject.Name) {
			continue
		}
		f.Since = finding.Earlier(f.Since, s.since)
		f.Explains = append(f.Explains, snapshot.SubjectOf(s.pod), p.Workload(s.pod))
		names = append(names, finding.Named(p.Workload(s.pod)))
		f.Evidence = append(f.Evidence, lastWordsOf(p, s)...)
	}
	slices.SortFunc(f.Explains, finding.CompareSubjects)
	f.Explains = slices.Compact(f.Explains)
	f.Title = finding.Format("claim %s: its volume is full, %s are used", "PersistentVolumeClaim %s: volume이 가득 찼습니다(%s 사용)", finding.Verbatim(name), what)
	effect := finding.Text{EN: "the pods that mount it are ready yet", KO: "이 volume을 쓰는 Pod는 아직 Ready입니다"}
	if len(names) > 0 {
		effect = finding.Format("%s writes to it and does not work", "이 volume에 쓰는 %s가 동작하지 않습니다", finding.List(names))
	}
	f.Why = finding.Join("; ", finding.Verbatim(fs.words()), effect)
	if disk != nil {
		root := fileSystem(*disk)
		if share, ok := root.used(); ok && share < fullPercent {
			f.RuledOut = append(f.RuledOut, finding.Statement{
				Text:     finding.Textf("the disk of node %s is full: %d %% of it are used", "노드 %s의 디스크 부족: %d%% 사용 중입니다", node, share),
				Evidence: []finding.Evidence{{Source: "kubelet on " + node, Path: "/stats/summary node.fs", Value: root.words(), At: finding.Timestamp(at)}},
			})
		}
	}
	f.Remedies = growRemedies(p, subject)
	return f, true
}

func mountsClaim(pod *corev1.Pod, claim string) bool {
	for name := range claimNames(pod) {
		if name == claim {
			return true
		}
	}
	return false
}

// lastWordsOf asks a container that ended for its log, and quotes it where it speaks of a full disk.
func lastWordsOf(p *rule.Pass, s sick) []finding.Evidence {
	if s.container == "" {
		return nil
	}
	answer, ok := p.Ask(snapshot.Question{
		Kind: snapshot.ContainerLog, Namespace: s.pod.Namespace, Name: s.pod.Name, Container: s.container, Previous: s.previous,
	})
	if !ok || answer.Outcome != snapshot.Answered {
		return nil
	}
	for _, line := range slices.Backward(strings.Split(answer.Text, "\n")) {
		if spaceWords.MatchString(line) {
			return []finding.Evidence{{
				Source: finding.Named(snapshot.SubjectOf(s.pod)), Path: "log of " + s.container, Value: finding.Quote(line), At: finding.Timestamp(answer.At),
			}}
		}
	}
	return nil
}

// growRemedies say how to get room: by growing the volume, where its class allows that.
func growRemedies(p *rule.Pass, subject finding.Subject) finding.Remedies {
	var r finding.Remedies
	c, ok := snapshot.Get[*corev1.PersistentVolumeClaim](p.Snapshot, subject.Namespace, subject.Name)
	if ok {
		name, _ := classOf(c)
		class, known := snapshot.Get[*storagev1.StorageClass](p.Snapshot, "", name)
		size := c.Status.Capacity[corev1.ResourceStorage]
		switch {
		case known && class.AllowVolumeExpansion != nil && *class.AllowVolumeExpansion:
			r.Now = append(r.Now, finding.Remedy{
				Text: finding.Textf("grow it: StorageClass %s allows that, and a volume never shrinks again", "volume을 늘립니다. StorageClass %s가 확장을 허용하며, 다시 줄일 수는 없습니다", name),
				Command: fmt.Sprintf(`kubectl -n %s patch persistentvolumeclaim %s -p '{"spec":{"resources":{"requests":{"storage":"%s"}}}}'`,
					subject.Namespace, subject.Name, larger(size)),
			})
		case known:
			r.Now = append(r.Now, finding.Remedy{
				Text: finding.Textf("it cannot be grown as it is: StorageClass %s does not allow that; copy its data to a larger claim", "StorageClass %s가 확장을 허용하지 않아 늘릴 수 없습니다. 더 큰 claim으로 데이터를 옮깁니다", name),
			})
		}
	}
	r.Now = append(r.Now, finding.Remedy{
		Text:    finding.Text{EN: "or make room in it: see from a pod that mounts it what takes the space", KO: "또는 volume을 mount한 Pod에서 무엇이 공간을 쓰는지 확인하고 비웁니다"},
		Command: fmt.Sprintf("kubectl -n %s get pods -o wide; kubectl -n %[1]s describe persistentvolumeclaim %s", subject.Namespace, subject.Name),
	})
	r.Later = []finding.Remedy{{Text: finding.Text{
		EN: "alert on kubelet_volume_stats_available_bytes and kubelet_volume_stats_inodes_free at a tenth of the whole, and rotate what grows",
		KO: "kubelet_volume_stats_available_bytes와 kubelet_volume_stats_inodes_free가 10% 아래로 내려가면 알림을 보내고, 계속 커지는 데이터는 정리 주기를 둡니다",
	}}}
	return r
}
