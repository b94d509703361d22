/* The world of one process, in a test's hand: syncs that fail, and what the calendar says. Loaded before everything else
 * (LD_PRELOAD); the file named by MILLRACE_WORLD is read at each call, so the test changes the world while the process
 * runs:
 *   offset 0    8 bytes  microseconds that are added to the calendar clock; the steady one stays as it is
 *   offset 8  248 bytes  part of a path: a sync of a file or folder with it in its path fails with EIO; "" none
 *   offset 256  256 bytes  part of a path: nothing can be written there, with EROFS, as on a disk that its driver gave up; "" none */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

struct world {
  volatile long long clock_us;
  volatile char unsynced[248];
  volatile char unwritten[256];
};

static struct world* world(void) {
  static struct world none;
  static struct world* found;
  if (!found) {
    const char* path = getenv("MILLRACE_WORLD");
    int fd = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC) : -1;
    void* at = fd < 0 ? MAP_FAILED : mmap(0, sizeof none, PROT_READ, MAP_SHARED, fd, 0);
    if (fd >= 0) close(fd);
    found = at == MAP_FAILED ? &none : at;
  }
  return found;
}

static int fails_with(const char* path, const volatile char* part, int error) {
  if (!*part || !strstr(path, (const char*)part)) return 0;
  errno = error;
  return 1;
}

static int fails(const char* path) { return fails_with(path, world()->unsynced, EIO); }
static int read_only(const char* path) { return fails_with(path, world()->unwritten, EROFS); }

static int fails_fd(int fd, const volatile char* part, int error) {
  char link[64], path[4096];
  if (!*part) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return fails_with(path, part, error);
}

static int unsynced(int fd) { return fails_fd(fd, world()->unsynced, EIO); }
static int unwritten(int fd) { return fails_fd(fd, world()->unwritten, EROFS); }

int fsync(int fd) { return unsynced(fd) ? -1 : (int)syscall(SYS_fsync, fd); }
int fdatasync(int fd) { return unsynced(fd) ? -1 : (int)syscall(SYS_fdatasync, fd); }

static int open_at(int dir, const char* path, int flags, mode_t mode) {
  if ((flags & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC)) && read_only(path)) return -1;
  return (int)syscall(SYS_openat, dir, path, flags, mode);
}

static mode_t mode_of(int flags, va_list more) { return flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0; }

#define OPEN(name)                                        \
  int name(const char* path, int flags, ...) {            \
    va_list more;                                         \
    va_start(more, flags);                                \
    mode_t mode = mode_of(flags, more);                   \
    va_end(more);                                         \
    return open_at(AT_FDCWD, path, flags, mode);          \
  }
OPEN(open)
OPEN(open64)

ssize_t write(int fd, const void* from, size_t size) { return unwritten(fd) ? -1 : syscall(SYS_write, fd, from, size); }
ssize_t pwrite(int fd, const void* from, size_t size, off_t at) {
  return unwritten(fd) ? -1 : syscall(SYS_pwrite64, fd, from, size, at);
}
ssize_t pwrite64(int fd, const void* from, size_t size, off64_t at) {
  return unwritten(fd) ? -1 : syscall(SYS_pwrite64, fd, from, size, at);
}
int ftruncate(int fd, off_t size) { return unwritten(fd) ? -1 : (int)syscall(SYS_ftruncate, fd, size); }
int ftruncate64(int fd, off64_t size) { return unwritten(fd) ? -1 : (int)syscall(SYS_ftruncate, fd, size); }
int rename(const char* from, const char* to) {
  return read_only(from) || read_only(to) ? -1 : (int)syscall(SYS_rename, from, to);
}
int unlink(const char* path) { return read_only(path) ? -1 : (int)syscall(SYS_unlink, path); }
int remove(const char* path) {
  if (read_only(path)) return -1;
  return syscall(SYS_unlink, path) == 0 || (errno == EISDIR && syscall(SYS_rmdir, path) == 0) ? 0 : -1;
}
int mkdir(const char* path, mode_t mode) { return read_only(path) ? -1 : (int)syscall(SYS_mkdir, path, mode); }

int msync(void* at, size_t length, int flags) {
  if (world()->unsynced[0]) {
    FILE* maps = fopen("/proc/self/maps", "re");
    char line[4352];
    int hit = 0;
    while (maps && !hit && fgets(line, sizeof line, maps)) {
      unsigned long from, to;
      hit = sscanf(line, "%lx-%lx", &from, &to) == 2 && (unsigned long)at >= from && (unsigned long)at < to && fails(line);
    }
    if (maps) fclose(maps);
    if (hit) {
      errno = EIO;
      return -1;
    }
  }
  return (int)syscall(SYS_msync, at, length, flags);
}

int clock_gettime(clockid_t clock, struct timespec* now) {
  int result = (int)syscall(SYS_clock_gettime, clock, now);
  if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
    long long us = now->tv_sec * 1000000LL + now->tv_nsec / 1000 + world()->clock_us;
    now->tv_sec = us / 1000000;
    now->tv_nsec = us % 1000000 * 1000;
  }
  return result;
}

int gettimeofday(struct timeval* restrict now, void* restrict zone) {
  struct timespec fine;
  (void)zone;
  if (clock_gettime(CLOCK_REALTIME, &fine) != 0) return -1;
  now->tv_sec = fine.tv_sec;
  now->tv_usec = fine.tv_nsec / 1000;
  return 0;
}

time_t time(time_t* to) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (to) *to = now.tv_sec;
  return now.tv_sec;
}
