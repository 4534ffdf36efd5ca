package workload

import "testing"

func TestTellingLineIsWhatEndedTheProgram(t *testing.T) {
	for name, tc := range map[string]struct{ log, want string }{
		"nothing":  {"", ""},
		"one line": {"bye\n\n", "bye"},
		"a Go panic above its stack": {
			"listening\npanic: assignment to entry in nil map\n\ngoroutine 1 [running]:\nmain.main()\n\t/src/main.go:7 +0x1d\nexit status 2\n",
			"panic: assignment to entry in nil map",
		},
		"a Python exception below its stack": {
			"Traceback (most recent call last):\n  File \"/app/main.py\", line 3, in <module>\n    int('x')\nValueError: invalid literal for int() with base 10: 'x'\n",
			"ValueError: invalid literal for int() with base 10: 'x'",
		},
		"the innermost cause of a Java exception": {
			"Exception in thread \"main\" java.lang.IllegalStateException: start\n\tat shop.Main.main(Main.java:9)\nCaused by: java.net.ConnectException: Connection refused\n\tat shop.Db.open(Db.java:3)\n\t... 1 more\n",
			"Caused by: java.net.ConnectException: Connection refused",
		},
		"trouble before a clean goodbye": {
			"level=error msg=\"open /data: permission denied\"\nlevel=info msg=\"shutting down\"\n", `level=error msg="open /data: permission denied"`,
		},
		"a name that was not resolved before a later complaint": {
			"getaddrinfo EAI_AGAIN db\nerror: giving up\n", "getaddrinfo EAI_AGAIN db",
		},
		"no line of trouble": {"a\r\nb\r\n", "b"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tellingLine(tc.log); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}
