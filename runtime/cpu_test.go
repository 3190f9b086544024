package main

import (
	"os"
	"strings"
	"testing"
)

func TestMissingFeatures(t *testing.T) {
	two := "processor\t: 0\nflags\t\t: fpu sse2 avx2\n\nprocessor\t: 1\nflags\t\t: fpu sse2\nbugs\t\t: avx2\n"
	for name, entry := range map[string]struct{ wanted, cpuinfo, missing string }{
		"all there":              {"fpu sse2", two, ""},
		"on one of them":         {"sse2 avx2", two, "avx2"},
		"part of a name":         {"avx", two, "avx"},
		"nowhere":                {"avx512f amx_tile", two, "avx512f amx_tile"},
		"arm":                    {"asimd sve", "Features\t: fp asimd\n", "sve"},
		"a kernel without names": {"sse2", "processor : 0\n", ""},
		"nothing wanted":         {"", two, ""},
	} {
		if got := strings.Join(missingFeatures(strings.Fields(entry.wanted), entry.cpuinfo), " "); got != entry.missing {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestThisProcessorFitsItself(t *testing.T) {
	cpuinfo, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		t.Skip(err)
	}
	_, after, _ := strings.Cut(string(cpuinfo), "flags\t\t:")
	line, _, _ := strings.Cut(after, "\n")
	if err := fitProcessor(&Image{CPUFeatures: strings.Fields(line)}); err != nil {
		t.Fatal(err)
	}
	reasonIs(t, fitProcessor(&Image{CPUFeatures: []string{"ksnap_made_up"}}), CPUMismatch)
}
