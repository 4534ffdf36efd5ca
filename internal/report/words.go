package report

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
)

// words are Maek's own words around a document's texts, in one language. Functions take numbers
// where a language puts them in places of its own.
type words struct {
	why, effect, now, later, ruledOut        string
	healthy, healthySoFar                    string
	unknown, settling, noted                 string
	gaps, errors, ignored, more              string
	reads, causes, link                      string
	fresh, gone, unseen, timeline, recovered string
	risks, noRisks, evidence                 string
	findings, subject, found                 string
	severity                                 map[v1alpha1.Severity]string
	verdict                                  map[v1alpha1.Verdict]string
	confidence                               map[v1alpha1.Confidence]string
	nodes, pods, incidents, elsewhere, rules func(n int) string
	andMore                                  func(n int, detail string) string
	// looked, recorded and undated say what was looked at, as lookedAt puts it together.
	looked   func(what string, seconds float64) string
	recorded func(at time.Time, what string) string
	undated  func(what string) string
	kinds    func(n int) string
	// machines of how many nodes reported; of is 0 where that is not known.
	machines func(n, of int) string
	// noAgents says that no machine was looked at, and command what changes that.
	noAgents             func(command string) string
	machine              machineWords
	since                func(clock, age string) string
	age                  func(time.Duration) string
	compared             func(clock, age string, fresh, gone, still int) string
	until                func(date string) string
	ahead                func(n int, first string) string
	scope                func(namespace, selector string) string
	healthyIn, unknownIn func(scope string) string
}

func wordsOf(l finding.Language) words {
	if l == finding.Korean {
		return korean
	}
	return english
}

var english = words{
	why: "why", effect: "effect", now: "do now", later: "later", ruledOut: "not it",
	healthy: "Healthy. Nothing is losing function.", healthySoFar: "Healthy so far.",
	unknown:  "Unknown. Nothing was found, but too little could be checked to say Healthy.",
	settling: "just begun, too early to judge", noted: "worth knowing",
	gaps: "could not check", errors: "failed in Maek itself", ignored: "ignored on request", more: "more:",
	reads: "reads", causes: "can be explained by", link: "more",
	fresh: "new", gone: "gone", unseen: "not checked this time", timeline: "What happened", recovered: "recovered",
	risks: "What the next loss would take", noRisks: "Nothing was found that one loss would take.", evidence: "evidence",
	findings: "All findings", subject: "subject", found: "what was found",
	compared: func(clock, age string, fresh, gone, still int) string {
		return fmt.Sprintf("compared with %s (%s ago): %d new, %d gone, %d still there", clock, age, fresh, gone, still)
	},
	until: func(date string) string { return "until " + date },
	ahead: func(n int, first string) string {
		if n == 1 {
			return "1 thing would hurt at the next loss: " + first
		}
		return grouped(n) + " things would hurt at the next loss, such as: " + first
	},
	severity: map[v1alpha1.Severity]string{
		v1alpha1.SeverityCritical: "CRITICAL", v1alpha1.SeverityWarning: "WARNING", v1alpha1.SeverityInfo: "INFO",
	},
	verdict: map[v1alpha1.Verdict]string{
		v1alpha1.VerdictCritical: "Critical", v1alpha1.VerdictDegraded: "Degraded",
	},
	confidence: map[v1alpha1.Confidence]string{
		v1alpha1.ConfidenceMedium: "(another cause is possible)", v1alpha1.ConfidenceLow: "(only the kind of cause can be told)",
	},
	nodes:     func(n int) string { return count(n, "node", "nodes") },
	pods:      func(n int) string { return count(n, "pod", "pods") },
	incidents: func(n int) string { return count(n, "incident", "incidents") },
	elsewhere: func(n int) string { return count(n, "incident", "incidents") + " elsewhere in the cluster" },
	rules:     func(n int) string { return count(n, "rule", "rules") },
	andMore:   func(n int, detail string) string { return "and " + grouped(n) + " more" + parenthesis(detail) },
	looked: func(what string, seconds float64) string {
		return fmt.Sprintf("looked at %s in %s s", what, brief(seconds))
	},
	recorded: func(at time.Time, what string) string {
		return fmt.Sprintf("recorded %s, %s", at.Format("2006-01-02 15:04 MST"), what)
	},
	undated: func(what string) string { return "recorded at an unknown time, " + what },
	kinds:   func(n int) string { return count(n, "kind", "kinds") },
	machines: func(n, of int) string {
		if of > n {
			return grouped(n) + " of " + count(of, "machine", "machines")
		}
		return count(n, "machine", "machines")
	},
	noAgents: func(command string) string { return "machines not looked at: no agents there (" + command + ")" },
	machine:  machineEnglish,
	since:    func(clock, age string) string { return fmt.Sprintf("since %s (%s)", clock, age) },
	age: func(d time.Duration) string {
		return inUnits(d, "%d s", "%d min", "%d h", "%d h %d min", "%d days")
	},
	scope: func(namespace, selector string) string {
		switch {
		case selector == "":
			return "namespace " + namespace
		case namespace == "":
			return "what is labelled " + selector
		default:
			return "what is labelled " + selector + " in namespace " + namespace
		}
	},
	healthyIn: func(scope string) string { return "Healthy. Nothing in " + scope + " is losing function." },
	unknownIn: func(scope string) string {
		return "Unknown. Nothing was found in " + scope + ", but too little could be checked to say Healthy."
	},
}

var korean = words{
	why: "원인", effect: "영향", now: "조치", later: "예방", ruledOut: "배제",
	healthy: "정상. 기능을 잃은 곳이 없습니다.", healthySoFar: "아직은 정상입니다.",
	unknown:  "알 수 없음. 찾은 문제는 없으나, 정상이라고 말하기에는 확인한 것이 부족합니다.",
	settling: "방금 시작되어 아직 판단하지 않음", noted: "참고",
	gaps: "확인하지 못함", errors: "Maek 자체의 오류", ignored: "요청에 따라 무시함", more: "더 보기:",
	reads: "읽는 리소스", causes: "원인이 될 수 있는 규칙", link: "더 보기",
	fresh: "새로 발생", gone: "해소", unseen: "이번에는 확인하지 못함", timeline: "경과", recovered: "회복됨",
	risks: "다음 장애로 잃게 될 것", noRisks: "하나를 잃는다고 멈출 곳은 찾지 못했습니다.", evidence: "근거",
	findings: "찾은 문제 전체", subject: "대상", found: "내용",
	compared: func(clock, age string, fresh, gone, still int) string {
		return fmt.Sprintf("%s(%s 전)과 비교: 새로 발생 %d건, 해소 %d건, 계속 %d건", clock, age, fresh, gone, still)
	},
	until: func(date string) string { return date + "까지" },
	ahead: func(n int, first string) string {
		if n == 1 {
			return "다음 장애에 취약한 곳 1건: " + first
		}
		return "다음 장애에 취약한 곳 " + grouped(n) + "건, 그중 하나: " + first
	},
	severity: map[v1alpha1.Severity]string{
		v1alpha1.SeverityCritical: "심각", v1alpha1.SeverityWarning: "경고", v1alpha1.SeverityInfo: "참고",
	},
	verdict: map[v1alpha1.Verdict]string{
		v1alpha1.VerdictCritical: "심각", v1alpha1.VerdictDegraded: "저하",
	},
	confidence: map[v1alpha1.Confidence]string{
		v1alpha1.ConfidenceMedium: "(다른 원인일 수도 있습니다)", v1alpha1.ConfidenceLow: "(원인의 종류까지만 알 수 있습니다)",
	},
	nodes:     func(n int) string { return "노드 " + grouped(n) + "대" },
	pods:      func(n int) string { return "Pod " + grouped(n) + "개" },
	incidents: func(n int) string { return "장애 " + grouped(n) + "건" },
	elsewhere: func(n int) string { return "클러스터의 다른 곳에 장애 " + grouped(n) + "건" },
	rules:     func(n int) string { return "규칙 " + grouped(n) + "개" },
	andMore:   func(n int, detail string) string { return "그 밖에 " + grouped(n) + "개" + parenthesis(detail) },
	looked: func(what string, seconds float64) string {
		particle := "을"
		if strings.HasSuffix(what, "대") {
			particle = "를"
		}
		return fmt.Sprintf("%s%s %s초에 확인", what, particle, brief(seconds))
	},
	recorded: func(at time.Time, what string) string {
		return fmt.Sprintf("%s에 기록, %s", at.Format("2006-01-02 15:04 MST"), what)
	},
	undated: func(what string) string { return "기록 시각 알 수 없음, " + what },
	kinds:   func(n int) string { return "리소스 " + grouped(n) + "종" },
	machines: func(n, of int) string {
		if of > n {
			return "머신 " + grouped(of) + "대 중 " + grouped(n) + "대"
		}
		return "머신 " + grouped(n) + "대"
	},
	noAgents: func(command string) string { return "agent가 없어 머신은 확인하지 않음 (" + command + ")" },
	machine:  machineKorean,
	since:    func(clock, age string) string { return fmt.Sprintf("%s부터 (%s)", clock, age) },
	age: func(d time.Duration) string {
		return inUnits(d, "%d초", "%d분", "%d시간", "%d시간 %d분", "%d일")
	},
	scope: func(namespace, selector string) string {
		switch {
		case selector == "":
			return namespace + " namespace"
		case namespace == "":
			return selector + " label 대상"
		default:
			return namespace + " namespace의 " + selector + " label 대상"
		}
	},
	healthyIn: func(scope string) string {
		return "정상. " + scope + "에는 기능을 잃은 곳이 없습니다."
	},
	unknownIn: func(scope string) string {
		return "알 수 없음. " + scope + "에서 찾은 문제는 없으나, 정상이라고 말하기에는 확인한 것이 부족합니다."
	},
}

func parenthesis(s string) string {
	if s == "" {
		return ""
	}
	return " (" + s + ")"
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return grouped(n) + " " + many
}

// grouped writes a number with a comma after every third digit, as both languages do.
func grouped(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// brief writes seconds with as many decimals as tell anything.
func brief(seconds float64) string {
	decimals := 1
	switch {
	case seconds < 1:
		decimals = 2
	case seconds >= 100:
		decimals = 0
	}
	return strconv.FormatFloat(seconds, 'f', decimals, 64)
}

// inUnits writes a duration in the largest units that matter to somebody who decides what to do
// first. A negative one, from clocks that disagree, is none.
func inUnits(d time.Duration, seconds, minutes, hours, hoursAndMinutes, days string) string {
	d = max(d, 0)
	switch {
	case d < time.Minute:
		return fmt.Sprintf(seconds, int(d/time.Second))
	case d < 2*time.Hour && d >= time.Hour && d%time.Hour >= time.Minute:
		return fmt.Sprintf(hoursAndMinutes, 1, int(d%time.Hour/time.Minute))
	case d < time.Hour:
		return fmt.Sprintf(minutes, int(d/time.Minute))
	case d < 48*time.Hour:
		return fmt.Sprintf(hours, int(d/time.Hour))
	default:
		return fmt.Sprintf(days, int(d/(24*time.Hour)))
	}
}
