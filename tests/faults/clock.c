/* Moves the wall clock of one process by the nanoseconds in the file that CLOCK_FILE names, read at every look.
   The monotonic clock is left alone, as when somebody sets the time. A wait for a moment of the wall clock ends when that
   moment comes by the moved clock, so it gets longer or shorter when the clock jumps. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000LL
#define EPOCH (400 * 1000000LL) /* seconds: a moment before that is one of the monotonic clock */
#define SLICE (SECOND / 50)

static volatile int64_t *shift;
static int (*real_gettime)(clockid_t, struct timespec *);
static int (*real_wait)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);

__attribute__((constructor)) static void start(void) {
    real_gettime = dlsym(RTLD_NEXT, "clock_gettime");
    real_wait = dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
    if (!real_wait) real_wait = dlsym(RTLD_NEXT, "pthread_cond_timedwait");
    const char *name = getenv("CLOCK_FILE");
    int file = name ? open(name, O_RDONLY) : -1;
    if (file >= 0) {
        void *memory = mmap(NULL, sizeof *shift, PROT_READ, MAP_SHARED, file, 0);
        if (memory != MAP_FAILED) shift = memory;
        close(file);
    }
}

static int64_t moved_by(void) { return shift ? *shift : 0; }

static int64_t wall(void) {
    struct timespec now;
    real_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * SECOND + now.tv_nsec + moved_by();
}

static struct timespec as_timespec(int64_t at) { return (struct timespec){at / SECOND, at % SECOND}; }

int clock_gettime(clockid_t clock, struct timespec *now) {
    if (!real_gettime) start();
    if (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE) return real_gettime(clock, now);
    *now = as_timespec(wall());
    return 0;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    (void)zone;
    if (!real_gettime) start();
    int64_t at = wall();
    *now = (struct timeval){at / SECOND, at % SECOND / 1000};
    return 0;
}

time_t time(time_t *to) {
    if (!real_gettime) start();
    time_t at = wall() / SECOND;
    if (to) *to = at;
    return at;
}

int timespec_get(struct timespec *now, int base) {
    if (base != TIME_UTC) return 0;
    clock_gettime(CLOCK_REALTIME, now);
    return base;
}

int pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex, const struct timespec *until) {
    if (!real_wait) start();
    if (until->tv_sec < EPOCH) return real_wait(condition, mutex, until); /* of the monotonic clock */
    int64_t left = until->tv_sec * SECOND + until->tv_nsec - wall();
    if (left <= 0) left = 0;
    int is_last = left <= SLICE;
    struct timespec now;
    real_gettime(CLOCK_REALTIME, &now);
    struct timespec end = as_timespec(now.tv_sec * SECOND + now.tv_nsec + (is_last ? left : SLICE));
    int result = real_wait(condition, mutex, &end);
    return result == ETIMEDOUT && !is_last ? 0 : result; /* a spurious wakeup: the caller waits on, by the clock of now */
}

/* librdkafka waits by this, whose own call of the above is inside the C library; a cnd_t is a pthread_cond_t. */
int cnd_timedwait(cnd_t *restrict condition, mtx_t *restrict mutex, const struct timespec *restrict until) {
    int result = pthread_cond_timedwait((pthread_cond_t *)condition, (pthread_mutex_t *)mutex, until);
    return result == 0 ? thrd_success : result == ETIMEDOUT ? thrd_timedout : thrd_error;
}
