package probes

import (
	"testing"

	"github.com/maek-dev/maek/internal/rules/ruletest"
)

func TestRules(t *testing.T) { ruletest.Run(t, Catalog.Rules()) }
