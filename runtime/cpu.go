package main

import (
	"fmt"
	"os"
	"strings"
)

// cpuFeaturesKey is an annotation of the image: the instruction sets of the processor on which it was frozen (ksnap's
// agent/cpu_features.py), in the kernel's words. An image that somebody else made has none, and is not compared.
const cpuFeaturesKey = "ksnap.dev/cpu-features"

// fitProcessor refuses an image whose process may use instructions that this machine does not have: a C library chooses
// its code once, at a program's start. CRIU compares nothing unless it was told to at the dump already.
func fitProcessor(image *Image) error {
	if len(image.CPUFeatures) == 0 {
		return nil
	}
	cpuinfo, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return fmt.Errorf("processor: %w", err)
	}
	if missing := missingFeatures(image.CPUFeatures, string(cpuinfo)); len(missing) > 0 {
		return refuse(CPUMismatch, "The frozen process may use instructions that this processor lacks: %.500s",
			strings.Join(missing, " "))
	}
	return nil
}

// missingFeatures are those of the wanted ones that not every processor of /proc/cpuinfo names. A machine that names
// none at all is not judged.
func missingFeatures(wanted []string, cpuinfo string) []string {
	var missing []string
	var known []map[string]bool
	for line := range strings.SplitSeq(cpuinfo, "\n") {
		name, value, ok := strings.Cut(line, ":")
		if name = strings.TrimSpace(name); ok && (name == "flags" || name == "Features") {
			features := map[string]bool{}
			for feature := range strings.FieldsSeq(value) {
				features[feature] = true
			}
			known = append(known, features)
		}
	}
	for _, feature := range wanted {
		for _, features := range known {
			if !features[feature] {
				missing = append(missing, feature)
				break
			}
		}
	}
	return missing
}
