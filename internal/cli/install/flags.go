package install

import (
	"cmp"
	"time"

	"github.com/spf13/cobra"

	"github.com/maek-dev/maek/internal/cli/exit"
)

// flags of the command.
type flags struct {
	questions, operator, adopt, kuberhealthy, agent, nodeConditions, apply, force bool

	replicas                                     int32
	image, operatorImage, checkerImage, language string
	timeout                                      time.Duration
}

func (f *flags) add(cmd *cobra.Command) {
	set := cmd.Flags()
	set.BoolVar(&f.apply, "apply", false, "apply the manifests instead of printing them, and wait until the pods are ready")
	set.BoolVar(&f.force, "force-conflicts", false, "with --apply: take over fields that others manage")
	set.DurationVar(&f.timeout, "timeout", 5*time.Minute, "with --apply: how long to wait")
	set.BoolVar(&f.questions, "questions", false, "also grant what questions need: get on nodes/proxy, nodes, namespaces and configmaps, create on subjectaccessreviews")
	set.BoolVar(&f.operator, "operator", true, "install the operator and the stock checks")
	set.Int32Var(&f.replicas, "replicas", 2, "replicas of the operator; they share the checks")
	set.BoolVar(&f.adopt, "adopt", false, "run Kuberhealthy's checks although a Kuberhealthy is alive")
	set.StringVar(&f.operatorImage, "operator-image", "", "image of the operator; by default "+OperatorRepository+" of this version")
	set.StringVar(&f.checkerImage, "checker-image", "", "image of the stock checks; by default "+CheckerRepository+" of this version")
	set.StringVar(&f.language, "incident-language", "en", "language of incidents: en or ko")
	set.BoolVar(&f.kuberhealthy, "kuberhealthy-definitions", true, "define Kuberhealthy's kinds too")
	set.BoolVar(&f.agent, "agent", false, "also install the agent on every machine")
	set.StringVar(&f.image, "image", "", "image of the agent; by default "+AgentRepository+" of this version")
	set.BoolVar(&f.nodeConditions, "node-conditions", false, "let agents write conditions of their Nodes, and events, as node-problem-detector does")
}

func (f *flags) validate(cmd *cobra.Command) error {
	changed := cmd.Flags().Changed
	switch {
	case !f.agent && (changed("image") || changed("node-conditions")):
		return exit.Misused("--image and --node-conditions are about the agent: write --agent too")
	case !f.operator && (changed("replicas") || f.adopt || changed("operator-image") || changed("checker-image") || changed("incident-language")):
		return exit.Misused("--replicas, --adopt, --operator-image, --checker-image and --incident-language are about the operator: leave out --operator=false")
	case !f.apply && (f.force || changed("timeout")):
		return exit.Misused("--force-conflicts and --timeout are about applying: write --apply too")
	case f.timeout <= 0:
		return exit.Misused("--timeout %s leaves no time at all; write a duration above zero, such as --timeout 5m", f.timeout)
	case f.replicas < 1 || f.replicas > 100:
		return exit.Misused("--replicas %d is no number of replicas; write 1 to 100, or --operator=false for none", f.replicas)
	case f.language != "en" && f.language != "ko":
		return exit.Misused("--incident-language %q is no language that Maek writes; write en or ko", f.language)
	}
	return nil
}

func (f *flags) options(version string) Options {
	o := Options{Questions: f.questions, KuberhealthyDefinitions: f.kuberhealthy}
	if f.operator {
		o.Operator = &Operator{
			Image: cmp.Or(f.operatorImage, OperatorRepository+":"+version), CheckerImage: cmp.Or(f.checkerImage, CheckerRepository+":"+version),
			Replicas: f.replicas, Adopt: f.adopt, Language: f.language,
		}
	}
	if f.agent {
		o.Agent = &Agent{Image: cmp.Or(f.image, AgentRepository+":"+version), NodeConditions: f.nodeConditions}
	}
	return o
}
