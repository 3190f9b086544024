package main

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// diffTar is an open rootfs-diff.tar. In spite of its name containerd writes it gzip-compressed when it freezes for the
// kubelet (its differ's default media type), and plain otherwise.
type diffTar struct {
	*tar.Reader
	file *os.File
}

func openDiff(ctx context.Context, path string) (*diffTar, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	diff := &diffTar{file: file}
	source := &timedFile{ctx: ctx, file: file}
	var magic [4]byte
	count, err := file.ReadAt(magic[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		_ = file.Close()
		return nil, err
	}
	switch head := string(magic[:count]); {
	case strings.HasPrefix(head, "\x1f\x8b"):
		plain, err := gzip.NewReader(bufio.NewReaderSize(source, 256<<10))
		if err != nil {
			_ = file.Close()
			return nil, refuse(RootfsDiffRefused, "rootfs-diff.tar is not gzip: %v", err)
		}
		diff.Reader = tar.NewReader(plain)
	case head == "\x28\xb5\x2f\xfd":
		_ = file.Close()
		return nil, refuse(RootfsDiffRefused, "rootfs-diff.tar is compressed with zstd")
	default:
		diff.Reader = tar.NewReader(source)
	}
	return diff, nil
}

func (diff *diffTar) Close() error {
	return diff.file.Close()
}

// next is the next member, or io.EOF after the last. What does not read as a tar is refused.
func (diff *diffTar) next(ctx context.Context) (*tar.Header, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	header, err := diff.Reader.Next()
	switch {
	case err == nil || errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		return header, err
	case ctx.Err() != nil:
		return nil, ctx.Err()
	}
	return nil, refuse(RootfsDiffRefused, "rootfs-diff.tar cannot be read: %v", err)
}

// timedFile ends reading at the deadline: a member may be long. It can seek, so that archive/tar skips content.
type timedFile struct {
	ctx  context.Context
	file *os.File
}

func (source *timedFile) Read(into []byte) (int, error) {
	if err := source.ctx.Err(); err != nil {
		return 0, err
	}
	return source.file.Read(into)
}

func (source *timedFile) Seek(offset int64, whence int) (int64, error) {
	return source.file.Seek(offset, whence)
}

// cleanName is a member's name as a plain relative path; "" is the root itself. A name that climbs or is absolute is
// refused, not bent straight: whoever wrote it did not want it to be read.
func cleanName(name string) (string, error) {
	if strings.HasPrefix(name, "/") || strings.ContainsRune(name, 0) || len(name) > 4096 {
		return "", fmt.Errorf("the name %.200q is not a plain relative path", name)
	}
	var parts []string
	for part := range strings.SplitSeq(name, "/") {
		switch {
		case part == "" || part == ".":
		case part == ".." || len(part) > 255:
			return "", fmt.Errorf("the name %.200q is not a plain relative path", name)
		default:
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, "/"), nil
}

// splitName is the folder's name and the member's own.
func splitName(name string) (folder, base string) {
	if at := strings.LastIndexByte(name, '/'); at >= 0 {
		return name[:at], name[at+1:]
	}
	return "", name
}
