package snapshot

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func TestAVariableKeepsTheAddressOfAService(t *testing.T) {
	for variable, want := range map[string]string{
		"API_HOST=api":                                                  "//api",
		"API_ADDR=api:8080":                                             "//api:8080",
		"API_SERVICE=api.shop":                                          "//api.shop",
		"API_ADDRESS=api.shop.svc.cluster.local:80":                     "//api.shop.svc.cluster.local:80",
		"API_URL=http://api:8080/v1?key=1":                              "//api:8080",
		"API_ENDPOINT=http://api.shop.svc":                              "//api.shop.svc",
		"DATABASE_URL=postgres://app:hunter2@db:5432/shop":              "//db:5432",
		"DB_DSN=app:hunter2@tcp(db.shop:3306)/shop":                     "//db.shop:3306",
		"SPRING_DATASOURCE_URL=jdbc:postgresql://db:5432/shop":          "//db:5432",
		"REDIS_URL=redis://:hunter2@cache:6379/0":                       "//cache:6379",
		"REDIS_URL=//cache:6379":                                        "//cache:6379",
		"MONGO_URI=mongodb://app:hunter2@mongo-0.mongo.shop.svc:27017/": "//mongo-0.mongo.shop.svc:27017",
		"DB_HOST=db": "//db",
	} {
		name, value, _ := strings.Cut(variable, "=")
		if got := trimEnvValue(name, value); got != want {
			t.Errorf("%s keeps %q, want %q", variable, got, want)
		}
		if again := trimEnvValue(name, trimEnvValue(name, value)); again != want {
			t.Errorf("%s keeps %q when trimmed twice, want %q", variable, again, want)
		}
	}
}

func TestNoVariableKeepsAPassword(t *testing.T) {
	const canary = "hunter2"
	for _, variable := range []string{
		"PASSWORD=hunter2", "FOO_URL=hunter2", "FOO_URL=hunter2:99", "FOO_DSN=hunter2", "FOO_URI=app:hunter2", "DATABASE_URL=app:hunter2@db:5432/shop",
		"DATABASE_URL=postgres://app:ab/hunter2@db:5432/shop", "DATABASE_URL=postgres://app:ab#hunter2@db:5432/shop", "DATABASE_URL=postgres://app:ab?hunter2@db/x",
		"DATABASE_URL=postgres://app:a@hunter2/x@db", "DATABASE_URL=postgres://db:5432/shop?password=hunter2", "DB_PASSWORD_HOST=hunter2",
		"HOST_PASSWORD=hunter2", "AUTH_SERVER=hunter2", "API_KEY_URL=https://hunter2", "FOO_HOST=hunter2!", "FOO_HOST=app:hunter2", "FOO_ADDR=app:hunter2@db",
		"FOO_URL=https://api/hunter2", "FOO_URL=https://api#hunter2", "FOO_HOST=a.b.hunter2", "FOO_DSN=host=db password=hunter2", "FOO_DSN=app:hunter2@tcp(a)@tcp(db:1)/x",
		"FOO_DSN=app:@tcp(hunter2)@tcp(db:3306)/x", "GREETING=hunter2", "FOO_HOST=Hunter2.hunter2",
	} {
		name, value, _ := strings.Cut(variable, "=")
		if got := trimEnvValue(name, value); strings.Contains(strings.ToLower(got), canary) {
			t.Errorf("%s keeps %q", variable, got)
		}
	}
}

func TestEnvHost(t *testing.T) {
	for value, want := range map[string]string{"//api:80": "api", "//api.shop": "api.shop", "": "", "~3f2a": ""} {
		if got, ok := EnvHost(corev1.EnvVar{Name: "API_HOST", Value: value}); got != want || ok != (want != "") {
			t.Errorf("%q names %q (%v), want %q", value, got, ok, want)
		}
	}
}
