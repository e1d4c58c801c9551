/* Many threads on one stream: they submit, take, take back, count, and free it while others wait. Whatever the order,
 * every frame that was taken in is taken or taken back once, or goes with the stream, and every call returns.
 *
 *   stream MODEL */
#define _POSIX_C_SOURCE 200809L
#include "softpatch.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SIDE = 80, FRAMES = 12, LIMIT = 3, SUBMITTERS = 2, TAKERS = 2, ROUNDS = 3 };

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "line %d: not so: %s (%s)\n", __LINE__, #condition,                              \
                    softpatch_last_error_message());                                                         \
            exit(1);                                                                                         \
        }                                                                                                    \
    } while (0)

static unsigned char grey[SIDE * SIDE];
static softpatch_stream stream;

/* What became of the frames; the lock is held for all of it. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int submitted, taken, taken_back, submitters_left;
static char seen[SUBMITTERS * FRAMES];

static void rest(int milliseconds) {
    struct timespec time;
    time.tv_sec = 0;
    time.tv_nsec = milliseconds * 1000000L;
    nanosleep(&time, NULL);
}

static softpatch_image frame(const unsigned char *pixels) {
    softpatch_image image;
    memset(&image, 0, sizeof image);
    image.pixels = pixels;
    image.size = SIDE * SIDE;
    image.width = image.height = SIDE;
    image.format = SOFTPATCH_GRAY8;
    return image;
}

static void gone(uint64_t ticket, int *count) {
    pthread_mutex_lock(&lock);
    CHECK(ticket < sizeof seen && !seen[ticket]);
    seen[ticket] = 1;
    ++*count;
    pthread_mutex_unlock(&lock);
}

static int is_done(void) {
    int done;
    pthread_mutex_lock(&lock);
    done = submitters_left == 0 && taken + taken_back == submitted;
    pthread_mutex_unlock(&lock);
    return done;
}

/* Pixels are copied: they change, and go, as soon as a call returns. */
static void *submit(void *unused) {
    int i;
    (void)unused;
    for (i = 0; i < FRAMES; i++) {
        unsigned char *pixels = malloc(sizeof grey);
        softpatch_image image = frame(pixels);
        softpatch_status status;
        uint64_t ticket = UINT64_MAX;
        CHECK(pixels);
        memcpy(pixels, grey, sizeof grey);
        do {
            status = softpatch_stream_submit(stream, &image, &ticket);
            CHECK(status == SOFTPATCH_OK || status == SOFTPATCH_BUSY);
            if (status == SOFTPATCH_BUSY) rest(1);
        } while (status != SOFTPATCH_OK);
        memset(pixels, 255, sizeof grey);
        free(pixels);
        CHECK(ticket < SUBMITTERS * FRAMES);
        pthread_mutex_lock(&lock);
        submitted++;
        pthread_mutex_unlock(&lock);
    }
    pthread_mutex_lock(&lock);
    submitters_left--;
    pthread_mutex_unlock(&lock);
    return NULL;
}

static void *take(void *first_score) {
    while (!is_done()) {
        float map[SIDE * SIDE];
        softpatch_result result;
        softpatch_status status =
            softpatch_stream_wait(stream, 20, SOFTPATCH_MAP_SOURCE, map, SIDE * SIDE, &result);
        CHECK(status == SOFTPATCH_OK || status == SOFTPATCH_EMPTY || status == SOFTPATCH_PENDING);
        if (status != SOFTPATCH_OK) continue;
        CHECK(result.score == *(float *)first_score && result.map_width == SIDE && result.map_height == SIDE);
        gone(result.ticket, &taken);
    }
    return NULL;
}

static void *take_back(void *unused) {
    uint64_t ticket = 0;
    (void)unused;
    while (!is_done()) {
        uint32_t discarded = 7;
        CHECK(softpatch_stream_discard(stream, ticket, &discarded) == SOFTPATCH_OK);
        CHECK(discarded <= 1);
        if (discarded) gone(ticket, &taken_back);
        /* Not all of them. */
        ticket = (ticket + 5) % (SUBMITTERS * FRAMES);
        rest(1);
    }
    return NULL;
}

static void *count(void *unused) {
    (void)unused;
    while (!is_done()) {
        size_t in_flight = 99;
        CHECK(softpatch_stream_in_flight(stream, &in_flight) == SOFTPATCH_OK && in_flight <= LIMIT);
        rest(1);
    }
    return NULL;
}

/* One call after the other until the stream is gone. */
static void *until_it_goes(void *kind) {
    softpatch_image image = frame(grey);
    softpatch_result result;
    softpatch_status status;
    do {
        status = kind ? softpatch_stream_submit(stream, &image, NULL)
                      : softpatch_stream_wait(stream, 60000, SOFTPATCH_MAP_NONE, NULL, 0, &result);
        CHECK(status == SOFTPATCH_OK || status == SOFTPATCH_BUSY || status == SOFTPATCH_EMPTY ||
              status == SOFTPATCH_PENDING || status == SOFTPATCH_INVALID_HANDLE);
    } while (status != SOFTPATCH_INVALID_HANDLE);
    return NULL;
}

static int freed;

static void *free_it(void *unused) {
    softpatch_status status;
    (void)unused;
    rest(50);
    status = softpatch_stream_free(stream);
    CHECK(status == SOFTPATCH_OK || status == SOFTPATCH_INVALID_HANDLE);
    pthread_mutex_lock(&lock);
    freed += status == SOFTPATCH_OK;
    pthread_mutex_unlock(&lock);
    return NULL;
}

static void start(pthread_t *thread, void *(*what)(void *), void *with) {
    CHECK(!pthread_create(thread, NULL, what, with));
}

/* All frames come out once. */
static void all_at_work(softpatch_detector detector, float score) {
    pthread_t threads[SUBMITTERS + TAKERS + 2];
    int i, n = 0;
    size_t in_flight = 99;
    CHECK(softpatch_stream_create(detector, LIMIT, &stream) == SOFTPATCH_OK);
    submitters_left = SUBMITTERS;
    submitted = taken = taken_back = 0;
    memset(seen, 0, sizeof seen);
    for (i = 0; i < SUBMITTERS; i++) start(&threads[n++], submit, NULL);
    for (i = 0; i < TAKERS; i++) start(&threads[n++], take, &score);
    start(&threads[n++], take_back, NULL);
    start(&threads[n++], count, NULL);
    for (i = 0; i < n; i++) CHECK(!pthread_join(threads[i], NULL));
    CHECK(submitted == SUBMITTERS * FRAMES && taken + taken_back == submitted && taken > 0);
    CHECK(softpatch_stream_in_flight(stream, &in_flight) == SOFTPATCH_OK && in_flight == 0);
    CHECK(softpatch_stream_free(stream) == SOFTPATCH_OK);
}

/* It goes while others submit and wait, of two who free it one does, and nobody is left waiting. */
static void it_goes(softpatch_detector detector) {
    pthread_t threads[6];
    int i;
    CHECK(softpatch_stream_create(detector, LIMIT, &stream) == SOFTPATCH_OK);
    freed = 0;
    for (i = 0; i < 4; i++) start(&threads[i], until_it_goes, i % 2 ? grey : NULL);
    for (i = 4; i < 6; i++) start(&threads[i], free_it, NULL);
    for (i = 0; i < 6; i++) CHECK(!pthread_join(threads[i], NULL));
    CHECK(freed == 1);
}

int main(int arguments, char **argument) {
    softpatch_context_options options;
    softpatch_context context;
    softpatch_detector detector;
    softpatch_image image = frame(grey);
    softpatch_result result;
    uint64_t ticket;
    int i;
    if (arguments != 2) return 2;
    for (i = 0; i < SIDE * SIDE; i++) grey[i] = (unsigned char)(i * 7 % 251);
    CHECK(softpatch_context_options_init(&options, sizeof options) == SOFTPATCH_OK);
    options.no_self_test = 1;
    CHECK(softpatch_context_create(&options, &context) == SOFTPATCH_OK);
    CHECK(softpatch_detector_load(context, argument[1], &detector) == SOFTPATCH_OK);
    CHECK(softpatch_score(detector, &image, SOFTPATCH_MAP_NONE, NULL, 0, &result) == SOFTPATCH_OK);
    for (i = 0; i < ROUNDS; i++) {
        all_at_work(detector, result.score);
        it_goes(detector);
    }
    /* A stream outlives the handles of what it is made of; the longest wait is no overflow. */
    CHECK(softpatch_stream_create(detector, 1, &stream) == SOFTPATCH_OK);
    CHECK(softpatch_detector_free(detector) == SOFTPATCH_OK);
    CHECK(softpatch_context_free(context) == SOFTPATCH_OK);
    CHECK(softpatch_stream_submit(stream, &image, &ticket) == SOFTPATCH_OK && ticket == 0);
    CHECK(softpatch_stream_wait(stream, UINT64_MAX, SOFTPATCH_MAP_NONE, NULL, 0, &result) == SOFTPATCH_OK);
    CHECK(softpatch_stream_submit(stream, &image, NULL) == SOFTPATCH_OK);
    CHECK(softpatch_stream_free(stream) == SOFTPATCH_OK);
    puts("every frame came out once, and nobody was left waiting");
    return 0;
}
