// Preloaded into CRIU on machines without CAP_SYS_RESOURCE, and nowhere else.
//
// CRIU asks the kernel for the resource limits of each process that it freezes. The kernel answers about a process of another
// user only to the holder of CAP_SYS_RESOURCE, so that without it no container of a non-root user can be frozen. The same
// figures stand in /proc/PID/limits, readable by root: a refused read is answered from there. Writes are never touched.
//
// CRIU may call prlimit, prlimit64 or syscall(SYS_prlimit64, ...), so all three are ours.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { VALUE_COLUMN = 26 };  // The kernel prints "%-25s " before the two values.

static const char *const titles[RLIM_NLIMITS] = {
	[RLIMIT_CPU] = "Max cpu time",
	[RLIMIT_FSIZE] = "Max file size",
	[RLIMIT_DATA] = "Max data size",
	[RLIMIT_STACK] = "Max stack size",
	[RLIMIT_CORE] = "Max core file size",
	[RLIMIT_RSS] = "Max resident set",
	[RLIMIT_NPROC] = "Max processes",
	[RLIMIT_NOFILE] = "Max open files",
	[RLIMIT_MEMLOCK] = "Max locked memory",
	[RLIMIT_AS] = "Max address space",
	[RLIMIT_LOCKS] = "Max file locks",
	[RLIMIT_SIGPENDING] = "Max pending signals",
	[RLIMIT_MSGQUEUE] = "Max msgqueue size",
	[RLIMIT_NICE] = "Max nice priority",
	[RLIMIT_RTPRIO] = "Max realtime priority",
	[RLIMIT_RTTIME] = "Max realtime timeout",
};

static long kernel(long number, long a, long b, long c, long d, long e, long f) {
	long result;
#if defined(__x86_64__)
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	__asm__ volatile("syscall"
	                 : "=a"(result)
	                 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
	                 : "rcx", "r11", "memory");
#elif defined(__aarch64__)
	register long x8 __asm__("x8") = number;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;
	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
	result = x0;
#else
#error "write this processor's system call first"
#endif
	if (result < 0 && result >= -4095) {
		errno = (int)-result;
		return -1;
	}
	return result;
}

static int read_value(const char **text, rlim_t *value) {
	char *end;
	while (**text == ' ')
		(*text)++;
	if (strncmp(*text, "unlimited", 9) == 0) {
		*value = RLIM_INFINITY;
		*text += 9;
		return 0;
	}
	*value = strtoull(*text, &end, 10);
	if (end == *text)
		return -1;
	*text = end;
	return 0;
}

static int read_from_proc(pid_t pid, int resource, struct rlimit64 *limit) {
	char path[32];
	char line[256];
	const char *title = titles[resource];
	int found = -1;
	FILE *file;

	snprintf(path, sizeof path, "/proc/%d/limits", (int)pid);
	file = fopen(path, "re");
	while (file && found < 0 && fgets(line, sizeof line, file)) {
		const char *rest = line + VALUE_COLUMN;
		size_t length = strlen(title);
		if (strlen(line) <= VALUE_COLUMN || strncmp(line, title, length) != 0 || line[length] != ' ')
			continue;
		found = read_value(&rest, &limit->rlim_cur) || read_value(&rest, &limit->rlim_max) ? -1 : 0;
	}
	if (file)
		fclose(file);
	errno = EPERM;  // Whoever asked sees the kernel's refusal if /proc knew no better.
	return found;
}

static long read_or_write(pid_t pid, int resource, const void *new_limit, void *old_limit) {
	long result = kernel(SYS_prlimit64, pid, resource, (long)new_limit, (long)old_limit, 0, 0);
	int known = resource >= 0 && resource < (int)RLIM_NLIMITS && titles[resource];
	if (result == 0 || errno != EPERM || new_limit || !old_limit || !known)
		return result;
	return read_from_proc(pid, resource, old_limit);
}

int prlimit(pid_t pid, enum __rlimit_resource resource, const struct rlimit *new_limit, struct rlimit *old_limit) {
	return (int)read_or_write(pid, (int)resource, new_limit, old_limit);
}

int prlimit64(pid_t pid, enum __rlimit_resource resource, const struct rlimit64 *new_limit, struct rlimit64 *old_limit) {
	return (int)read_or_write(pid, (int)resource, new_limit, old_limit);
}

long syscall(long number, ...) {
	long word[6];
	va_list list;
	va_start(list, number);
	for (int i = 0; i < 6; i++)
		word[i] = va_arg(list, long);
	va_end(list);
	if (number == SYS_prlimit64)
		return read_or_write((pid_t)word[0], (int)word[1], (const void *)word[2], (void *)word[3]);
	return kernel(number, word[0], word[1], word[2], word[3], word[4], word[5]);
}
