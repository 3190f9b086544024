package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// A pod's containers share its IPC namespace, which outlives each of them. CRIU makes the image's System V segments in
// it, under their own ids and keys, and gives up where one is there (criu/ipc_ns.c: "Failed to create shm set"). What a
// former incarnation of the container left behind, or a restore that failed, is taken away here. Semaphores and message
// queues are not: nothing tells whether anybody uses them.

const (
	ipcShmFiles = "ipcns-shm-*.img"
	// criuImageMagic begins every image file of CRIU's but a few (criu/include/magic.h: IMG_COMMON_MAGIC); the file's
	// own magic follows, and then entries, each after its length.
	criuImageMagic = 0x54564319
	// maxIpcShm is far above what the kernel allows by default (4096 segments of some 30 bytes).
	maxIpcShm = 4 << 20
)

// segment is a System V shared memory segment; its key is 0 where it is private to those who know its id.
type segment struct {
	id, key int
}

// SharedMemory is what stands in the way of an image's segments in a pod's IPC namespace.
type SharedMemory struct {
	namespace string
	segments  []segment
}

// sharedMemoryOf reads the image's segments; nil where it has none, or where the container has a namespace of its own.
func sharedMemoryOf(image *Image, spec *specs.Spec) *SharedMemory {
	var found []segment
	files, _ := filepath.Glob(filepath.Join(image.checkpoint(), ipcShmFiles))
	for _, file := range files {
		data, err := readLimited(file, maxIpcShm)
		if err == nil {
			found = append(found, parseSegments(data)...)
		}
	}
	namespace := namespaceOf(spec, specs.IPCNamespace)
	if namespace == "" || len(found) == 0 {
		return nil
	}
	return &SharedMemory{namespace: namespace, segments: found}
}

// clear removes those of the segments that nobody has attached. One that is in use stays, whoever uses it: CRIU then
// says that it is there.
func (memory *SharedMemory) clear() error {
	if memory == nil {
		return nil
	}
	err := inNamespace(memory.namespace, unix.CLONE_NEWIPC, func() error {
		for _, wanted := range memory.segments {
			if err := wanted.removeUnattached(); err != nil {
				return err
			}
		}
		return nil
	})
	if errors.Is(err, errNoNamespace) {
		return nil
	}
	return err
}

// removeUnattached goes by the key, under which a cold start may have made it with another id, and by id and key where
// it is private. An id alone means nothing: they count from 0 in every namespace.
func (wanted segment) removeUnattached() error {
	id := wanted.id
	if wanted.key != 0 {
		var err error
		if id, err = unix.SysvShmGet(wanted.key, 0, 0); err != nil {
			// Mostly there is none.
			return nil
		}
	}
	var state unix.SysvShmDesc
	if _, err := unix.SysvShmCtl(id, unix.IPC_STAT, &state); err != nil || state.Nattch > 0 ||
		int(state.Perm.Key) != wanted.key {
		return nil
	}
	_, err := unix.SysvShmCtl(id, unix.IPC_RMID, nil)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.EIDRM) {
		return fmt.Errorf("remove the shared memory segment %d: %w", id, err)
	}
	return nil
}

// parseSegments reads a file of segments (images/ipc-shm.proto, ipc-desc.proto), as far as it is understood: what CRIU
// cannot read either, it will say better.
func parseSegments(data []byte) []segment {
	if len(data) < 8 || binary.LittleEndian.Uint32(data) != criuImageMagic {
		return nil
	}
	var found []segment
	for data = data[8:]; len(data) >= 4; {
		size := uint64(binary.LittleEndian.Uint32(data))
		if uint64(len(data)-4) < size {
			return found
		}
		entry := protoFields(data[4 : 4+size])
		description := protoFields(entry.bytes[1])
		found = append(found, segment{id: int(description.numbers[7]), key: int(int32(description.numbers[1]))})
		if entry.numbers[3] == 0 {
			// The content follows here and not among the pages, as CRIU before 3.0 had it.
			return found
		}
		data = data[4+size:]
	}
	return found
}

// protoMessage is a message of protocol buffers without its schema: the last value of each field, by the field's number.
type protoMessage struct {
	numbers map[uint64]uint64
	bytes   map[uint64][]byte
}

// protoFields reads numbers and nested messages, which is all that these files hold; it stops at anything else.
func protoFields(data []byte) protoMessage {
	message := protoMessage{numbers: map[uint64]uint64{}, bytes: map[uint64][]byte{}}
	for len(data) > 0 {
		tag, width := binary.Uvarint(data)
		if width <= 0 {
			return message
		}
		data = data[width:]
		value, width := binary.Uvarint(data)
		if width <= 0 {
			return message
		}
		data = data[width:]
		switch tag & 7 {
		case 0:
			message.numbers[tag>>3] = value
		case 2:
			if value > uint64(len(data)) {
				return message
			}
			message.bytes[tag>>3], data = data[:value], data[value:]
		default:
			return message
		}
	}
	return message
}
