package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// maxDocument is the bound of an archive's JSON members (ksnap's archive_rules.py).
const maxDocument = 4 << 20

// Image is an unpacked checkpoint image: the archive's members as files, and image.json.
type Image struct {
	Path         string
	Digest       string
	Architecture string
	// CPUFeatures are the instruction sets of the processor on which it was frozen; none where nobody wrote them down.
	CPUFeatures []string
	// Runtime is what froze it, in the words of its container engine.
	Runtime string
	// Spec is the frozen container's config.json, before any runtime changed it.
	Spec *specs.Spec
	// Deleted are removed files as CRI-O lists them; containerd has them as whiteouts in the difference.
	Deleted []string
}

// openImage reads what a folder of the agent's says of itself. The agent has verified it; what is read here is checked
// for form all the same, since a wrong reading must not get as far as CRIU.
func openImage(path string) (*Image, error) {
	image := &Image{Path: path, Spec: new(specs.Spec)}
	var about struct {
		Digest       string            `json:"digest"`
		Architecture string            `json:"architecture"`
		Annotations  map[string]string `json:"annotations"`
	}
	var config struct {
		Runtime string `json:"runtime"`
	}
	for _, document := range []struct {
		name string
		into any
	}{{"image.json", &about}, {"config.dump", &config}, {"spec.dump", image.Spec}} {
		if err := readDocument(filepath.Join(path, document.name), document.into); err != nil {
			return nil, refuse(ImageUnavailable, "The unpacked image cannot be read: %v", err)
		}
	}
	err := readDocument(filepath.Join(path, "deleted.files"), &image.Deleted)
	if err != nil && !os.IsNotExist(err) {
		return nil, refuse(ImageUnavailable, "The unpacked image cannot be read: %v", err)
	}
	if info, err := os.Stat(filepath.Join(path, "checkpoint", "inventory.img")); err != nil || !info.Mode().IsRegular() {
		return nil, refuse(ImageUnavailable, "The unpacked image has no checkpoint/inventory.img")
	}
	image.Digest, image.Architecture, image.Runtime = about.Digest, about.Architecture, config.Runtime
	image.CPUFeatures = strings.Fields(about.Annotations[cpuFeaturesKey])
	return image, nil
}

func readDocument(path string, into any) error {
	data, err := readLimited(path, maxDocument)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	return nil
}

// checkpoint is the folder of CRIU's images.
func (image *Image) checkpoint() string {
	return filepath.Join(image.Path, "checkpoint")
}

// diff is the difference of the root file system; it may be absent.
func (image *Image) diff() string {
	return filepath.Join(image.Path, "rootfs-diff.tar")
}
