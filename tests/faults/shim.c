/* Put before the C library by LD_PRELOAD: has calls fail, and moves the clock on the wall. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* What the program sets and reads. The same in `shim.rs`. */
struct faults {
    /* Seconds that the clock on the wall is ahead. */
    atomic_long clock_shift;
    /* Every so many calls of mmap fail; 0: none. */
    atomic_long mmap_every;
    atomic_long mmap_calls;
    atomic_long mmap_failed;
    /* The longest mapping asked for that is shorter than any of jemalloc's. */
    atomic_long mmap_longest;
    /* This call of pthread_create fails, counted down; 0: none. */
    atomic_long create_nth;
    /* This call fails, with this error, of those by threads that are meant; 0: none. */
    atomic_long call_nth;
    atomic_long call_errno;
    atomic_long call_seen;
    atomic_long call_failed;
    /* A descriptor to which the name of a call that failed is written, with a newline; 0: none. */
    atomic_long call_log;
    /* Which it was, with zeros to the end. */
    char call_name[16];
} plimsoll_faults;

static __thread int marked;

/* The calling thread's calls are meant, or no longer. */
void plimsoll_faults_mark(int on) { marked = on; }

/* Of a thread of ours, or of the one that the environment names. */
static int is_meant(void) {
    char name[17] = {0};
    if (marked || prctl(PR_GET_NAME, name) != 0)
        return marked;
    const char *only = getenv("PLIMSOLL_TEST_THREAD");
    return only ? strcmp(name, only) == 0 : strncmp(name, "plimsoll", 8) == 0;
}

/* Whether this call is the one that fails. */
static int fails(const char *name) {
    if (atomic_load(&plimsoll_faults.call_nth) == 0 || !is_meant())
        return 0;
    long seen = atomic_fetch_add(&plimsoll_faults.call_seen, 1) + 1;
    if (seen != atomic_load(&plimsoll_faults.call_nth))
        return 0;
    strncpy(plimsoll_faults.call_name, name, sizeof plimsoll_faults.call_name - 1);
    atomic_fetch_add(&plimsoll_faults.call_failed, 1);
    long log = atomic_load(&plimsoll_faults.call_log);
    if (log != 0) {
        syscall(SYS_write, log, name, strlen(name));
        syscall(SYS_write, log, "\n", 1);
    }
    errno = (int)atomic_load(&plimsoll_faults.call_errno);
    return 1;
}

#define REAL(name) \
    static __typeof__(&name) real; \
    if (!real) \
        real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

#define WRAP(result, name, parameters, arguments) \
    result name parameters { \
        REAL(name); \
        return fails(#name) ? (result)-1 : real arguments; \
    }

WRAP(ssize_t, read, (int fd, void *to, size_t most), (fd, to, most))
WRAP(ssize_t, write, (int fd, const void *from, size_t most), (fd, from, most))
WRAP(int, fsync, (int fd), (fd))
WRAP(int, rename, (const char *from, const char *to), (from, to))
WRAP(int, unlink, (const char *path), (path))
WRAP(int, poll, (struct pollfd *all, nfds_t count, int time), (all, count, time))
WRAP(int, eventfd, (unsigned start, int flags), (start, flags))
WRAP(off_t, lseek64, (int fd, off_t to, int whence), (fd, to, whence))
WRAP(int, madvise, (void *from, size_t length, int advice), (from, length, advice))
WRAP(int, socket, (int domain, int type, int protocol), (domain, type, protocol))
WRAP(int, connect, (int fd, const struct sockaddr *to, socklen_t length), (fd, to, length))
WRAP(ssize_t, send, (int fd, const void *from, size_t most, int flags), (fd, from, most, flags))
WRAP(ssize_t, sendto,
     (int fd, const void *from, size_t most, int flags, const struct sockaddr *to, socklen_t length),
     (fd, from, most, flags, to, length))
WRAP(ssize_t, sendmsg, (int fd, const struct msghdr *message, int flags), (fd, message, flags))
WRAP(int, statx, (int fd, const char *path, int flags, unsigned mask, struct statx *to),
     (fd, path, flags, mask, to))
WRAP(int, dup2, (int from, int to), (from, to))
WRAP(int, dup3, (int from, int to, int flags), (from, to, flags))
WRAP(int, execve, (const char *path, char *const *arguments, char *const *variables),
     (path, arguments, variables))
WRAP(int, sigaction, (int signal, const struct sigaction *to, struct sigaction *before),
     (signal, to, before))
WRAP(ssize_t, readlink, (const char *path, char *to, size_t most), (path, to, most))

#define WRAP_OPEN(name) \
    int name(const char *path, int flags, ...) { \
        REAL(name); \
        va_list more; \
        va_start(more, flags); \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0; \
        va_end(more); \
        return fails(#name) ? -1 : real(path, flags, mode); \
    }

WRAP_OPEN(open)
WRAP_OPEN(open64)

#define WRAP_FCNTL(name) \
    int name(int fd, int command, ...) { \
        REAL(name); \
        va_list more; \
        va_start(more, command); \
        void *argument = va_arg(more, void *); \
        va_end(more); \
        return fails(#name) ? -1 : real(fd, command, argument); \
    }

WRAP_FCNTL(fcntl)
WRAP_FCNTL(fcntl64)

int pthread_sigmask(int how, const sigset_t *to, sigset_t *before) {
    REAL(pthread_sigmask);
    return fails("pthread_sigmask") ? errno : real(how, to, before);
}

/* What the standard library waits with comes through here as well, and is left alone. */
long syscall(long number, ...) {
    REAL(syscall);
    va_list more;
    va_start(more, number);
    long with[6];
    for (int place = 0; place < 6; place++)
        with[place] = va_arg(more, long);
    va_end(more);
    int is_attr = number == SYS_sched_getattr || number == SYS_sched_setattr;
    int is_affinity = number == SYS_sched_getaffinity || number == SYS_sched_setaffinity;
    if ((is_attr && fails("sched_attr")) || (is_affinity && fails("sched_affinity")))
        return -1;
    return real(number, with[0], with[1], with[2], with[3], with[4], with[5]);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    REAL(clock_gettime);
    int answer = real(clock, now);
    if (answer == 0 && clock == CLOCK_REALTIME)
        now->tv_sec += atomic_load(&plimsoll_faults.clock_shift);
    return answer;
}

/* jemalloc maps no less. */
#define LEAST (1 << 20)

static int is_refused(size_t length) {
    long longest = atomic_load(&plimsoll_faults.mmap_longest);
    while (length < LEAST && (long)length > longest &&
           !atomic_compare_exchange_weak(&plimsoll_faults.mmap_longest, &longest, (long)length)) {
    }
    long every = atomic_load(&plimsoll_faults.mmap_every);
    if (every == 0)
        return 0;
    if ((atomic_fetch_add(&plimsoll_faults.mmap_calls, 1) + 1) % every != 0)
        return 0;
    atomic_fetch_add(&plimsoll_faults.mmap_failed, 1);
    errno = ENOMEM;
    return 1;
}

void *mmap(void *at, size_t length, int allows, int flags, int fd, off_t from) {
    REAL(mmap);
    return is_refused(length) ? MAP_FAILED : real(at, length, allows, flags, fd, from);
}

void *mmap64(void *at, size_t length, int allows, int flags, int fd, off_t from) {
    REAL(mmap64);
    return is_refused(length) ? MAP_FAILED : real(at, length, allows, flags, fd, from);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                   void *with) {
    REAL(pthread_create);
    if (atomic_load(&plimsoll_faults.create_nth) > 0 &&
        atomic_fetch_sub(&plimsoll_faults.create_nth, 1) == 1)
        return EAGAIN;
    return real(thread, attributes, run, with);
}

/* What has a thread's own block handed back at its end is refused to every thread, from the first on: by the
 * environment, for that is before `main`. */
int pthread_setspecific(pthread_key_t key, const void *value) {
    REAL(pthread_setspecific);
    if (value == (void *)1 && getenv("PLIMSOLL_TEST_NO_BLOCK"))
        return ENOMEM;
    return real(key, value);
}

/* A program started by vfork, which Rust has no safe way to call: its id, or -1. */
pid_t plimsoll_faults_vfork(const char *program, char *const *arguments, char *const *variables) {
    pid_t child = vfork();
    if (child == 0) {
        execve(program, arguments, variables);
        _exit(127);
    }
    return child;
}
