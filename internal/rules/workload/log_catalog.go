package workload

import (
	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
)

// concern is what a line of a log is about, beyond the program that wrote it.
type concern int

const (
	concernItself   concern = iota // the program, its files and its settings
	concernUnknown                 // a name of which name servers say that it does not exist
	concernNoAnswer                // a name to which no name server gave an answer
	concernName                    // a name that was not resolved, for either reason
	concernPeer                    // somebody who was called and did not serve
	concernRights                  // what the API server forbids
	concernKind                    // a kind that the API server does not serve
	concernPlatform                // the processor that the program is built for
	concernStore                   // a file system that it writes to
)

// clue is a kind of line with which programs tell what ails them.
type clue struct {
	// text by which such a line is known.
	text pattern
	// about says what the line concerns.
	about concern
	// mechanism of a container that ends for it; empty where that is no more than crashing.
	mechanism finding.Mechanism
	// field of the container, from it on, that the line is about; empty where it is about none.
	field string
	// means says what the line tells; zero where its own words say it best.
	means finding.Text
}

// argsField holds the arguments of a container, unless its command does.
const argsField = ".args"

// clues are the telling lines, those that say the most first: of a line that several match, the first
// counts. The words are those of Go, the C library (gai_strerror(3), errno(3)), the JVM, Python, Node.js,
// curl, busybox, PostgreSQL, MySQL, Redis, CoreDNS (coredns/caddy, caddyfile) and nginx.
var clues = []clue{
	{
		text: patterned(`exec format error`), about: concernPlatform, mechanism: v1alpha1.MechanismMisconfigured,
		means: finding.Textf("the program is built for another processor", "다른 프로세서용으로 빌드된 프로그램입니다"),
	},
	{
		text:      patterned(`server misbehaving|[Tt]emporary failure in name resolution|EAI_AGAIN|:53: (?:i/o timeout|read: |connect: |write: )|:53: .*i/o timeout|lookup \S+(?: on \S+)?: .*(?:i/o timeout|connection refused)`),
		about:     concernNoAnswer,
		mechanism: v1alpha1.MechanismCrashing,
		means:     finding.Textf("a name cannot be looked up: no name server gives a usable answer", "name server의 정상 응답이 없어 이름을 조회하지 못합니다"),
	},
	{
		text: patterned(`no such host|Name or service not known|nodename nor servname|ENOTFOUND|NXDOMAIN|Name does not resolve|host not found in upstream`), about: concernUnknown,
		means: finding.Textf("a name does not exist", "존재하지 않는 이름입니다"),
	},
	{
		text: patterned(`UnknownHostException|bad address '|[Cc]ould not resolve host|could not be resolved|could not translate host name|Unknown .*server host|NameResolutionError|getaddrinfo failed|Failed to resolve '`), about: concernName,
		means: finding.Textf("a name cannot be resolved", "이름을 조회하지 못합니다"),
	},
	{
		text: patterned(`is forbidden: User \\?"`), about: concernRights, mechanism: v1alpha1.MechanismUnauthorized,
		means: finding.Textf("its ServiceAccount lacks a right that it needs", "ServiceAccount에 필요한 권한이 없습니다"),
	},
	{
		text: patterned(`no matches for kind \\?"|could not find the requested resource`), about: concernKind, mechanism: v1alpha1.MechanismMissing,
		means: finding.Textf("the API server does not serve a kind that it works with: its CustomResourceDefinition is missing, or of another version",
			"API server가 제공하지 않는 kind를 사용합니다. CustomResourceDefinition이 없거나 버전이 다릅니다"),
	},
	{
		text: patterned(`leader ?election lost|failed to renew lease|lost leader ?(?:election|ship)`), mechanism: v1alpha1.MechanismCrashing,
		means: finding.Textf("it could not renew its Lease in time, and ends so that no two lead", "제때 Lease를 갱신하지 못해 스스로 종료합니다(리더 중복 방지)"),
	},
	{
		text: patterned(`certificate has expired|CERT_HAS_EXPIRED|certificate expired|CertificateExpiredException`), about: concernPeer, mechanism: v1alpha1.MechanismExpired,
		means: finding.Textf("a certificate is out of date", "인증서가 만료되었습니다"),
	},
	{
		text:      patterned(`signed by unknown authority|unable to verify the first certificate|[Ss]elf[- ]signed certificate|PKIX path|CERTIFICATE_VERIFY_FAILED|certificate verify failed|x509: certificate is valid for|ERR_TLS_CERT_ALTNAME|certificate is not valid for`),
		about:     concernPeer,
		mechanism: v1alpha1.MechanismMisconfigured,
		means:     finding.Textf("it does not trust the certificate of whom it calls", "호출 대상의 인증서를 신뢰하지 않습니다"),
	},
	{
		text: patterned(`server gave HTTP response to HTTPS client|client sent an HTTP request to an HTTPS server|wrong version number|Unsupported or unrecognized SSL message`), about: concernPeer, mechanism: v1alpha1.MechanismMisconfigured,
		means: finding.Textf("one side speaks TLS and the other does not", "한쪽만 TLS를 사용합니다"),
	},
	{
		text:      patterned(`password authentication failed|Access denied for user|WRONGPASS|NOAUTH|[Aa]uthentication failed|[Ll]ogin failed for user|SASL.*(?:fail|invalid)|no pg_hba\.conf entry|must be logged in to the server`),
		mechanism: v1alpha1.MechanismUnauthorized,
		means:     finding.Textf("its credentials are refused", "자격 증명이 거부되었습니다"),
	},
	{
		text:  patterned(`(?i)the database system is (?:starting up|shutting down|in recovery)|LOADING Redis|remaining connection slots|too many (?:connections|clients)|server is not ready|not master and slaveok|no primary available|not_leader`),
		about: concernPeer,
		means: finding.Textf("whom it calls is up and does not serve it", "호출 대상이 떠 있으나 요청을 처리하지 않습니다"),
	},
	{
		text:      patterned(`database "[^"]*" does not exist|Unknown database|relation "[^"]*" does not exist|no such table|Table '[^']*' doesn't exist|column .* does not exist`),
		mechanism: v1alpha1.MechanismMissing,
		means:     finding.Textf("the database lacks what it expects there: a migration has not run, or it is the wrong database", "데이터베이스에 필요한 것이 없습니다. migration이 실행되지 않았거나 다른 데이터베이스입니다"),
	},
	{
		text:      patterned(`(?i)waiting for changelog lock|could not (?:obtain|acquire) .*lock|can't acquire .*lock|lock wait timeout|database is locked|migration.*\block(?:ed)?\b|Dirty database version|resource temporarily locked|could not lock config file`),
		mechanism: v1alpha1.MechanismRefused,
		means:     finding.Textf("a lock is held by somebody else, or was left by one who died", "다른 프로세스가 lock을 잡고 있거나, 비정상 종료된 프로세스가 lock을 남겼습니다"),
	},
	{
		text: patterned(`[Nn]o space left on device|ENOSPC|[Dd]isk quota exceeded`), about: concernStore, mechanism: v1alpha1.MechanismExhausted,
		means: finding.Textf("a file system that it writes to is full", "쓰기 대상 파일 시스템이 가득 찼습니다"),
	},
	{
		text: patterned(`[Rr]ead-only file system|EROFS`), mechanism: v1alpha1.MechanismMisconfigured,
		means: finding.Textf("it writes to a read-only file system: a volume is mounted so, or readOnlyRootFilesystem is set", "읽기 전용 파일 시스템에 쓰려고 합니다. volume이 읽기 전용이거나 readOnlyRootFilesystem이 설정되어 있습니다"),
	},
	{
		text: patterned(`[Tt]oo many open files|EMFILE|ENFILE`), mechanism: v1alpha1.MechanismExhausted,
		means: finding.Textf("it has reached its limit of open files", "열 수 있는 파일 수 한도에 도달했습니다"),
	},
	{
		text: patterned(`OutOfMemoryError|Java heap space|heap out of memory|MemoryError|[Oo]ut of memory|[Cc]annot allocate memory|bad_alloc|ENOMEM`), mechanism: v1alpha1.MechanismExhausted,
		means: finding.Textf("it ran out of memory by its own account: its heap is bounded tighter than the container, or the limit is too small", "프로그램이 메모리 부족을 보고했습니다. heap 상한이 낮거나 메모리 limit이 부족합니다"),
	},
	{
		text: patterned(`[Rr]esource temporarily unavailable|unable to create (?:new )?native thread|pthread_create failed|can't start new thread`), mechanism: v1alpha1.MechanismExhausted,
		means: finding.Textf("it can start no more threads or processes", "thread나 프로세스를 더 만들 수 없습니다"),
	},
	{
		text: patterned(`[Aa]ddress already in use|EADDRINUSE|[Aa]ddress in use`), mechanism: v1alpha1.MechanismMisconfigured,
		means: finding.Textf("the port that it listens on is taken, by another container of the pod or, with hostNetwork, by one on the node",
			"사용하려는 port를 같은 Pod의 다른 컨테이너나(hostNetwork이면) 노드의 다른 프로세스가 쓰고 있습니다"),
	},
	{
		text:  patterned(`[Cc]onnection refused|ECONNREFUSED|actively refused|Error 111 connecting`),
		about: concernPeer,
		means: finding.Textf("whom it calls refuses connections", "호출 대상이 연결을 거부합니다"),
	},
	{
		text:  patterned(`i/o timeout|ETIMEDOUT|[Cc]onnect(?:ion)? ?timed? ?out|ConnectTimeout|[Tt]imed out connecting|context deadline exceeded|handshake timeout|[Nn]o route to host|EHOSTUNREACH|[Nn]etwork is unreachable`),
		about: concernPeer,
		means: finding.Textf("whom it calls does not answer", "호출 대상이 응답하지 않습니다"),
	},
	{
		text:  patterned(`[Cc]onnection reset by peer|ECONNRESET|[Cc]an't connect to|[Cc]ould not connect to|[Ff]ailed to connect to|[Cc]annot connect to|[Uu]nable to connect to|no such service`),
		about: concernPeer,
		means: finding.Textf("it cannot connect to whom it calls", "호출 대상에 연결하지 못합니다"),
	},
	{
		text:  patterned(`50[234] (?:Service Unavailable|Bad Gateway|Gateway Time-?out)|[Ss]tatus(?: ?[Cc]ode)?:? ?"?50[234]\b|upstream connect error|no healthy upstream`),
		about: concernPeer,
		means: finding.Textf("whom it calls answers with an error", "호출 대상이 오류로 응답합니다"),
	},
	{
		text: patterned(`plugin/loop: Loop`), mechanism: v1alpha1.MechanismMisconfigured,
		means: finding.Textf("its questions come back to itself: the upstream resolver of the node points at the cluster's DNS", "질의가 자신에게 되돌아옵니다. 노드의 상위 resolver가 클러스터 DNS를 가리킵니다"),
	},
	{
		text: patterned(`[Uu]nknown directive|Error during parsing|\[emerg\]|[Uu]nknown plugin`), mechanism: v1alpha1.MechanismMisconfigured,
		means: finding.Textf("its configuration has an error", "설정에 오류가 있습니다"),
	},
	{
		text:      patterned(`[Uu]nknown (?:shorthand )?flag|flag provided but not defined|[Uu]nrecognized (?:arguments?|option)|[Uu]nknown (?:command|option|argument)|[Ii]nvalid (?:option|argument) `),
		mechanism: v1alpha1.MechanismMisconfigured, field: argsField,
		means: finding.Textf("it does not know a flag or argument that it is given", "지정된 flag나 인자를 알지 못합니다"),
	},
	{
		text:      patterned(`(?i:environment variable|\benv(?:ironment)? ?vars?\b).*(?i:not set|missing|required|undefined|empty|must be|not found)|(?i:missing|required|must set|must specify).*(?i:environment variable|\benv ?vars?\b)|KeyError: '[A-Z][A-Z0-9_]+'|\b[A-Z][A-Z0-9_]{2,}: (?:parameter not set|unbound variable|parameter null or not set)|\b[A-Z][A-Z0-9]*_[A-Z0-9_]+ (?:is not set|is required|must be set|not set|is missing|is undefined)`),
		mechanism: v1alpha1.MechanismMisconfigured, field: ".env",
		means: finding.Textf("an environment variable that it needs is not set", "필요한 환경 변수가 설정되지 않았습니다"),
	},
	{
		text:      patterned(`(?i)\byaml: (?:line|unmarshal|mapping|did not|control|input)|\btoml: |error parsing config|(?:parse|read|load|invalid|decod\w+) (?:the )?config|invalid configuration|cannot unmarshal|error converting YAML|is not valid JSON|invalid character .* looking for|unexpected token .* in JSON`),
		mechanism: v1alpha1.MechanismMisconfigured,
		means:     finding.Textf("it cannot read its configuration", "설정을 해석하지 못합니다"),
	},
	{
		text: patterned(`[Pp]ermission denied|EACCES|[Oo]peration not permitted|EPERM`), mechanism: v1alpha1.MechanismUnauthorized,
		means: finding.Textf("it may not do that as the user that it runs as (securityContext, fsGroup, the owner of files)", "실행 중인 사용자에게 허용되지 않은 작업입니다(securityContext, fsGroup, 파일 소유자 확인)"),
	},
	{
		text: patterned(`executable file not found|command not found|\bsh: .*: not found$`), mechanism: v1alpha1.MechanismMissing,
		means: finding.Textf("a program that it calls is not in the image", "호출하는 프로그램이 이미지에 없습니다"),
	},
	{
		text:      patterned(`[Nn]o such file or directory|ENOENT|FileNotFound|Cannot find module|ModuleNotFoundError|No module named|ClassNotFoundException|NoClassDefFoundError|error while loading shared libraries|[Cc]ould not find or load main class|[Uu]nable to access jarfile`),
		mechanism: v1alpha1.MechanismMissing,
		means:     finding.Textf("a file that it needs is not there", "필요한 파일이 없습니다"),
	},
	{
		text:  patterned(`nil pointer dereference|NullPointerException|[Ss]egmentation fault|SIGSEGV|index out of range|all goroutines are asleep|assertion (?:failed|.* failed)`),
		means: finding.Textf("a fault in the program", "프로그램 결함입니다"),
	},
	// What ends a program without saying more than its own words: the innermost message counts.
	{text: patterned(`^panic: |\bpanicked at|^fatal error: |Exception in thread|^Caused by: |^[\w.]*(?:Error|Exception): |UnhandledPromiseRejection|Uncaught|level=fatal|\bFATAL\b|^F\d{4} `)},
}
