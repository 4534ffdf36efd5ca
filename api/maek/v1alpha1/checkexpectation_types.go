package v1alpha1

// HTTPStatusRange is one status code, or a range of them with both ends in it.
//
// +kubebuilder:validation:MaxLength=7
// +kubebuilder:validation:XValidation:rule="self.matches('^[2-5][0-9][0-9](-[2-5][0-9][0-9])?$') && (self.size() == 3 || self.substring(0, 3) <= self.substring(4))",message="write a status code ('204') or a range ('200-299', the lower end first) of 200 to 599: no other ends an answer"
type HTTPStatusRange string

// CheckExpectation narrows which answers are good. Every field that is set must hold.
type CheckExpectation struct {
	// StatusCodes of a good HTTP answer. Absent means 200-399.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +listType=set
	// +optional
	StatusCodes []HTTPStatusRange `json:"statusCodes,omitempty"`
	// Matches is a regular expression (RE2) found somewhere in the first 10 KiB of the HTTP body
	// or of the command's output.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="''.find(self) == ''",message="write matches as a regular expression of RE2: https://github.com/google/re2/wiki/Syntax"
	// +optional
	Matches string `json:"matches,omitempty"`
	// Headers of a good HTTP answer.
	// +kubebuilder:validation:MaxItems=16
	// +listType=map
	// +listMapKey=name
	// +optional
	Headers []HeaderExpectation `json:"headers,omitempty"`
	// JSON of a good HTTP body, which is read up to 1 MiB then.
	// +kubebuilder:validation:MaxItems=16
	// +listType=map
	// +listMapKey=path
	// +optional
	JSON []JSONExpectation `json:"json,omitempty"`
	// Records that must be among the DNS answers, written as a zone file writes their data.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=512
	// +listType=set
	// +optional
	Records []string `json:"records,omitempty"`
	// LatencyMilliseconds is the longest that a good answer may take.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=86400000
	// +optional
	LatencyMilliseconds int32 `json:"latencyMilliseconds,omitempty"`
	// CertificateDaysLeft is the least number of days until the server's certificate, or one that
	// it is signed with, expires.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=3650
	// +optional
	CertificateDaysLeft int32 `json:"certificateDaysLeft,omitempty"`
}

// HeaderExpectation is what a header of an HTTP answer must be. With neither Equals nor Matches it
// must be there.
//
// +kubebuilder:validation:XValidation:rule="!(has(self.equals) && has(self.matches))",message="write equals or matches, not both"
type HeaderExpectation struct {
	// Name of the header; upper and lower case are the same.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self.matches('^[-A-Za-z0-9_]+$')",message="write the name of a header, such as Content-Type"
	Name string `json:"name"`
	// Equals is one of the header's values.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Equals *string `json:"equals,omitempty"`
	// Matches is a regular expression (RE2) found somewhere in one of the header's values.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="''.find(self) == ''",message="write matches as a regular expression of RE2: https://github.com/google/re2/wiki/Syntax"
	// +optional
	Matches string `json:"matches,omitempty"`
}

// JSONExpectation is what a value of a JSON body must be. With neither Equals nor Matches it must be
// there.
//
// +kubebuilder:validation:XValidation:rule="!(has(self.equals) && has(self.matches))",message="write equals or matches, not both"
type JSONExpectation struct {
	// Path of the value, as kubectl's JSONPath: .status, .items[0].name
	// (https://kubernetes.io/docs/reference/kubectl/jsonpath/).
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	Path string `json:"path"`
	// Equals is the value: a text as it is, anything else as JSON writes it (true, 3, null).
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Equals *string `json:"equals,omitempty"`
	// Matches is a regular expression (RE2) found somewhere in the value.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="''.find(self) == ''",message="write matches as a regular expression of RE2: https://github.com/google/re2/wiki/Syntax"
	// +optional
	Matches string `json:"matches,omitempty"`
}
