// A static program that holds what CRIU has to carry over one by one: two kinds of file locks, an open file that was
// removed, a memfd, and files on tmpfs, one with a name and one without. It tells four times a second its token, how
// often it has told, and the names of what is not as it was.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

#define TOKEN 16

static char token[2 * TOKEN + 1];

static void must(int ok, const char *what) {
	if (!ok) {
		perror(what);
		exit(1);
	}
}

static void draw(void) {
	unsigned char drawn[TOKEN];
	must(getrandom(drawn, TOKEN, 0) == TOKEN, "getrandom");
	for (int i = 0; i < TOKEN; i++)
		sprintf(token + 2 * i, "%02x", drawn[i]);
}

static int make(const char *path) {
	int file = open(path, O_CREAT | O_RDWR | O_TRUNC, 0600);
	must(file >= 0, path);
	must(write(file, token, sizeof token) == sizeof token, path);
	return file;
}

static int has_token(int file) {
	char read[sizeof token];
	return pread(file, read, sizeof read, 0) == sizeof read && memcmp(read, token, sizeof read) == 0;
}

// Asked by a child, since a process's own record locks never stand in its way.
static int record_locked(const char *path) {
	pid_t child = fork();
	if (child == 0) {
		struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
		int file = open(path, O_RDWR);
		_exit(fcntl(file, F_GETLK, &lock) == 0 && lock.l_type == F_WRLCK && lock.l_pid == getppid() ? 0 : 1);
	}
	int status = 1;
	must(waitpid(child, &status, 0) == child, "waitpid");
	return status == 0;
}

static int whole_locked(const char *path) {
	int file = open(path, O_RDWR);
	int locked = flock(file, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK;
	close(file);
	return locked;
}

int main(void) {
	draw();
	struct flock all = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	must(fcntl(make("/tmp/record"), F_SETLK, &all) == 0, "record lock");
	must(flock(make("/tmp/whole"), LOCK_EX) == 0, "flock");
	int deleted = make("/tmp/deleted");
	must(unlink("/tmp/deleted") == 0, "unlink");
	int memory = memfd_create("holder", MFD_ALLOW_SEALING);
	must(memory >= 0 && write(memory, token, sizeof token) == sizeof token, "memfd");
	must(fcntl(memory, F_ADD_SEALS, F_SEAL_SHRINK) == 0, "seal");
	char *mapped = mmap(0, sizeof token, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
	must(mapped != MAP_FAILED, "mmap");
	// The container's own tmpfs, and the pod's.
	int named = make("/dev/holder"), unnamed = make("/dev/shm/holder");
	must(unlink("/dev/shm/holder") == 0, "unlink");
	for (unsigned long count = 1;; count++) {
		char lost[200] = "";
		strcat(lost, record_locked("/tmp/record") ? "" : "record-lock ");
		strcat(lost, whole_locked("/tmp/whole") ? "" : "flock ");
		strcat(lost, has_token(deleted) && access("/tmp/deleted", F_OK) < 0 ? "" : "deleted-file ");
		strcat(lost, has_token(memory) && memcmp(mapped, token, sizeof token) == 0 ? "" : "memfd ");
		strcat(lost, fcntl(memory, F_GET_SEALS) == F_SEAL_SHRINK ? "" : "seal ");
		strcat(lost, has_token(named) && access("/dev/holder", F_OK) == 0 ? "" : "tmpfs ");
		strcat(lost, has_token(unnamed) ? "" : "shared-memory-file ");
		printf("{\"token\": \"%s\", \"count\": %lu, \"holds\": %s, \"lost\": \"%s\"}\n", token, count,
		       lost[0] ? "false" : "true", lost);
		fflush(stdout);
		usleep(250000);
	}
}
