/* A disk that fails, for tests of the program: loaded by LD_PRELOAD, it stands between the program and its
 * files. Environment variables say what fails; a file is meant where its path contains the text given.
 *
 *   FAULT_FULL=TEXT FAULT_BYTES=N  writes fail with ENOSPC once N bytes are written to such files in all
 *   FAULT_READ=TEXT FAULT_NTH=K    reads of the K-th such file that is opened fail with EIO in its middle
 *   FAULT_READONLY=TEXT            opening for writing, making and removing fail with EROFS
 *   FAULT_FSYNC=TEXT               fsync and fdatasync fail with EIO
 *   FAULT_RENAME=1                 no file gets another name: EIO, from the system itself
 *   FAULT_KILL=TEXT FAULT_NTH=K    the process is killed at its K-th step that changes such a file: before it,
 *                                  or of a write after half of its bytes
 *
 * Every fault says so on standard error, "fault: ...", so that a test sees that it bit. Linux alone; the
 * system is called without libc's own functions, which are the ones replaced here. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#ifdef SYS_rename
#define OTHER_RENAME SYS_rename
#else
#define OTHER_RENAME SYS_renameat2
#endif

static atomic_long written, opened, steps;
static atomic_int bad_fd = -1;

static long number(const char *name, long otherwise) {
    const char *text = getenv(name);
    return text ? atol(text) : otherwise;
}

static int meant(const char *fault, const char *path) {
    const char *text = getenv(fault);
    return text && path && strstr(path, text) != NULL;
}

static void say(const char *what, const char *path) {
    char line[4200];
    int n = snprintf(line, sizeof line, "fault: %s: %s\n", what, path);
    syscall(SYS_write, 2, line, n < (int)sizeof line ? n : (int)sizeof line - 1);
}

static int fail(int error, const char *what, const char *path) {
    say(what, path);
    errno = error;
    return -1;
}

/* The path of an open regular file; none of a terminal, a pipe or a device. */
static const char *path_of(int fd, char *path, size_t size) {
    char link[64];
    struct stat about;
    if (fstat(fd, &about) != 0 || !S_ISREG(about.st_mode)) return NULL;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = syscall(SYS_readlinkat, AT_FDCWD, link, path, size - 1);
    if (n < 0) return NULL;
    path[n] = 0;
    return path;
}

/* Whether this step is the one that the process does not survive. */
static int is_last(const char *path) {
    return meant("FAULT_KILL", path) && atomic_fetch_add(&steps, 1) + 1 == number("FAULT_NTH", 1);
}

static void end(const char *what, const char *path) {
    say(what, path);
    syscall(SYS_kill, getpid(), SIGKILL);
    for (;;) pause();
}

static void may_end(const char *what, const char *path) {
    if (is_last(path)) end(what, path);
}

/* How many of `size` bytes may be written; -1 with errno where none. */
static ssize_t room(int fd, size_t size) {
    char text[4096];
    const char *path = path_of(fd, text, sizeof text);
    if (!path) return (ssize_t)size;
    if (is_last(path)) {
        ssize_t half = (ssize_t)(size / 2);
        return half > 0 ? -2 - half : (end("killed before a write", path), 0);
    }
    if (!meant("FAULT_FULL", path)) return (ssize_t)size;
    long left = number("FAULT_BYTES", 0) - atomic_fetch_add(&written, (long)size);
    if (left >= (long)size) return (ssize_t)size;
    if (left > 0) return left;
    return fail(ENOSPC, "no space", path);
}

ssize_t write(int fd, const void *bytes, size_t size) {
    ssize_t n = room(fd, size);
    if (n == -1) return -1;
    if (n < -1) {
        syscall(SYS_write, fd, bytes, (size_t)(-2 - n));
        end("killed in a write", "");
    }
    return syscall(SYS_write, fd, bytes, (size_t)n);
}

ssize_t pwrite64(int fd, const void *bytes, size_t size, off_t at) {
    ssize_t n = room(fd, size);
    if (n == -1) return -1;
    if (n < -1) {
        syscall(SYS_pwrite64, fd, bytes, (size_t)(-2 - n), at);
        end("killed in a write", "");
    }
    return syscall(SYS_pwrite64, fd, bytes, (size_t)n, at);
}

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t at) { return pwrite64(fd, bytes, size, at); }

ssize_t writev(int fd, const struct iovec *parts, int count) {
    /* As few bytes as a system may take: the first part. */
    for (int i = 0; i < count; i++)
        if (parts[i].iov_len > 0) return write(fd, parts[i].iov_base, parts[i].iov_len);
    return 0;
}

/* How many of `size` bytes from `at` on may be read; -1 with errno where none. */
static ssize_t readable(int fd, size_t size, off_t at) {
    struct stat about;
    if (fd != atomic_load(&bad_fd) || fstat(fd, &about) != 0) return (ssize_t)size;
    off_t left = about.st_size / 2 - at;
    if (left >= (off_t)size) return (ssize_t)size;
    if (left > 0) return left;
    char text[4096];
    const char *path = path_of(fd, text, sizeof text);
    return fail(EIO, "no reading", path ? path : "");
}

ssize_t read(int fd, void *bytes, size_t size) {
    ssize_t n = (ssize_t)size;
    if (fd >= 0 && fd == atomic_load(&bad_fd)) n = readable(fd, size, lseek(fd, 0, SEEK_CUR));
    return n < 0 ? n : syscall(SYS_read, fd, bytes, (size_t)n);
}

ssize_t pread64(int fd, void *bytes, size_t size, off_t at) {
    ssize_t n = readable(fd, size, at);
    return n < 0 ? n : syscall(SYS_pread64, fd, bytes, (size_t)n, at);
}

ssize_t pread(int fd, void *bytes, size_t size, off_t at) { return pread64(fd, bytes, size, at); }

static int open_at(int folder, const char *path, int flags, mode_t mode) {
    int writes = (flags & O_ACCMODE) != O_RDONLY || (flags & O_CREAT);
    if (writes && meant("FAULT_READONLY", path)) return fail(EROFS, "no opening", path);
    if (writes) may_end("killed before opening", path);
    int fd = (int)syscall(SYS_openat, folder, path, flags, mode);
    int closed = fd;
    /* A number that is used again is another file. */
    atomic_compare_exchange_strong(&bad_fd, &closed, -1);
    if (fd >= 0 && !writes && meant("FAULT_READ", path)
        && atomic_fetch_add(&opened, 1) + 1 == number("FAULT_NTH", 1))
        atomic_store(&bad_fd, fd);
    return fd;
}

#define MODE(last)                           \
    mode_t mode = 0;                         \
    if (flags & (O_CREAT | O_TMPFILE)) {     \
        va_list more;                        \
        va_start(more, last);                \
        mode = va_arg(more, mode_t);         \
        va_end(more);                        \
    }

int open(const char *path, int flags, ...) {
    MODE(flags)
    return open_at(AT_FDCWD, path, flags, mode);
}
int open64(const char *path, int flags, ...) {
    MODE(flags)
    return open_at(AT_FDCWD, path, flags, mode);
}
int openat(int folder, const char *path, int flags, ...) {
    MODE(flags)
    return open_at(folder, path, flags, mode);
}
int openat64(int folder, const char *path, int flags, ...) {
    MODE(flags)
    return open_at(folder, path, flags, mode);
}

int fsync(int fd) {
    char text[4096];
    const char *path = path_of(fd, text, sizeof text);
    if (meant("FAULT_FSYNC", path)) return fail(EIO, "no syncing", path);
    if (path) may_end("killed before syncing", path);
    return (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd) {
    char text[4096];
    const char *path = path_of(fd, text, sizeof text);
    if (meant("FAULT_FSYNC", path)) return fail(EIO, "no syncing", path);
    if (path) may_end("killed before syncing", path);
    return (int)syscall(SYS_fdatasync, fd);
}

/* Rust's `tempfile` calls the system without libc, so that the system has to refuse. */
__attribute__((constructor)) static void refuse_renaming(void) {
    if (!getenv("FAULT_RENAME")) return;
    struct sock_filter lines[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_renameat, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_renameat2, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, OTHER_RENAME, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EIO),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { sizeof lines / sizeof *lines, lines };
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0)
        say("no renaming", "");
}

int ftruncate64(int fd, off_t size) {
    char text[4096];
    const char *path = path_of(fd, text, sizeof text);
    if (path) may_end("killed before cutting", path);
    return (int)syscall(SYS_ftruncate, fd, size);
}
int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

int mkdir(const char *path, mode_t mode) {
    if (meant("FAULT_READONLY", path)) return fail(EROFS, "no making", path);
    return (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
}

int unlink(const char *path) {
    if (meant("FAULT_READONLY", path)) return fail(EROFS, "no removing", path);
    may_end("killed before removing", path);
    return (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}
