package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const (
	criuConfigFile = "criu.conf"
	restoreLogFile = "restore.log"
	// nodeCriuConfig is what runc would name to CRIU if the bundle named no file of its own. Its settings are kept.
	nodeCriuConfig = "/etc/criu/runc.conf"
	maxCriuConfig  = 64 << 10
	// maxCriuLog bounds what is read of a log: a megabyte is a tree of a dozen processes.
	maxCriuLog = 64 << 20
)

// criuOptions are CRIU options for dump and restore alike. runc has flags for some of them only, and different ones
// from version to version; a configuration file reaches CRIU through every version, and wins over what runc sends.
//
//   - tcp-close: a dump leaves out established connections instead of failing, and the running process keeps them; a
//     restore gives the sockets back closed.
//   - skip-in-flight: a connection in its handshake is left out as well (a probe that comes in at that moment).
//   - network-lock skip: where connections are not kept, nothing is won by dropping all of the pod's packets meanwhile.
//     A restore does as the dump did, so it does not lock the new pod's network either. CRIU has it since 3.19.
//   - file-locks: locks are dumped and taken again.
//   - link-remap: a file that was opened and then removed while another name of it lives on. CRIU takes the temporary
//     names away again when the process runs on; on overlayfs it stores the content instead.
//   - ghost-limit: a file that was opened and then removed altogether is stored with the image, up to this size.
//
// A restore reads only tcp-close and file-locks.
func criuOptions(tcpEstablished bool) string {
	options := []string{"skip-in-flight", "file-locks", "link-remap", "ghost-limit 1G"}
	if !tcpEstablished {
		options = append([]string{"tcp-close", "network-lock skip"}, options...)
	}
	return strings.Join(options, "\n") + "\n"
}

// writeCriuConfig writes the container's own options after those of the node.
func writeCriuConfig(path string, tcpEstablished bool) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("work folder: %w", err)
	}
	text, err := readLimited(nodeCriuConfig, maxCriuConfig)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("node's CRIU options: %w", err)
	}
	if len(text) > 0 && !bytes.HasSuffix(text, []byte("\n")) {
		text = append(text, '\n')
	}
	return writeWhole(path, append(text, criuOptions(tcpEstablished)...), 0o600)
}

// readTail is the last `lines` lines of a log, or what there is of them.
func readTail(path string, lines int) string {
	const most = 32 << 10
	file, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer file.Close()
	if info, err := file.Stat(); err == nil && info.Size() > most {
		if _, err := file.Seek(-most, 2); err != nil {
			return ""
		}
	}
	data := make([]byte, most)
	count, _ := io.ReadFull(file, data)
	all := strings.Split(strings.TrimRight(strings.ToValidUTF8(string(data[:count]), "?"), "\n"), "\n")
	if len(all) > lines {
		all = all[len(all)-lines:]
	}
	return strings.Join(all, "\n")
}

// firstErrors are the first error lines of a CRIU log, which may be far from its end: the other processes of a tree go on
// writing until they are told.
func firstErrors(path string, most int) string {
	file, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer file.Close()
	var found []string
	lines := bufio.NewScanner(io.LimitReader(file, maxCriuLog))
	for len(found) < most && lines.Scan() {
		if line := lines.Text(); strings.Contains(line, "Error (") {
			found = append(found, strings.TrimSpace(strings.ToValidUTF8(line, "?")))
		}
	}
	return strings.Join(found, "\n")
}

// restoreReason reads out of CRIU's log why it gave up (the texts are those of CRIU 4.2: criu/cpu.c, arch/x86/cpu.c,
// arch/x86/crtools.c) and out of runc's error whether CRIU ran at all.
func restoreReason(runcError, criuLog string) Reason {
	for line := range strings.SplitSeq(criuLog, "\n") {
		if !strings.Contains(line, "Error (") {
			continue
		}
		text := strings.ToLower(line)
		switch {
		case strings.Contains(text, "cpu: cpu "), strings.Contains(text, "cpu: fpu "),
			strings.Contains(text, "fpu xsave area present"):
			return CPUMismatch
		case strings.Contains(text, "no space left on device"), strings.Contains(text, "disk quota exceeded"):
			return DiskFull
		}
	}
	text := strings.ToLower(runcError)
	if strings.Contains(text, "executable file not found") || strings.Contains(text, "criu version") {
		return CriuMissing
	}
	if strings.Contains(text, "no space left on device") {
		return DiskFull
	}
	return RestoreFailed
}
