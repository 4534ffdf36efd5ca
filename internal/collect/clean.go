package collect

import (
	"crypto/sha256"
	"fmt"
	"regexp"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/internal/secret"
	"github.com/maek-dev/maek/internal/snapshot"
)

// Clean prepares an object for a snapshot, in place: it trims what no rule reads, and takes out what
// is or looks like a credential, before a report, a bundle or an Incident can pass it on. Values of
// Secrets, ConfigMaps, annotations that nothing reads and environment variables go whatever they
// are. So do the parameters of volume drivers that are not known to be plain, and requests for
// certificates. Out of commands, probes, addresses and messages goes what Redact knows; a secret in a
// shape of its own stays in those. Cleaning twice changes nothing, so that an object out of a bundle is the same as it
// was live.
//
// In a pod template the values of annotations and of literal environment variables become
// fingerprints: whether two revisions differ in one can be told, and what it was can not. Of a Pod's
// own variables snapshot.Trim has left no more than the addresses of Services.
func Clean(o snapshot.Object) {
	snapshot.Trim(o)
	cleanAnnotations(o.GetAnnotations())
	cleanMessages(o)
	cleanSettings(o)
	switch o := o.(type) {
	case *corev1.Pod:
		cleanPodSpec(&o.Spec)
		cleanRun(o.Labels)
	case *corev1.ReplicationController:
		if o.Spec.Template != nil {
			cleanTemplate(o.Spec.Template)
		}
	case *corev1.PodTemplate:
		cleanTemplate(&o.Template)
	case *appsv1.Deployment:
		cleanTemplate(&o.Spec.Template)
	case *appsv1.ReplicaSet:
		cleanTemplate(&o.Spec.Template)
	case *appsv1.StatefulSet:
		for i := range o.Spec.VolumeClaimTemplates {
			cleanAnnotations(o.Spec.VolumeClaimTemplates[i].Annotations)
		}
		cleanTemplate(&o.Spec.Template)
	case *appsv1.DaemonSet:
		cleanTemplate(&o.Spec.Template)
	case *batchv1.Job:
		cleanTemplate(&o.Spec.Template)
	case *batchv1.CronJob:
		cleanAnnotations(o.Spec.JobTemplate.Annotations)
		cleanTemplate(&o.Spec.JobTemplate.Spec.Template)
	default:
		cleanCheck(o)
	}
}

// cleanAnnotations redacts the annotations that snapshot.Trim keeps: Maek's own hold words of people.
func cleanAnnotations(annotations map[string]string) {
	for key, value := range annotations {
		annotations[key] = secret.Redact(value)
	}
}

// restartedAt is the template annotation with which kubectl rollout restart makes a revision; it holds
// a time (k8s.io/kubectl/pkg/polymorphichelpers/objectrestarter.go).
const restartedAt = "kubectl.kubernetes.io/restartedAt"

func cleanTemplate(t *corev1.PodTemplateSpec) {
	for key, value := range t.Annotations {
		if key != restartedAt {
			t.Annotations[key] = fingerprint(value)
		}
	}
	for i := range t.Spec.InitContainers {
		cleanEnv(t.Spec.InitContainers[i].Env)
	}
	for i := range t.Spec.Containers {
		cleanEnv(t.Spec.Containers[i].Env)
	}
	for i := range t.Spec.EphemeralContainers {
		cleanEnv(t.Spec.EphemeralContainers[i].Env)
	}
	cleanPodSpec(&t.Spec)
}

func cleanEnv(env []corev1.EnvVar) {
	for i := range env {
		env[i].Value = fingerprint(env[i].Value)
	}
}

func cleanPodSpec(spec *corev1.PodSpec) {
	cleanPodVolumes(spec.Volumes)
	for i := range spec.InitContainers {
		cleanContainer(&spec.InitContainers[i])
	}
	for i := range spec.Containers {
		cleanContainer(&spec.Containers[i])
	}
	for i := range spec.EphemeralContainers {
		c := corev1.Container(spec.EphemeralContainers[i].EphemeralContainerCommon)
		// What it points to is shared with the copy; literal values are not.
		cleanContainer(&c)
		spec.EphemeralContainers[i].EphemeralContainerCommon = corev1.EphemeralContainerCommon(c)
	}
}

func cleanContainer(c *corev1.Container) {
	// They are one command line: the last word of the one may be the flag of the first word of the other.
	line := slices.Concat(c.Command, c.Args)
	redactAll(line)
	copy(c.Command, line)
	copy(c.Args, line[len(c.Command):])
	for _, p := range []*corev1.Probe{c.LivenessProbe, c.ReadinessProbe, c.StartupProbe} {
		if p != nil {
			cleanAction(p.Exec, p.HTTPGet)
		}
	}
	if c.Lifecycle != nil {
		for _, h := range []*corev1.LifecycleHandler{c.Lifecycle.PostStart, c.Lifecycle.PreStop} {
			if h != nil {
				cleanAction(h.Exec, h.HTTPGet)
			}
		}
	}
}

func cleanAction(exec *corev1.ExecAction, get *corev1.HTTPGetAction) {
	if exec != nil {
		redactAll(exec.Command)
	}
	if get != nil {
		get.Path = secret.Redact(cleanQuery(get.Path))
		for i, h := range get.HTTPHeaders {
			if plainHeader.MatchString(h.Name) {
				get.HTTPHeaders[i].Value = secret.Redact(h.Value)
			} else {
				get.HTTPHeaders[i].Value = secret.Blot
			}
		}
	}
}

// plainHeader are the request headers that carry no credentials.
var plainHeader = regexp.MustCompile(`(?i)^(?:host|accept(?:-[a-z]+)?|content-type|connection|user-agent|x-forwarded-(?:for|host|port|proto))$`)

// cleanQuery blots the values in the query of a path, under whose names anything may stand.
func cleanQuery(target string) string {
	address, query, _ := strings.Cut(target, "?")
	if query == "" {
		return target
	}
	parameters := strings.Split(query, "&")
	for i, p := range parameters {
		if name, value, _ := strings.Cut(p, "="); value != "" {
			parameters[i] = name + "=" + secret.Blot
		}
	}
	return address + "?" + strings.Join(parameters, "&")
}

// redactAll redacts the words of a command line.
func redactAll(words []string) {
	for i, w := range words {
		words[i] = secret.Redact(w)
		switch {
		case i == 0:
		case credentialFlag.MatchString(words[i-1]), words[i-1] == "-a" && slices.ContainsFunc(words, redisClient.MatchString):
			words[i] = secret.Blot
		case userFlag.MatchString(words[i-1]):
			if user, password, _ := strings.Cut(words[i], ":"); password != "" {
				words[i] = user + ":" + secret.Blot
			}
		case strings.HasPrefix(w, "-p") && len(w) > len("-p") && slices.ContainsFunc(words, mysqlClient.MatchString):
			words[i] = "-p" + secret.Blot
		}
	}
}

var (
	// credentialFlag is a flag whose value is the next word.
	credentialFlag = regexp.MustCompile(`(?i)^--?[\w-]*(?:password|passwd|passphrase|secret|token|api-?key|access-?key|pass)$`)
	// userFlag is a flag, as of curl, whose value is the next word and may be user:password.
	userFlag = regexp.MustCompile(`^(?:-u|--user)$`)
	// redisClient takes a password as the word after -a.
	redisClient = regexp.MustCompile(`(?:^|/)(?:redis|valkey)-cli$`)
	// mysqlClient are programs that take a password as -pPASSWORD.
	mysqlClient = regexp.MustCompile(`(?:^|/)(?:mysql|mariadb)[\w-]*$`)
)

// fingerprinted is what fingerprint makes.
var fingerprinted = regexp.MustCompile(`^~[0-9a-f]{4}$`)

// fingerprint stands for a literal value. It has 16 bits: enough to see a change in all but one of
// 65,536, and too few to confirm a guess at a password, for which one in as many guesses fits.
func fingerprint(value string) string {
	if value == "" || fingerprinted.MatchString(value) {
		return value
	}
	sum := sha256.Sum256([]byte(value))
	return fmt.Sprintf("~%x", sum[:2])
}
