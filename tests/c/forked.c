/* Forks after the library was used: in the children every function says SOFTPATCH_FORKED at once, and they end
 * promptly, however they end.
 *
 *   forked MODEL */
#define _DEFAULT_SOURCE
#include "softpatch.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <signal.h>

/* Half a minute is long for a child that has nothing to do, and short for whoever waits for a test. */
enum { SIDE = 80, PATIENCE_MS = 30000, STEP_MS = 10 };

static unsigned char grey[SIDE * SIDE];
static softpatch_context context;
static softpatch_detector detector;
static softpatch_stream stream;

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "line %d: not so: %s (%s)\n", __LINE__, #condition,                             \
                    softpatch_last_error_message());                                                         \
            _exit(1);                                                                                        \
        }                                                                                                    \
    } while (0)

/* A call that does nothing but say why. */
#define REFUSED(call)                                                                                        \
    do {                                                                                                     \
        CHECK((call) == SOFTPATCH_FORKED);                                                                   \
        CHECK(softpatch_last_error_code() == SOFTPATCH_FORKED);                                              \
        CHECK(strstr(softpatch_last_error_message(), "forked"));                                             \
    } while (0)

static softpatch_image frame(void) {
    softpatch_image image;
    memset(&image, 0, sizeof image);
    image.pixels = grey;
    image.size = sizeof grey;
    image.width = image.height = SIDE;
    image.format = SOFTPATCH_GRAY8;
    return image;
}

static void every_call_is_refused(void) {
    softpatch_image image = frame();
    softpatch_result result;
    softpatch_context_options context_options;
    softpatch_fit_options fit_options;
    softpatch_model_info info;
    unsigned char byte;
    char text[8];
    size_t size = 7;
    uint32_t number = 7;
    float value = 1;
    uint64_t made = 7;
    REFUSED(softpatch_adapter_list(NULL, 0, &size));
    REFUSED(softpatch_context_options_init(&context_options, sizeof context_options));
    REFUSED(softpatch_context_create(NULL, &made));
    REFUSED(softpatch_context_info_json(context, text, sizeof text, &size));
    REFUSED(softpatch_fit_options_init(&fit_options, sizeof fit_options));
    REFUSED(softpatch_fit_folder(context, ".", NULL, NULL, NULL, &made));
    REFUSED(softpatch_fit_images(context, &image, 1, NULL, NULL, NULL, &made));
    REFUSED(softpatch_detector_save(detector, "never"));
    REFUSED(softpatch_detector_to_bytes(detector, &byte, 1, &size));
    REFUSED(softpatch_detector_load(context, "never", &made));
    REFUSED(softpatch_detector_load_bytes(context, &byte, 1, &made));
    REFUSED(softpatch_detector_info(detector, &info));
    REFUSED(softpatch_detector_info_json(detector, text, sizeof text, &size));
    REFUSED(softpatch_detector_ignore(detector, NULL));
    REFUSED(softpatch_detector_calibrated(detector, 1, &value));
    REFUSED(softpatch_detector_explain(detector, NULL, &image, 1, 1, NULL, &made));
    REFUSED(softpatch_detector_verify(detector, &made));
    REFUSED(softpatch_audit(context, ".", NULL, NULL, NULL, &made));
    REFUSED(softpatch_model_calibrate(context, "never", ".", NULL, NULL, NULL, NULL, &made));
    REFUSED(softpatch_model_keep_references(context, "never", ".", NULL, NULL, &made));
    REFUSED(softpatch_model_info_json("never", &made));
    REFUSED(softpatch_model_history_json("never", &made));
    REFUSED(softpatch_model_remove_image("never", "x", NULL, &made));
    REFUSED(softpatch_model_undo("never", NULL, &made));
    REFUSED(softpatch_model_forget_references("never", NULL, &made));
    REFUSED(softpatch_model_allow(context, "never", "x", &image, NULL, NULL, &made));
    REFUSED(softpatch_model_deny(context, "never", "x", &image, NULL, 0, NULL, &made));
    REFUSED(softpatch_shards_plan(context, ".", NULL, NULL, NULL, &made));
    REFUSED(softpatch_shards_features(context, "{}", NULL, 0, NULL, 0, NULL, 0, NULL, NULL));
    REFUSED(softpatch_shards_outlier_scores(context, "{}", NULL, 0, NULL, 0, NULL, NULL, NULL));
    REFUSED(softpatch_shards_choose(context, "{}", NULL, 0, NULL, 1, NULL, 0, NULL, NULL));
    REFUSED(softpatch_shards_distances(context, "{}", NULL, 0, NULL, 0, NULL, 0, NULL, NULL));
    REFUSED(softpatch_shards_model(context, "{}", "{}", NULL, NULL, NULL, 0, &made));
    REFUSED(softpatch_shards_leave_one_out(context, "{}", detector, NULL, 0, 0, NULL, NULL, 0, NULL, NULL));
    REFUSED(softpatch_shards_finish(context, "{}", detector, NULL, NULL, 0, &made));
    REFUSED(softpatch_text_copy(made, text, sizeof text, &size));
    REFUSED(softpatch_text_free(made));
    REFUSED(softpatch_map_size(detector, SOFTPATCH_MAP_GRID, 1, 1, &number, &number));
    REFUSED(softpatch_peak(detector, SOFTPATCH_MAP_SOURCE, &value, 1, 1, 1, &number, &number));
    REFUSED(softpatch_regions(detector, &value, 1, 1, 1, 0, NULL, 0, &size, NULL, 0, &size));
    REFUSED(softpatch_score(detector, &image, SOFTPATCH_MAP_NONE, NULL, 0, &result));
    REFUSED(softpatch_score_batch(detector, &image, 1, SOFTPATCH_MAP_NONE, NULL, NULL, &result));
    REFUSED(softpatch_stream_create(detector, 1, &made));
    REFUSED(softpatch_stream_submit(stream, &image, NULL));
    REFUSED(softpatch_stream_wait(stream, 60000, SOFTPATCH_MAP_NONE, NULL, 0, &result));
    REFUSED(softpatch_stream_discard(stream, 0, &number));
    REFUSED(softpatch_stream_in_flight(stream, &size));
    REFUSED(softpatch_stream_free(stream));
    REFUSED(softpatch_detector_free(detector));
    REFUSED(softpatch_context_free(context));
    CHECK(size == 7 && number == 7 && made == 7);
    CHECK(!strcmp(softpatch_status_name(SOFTPATCH_FORKED), "forked process"));
    CHECK(*softpatch_version() && softpatch_abi_version() == SOFTPATCH_ABI_VERSION);
}

/* Waits for a child that has to end with 0, and in time. */
static void ends(pid_t child, const char *how) {
    int status = 0, waited;
    for (waited = 0; waited < PATIENCE_MS; waited += STEP_MS) {
        pid_t ended = waitpid(child, &status, WNOHANG);
        if (ended == child) {
            if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return;
            fprintf(stderr, "the child that ends by %s came to %d\n", how, status);
            exit(1);
        }
        usleep(STEP_MS * 1000);
    }
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    fprintf(stderr, "the child that ends by %s hangs\n", how);
    exit(1);
}

int main(int count, char **arguments) {
    softpatch_image image = frame();
    softpatch_result before, after;
    uint64_t ticket;
    pid_t child;
    int i;
    if (count != 2) return 2;
    for (i = 0; i < SIDE * SIDE; i++) grey[i] = (unsigned char)(i * 7 % 251);
    /* A child of before the first call is a process of its own. */
    child = fork();
    if (child == 0) return softpatch_context_create(NULL, &context) == SOFTPATCH_OK ? 0 : 1;
    ends(child, "a return from main, with a context of its own");
    CHECK(softpatch_context_create(NULL, &context) == SOFTPATCH_OK);
    CHECK(softpatch_detector_load(context, arguments[1], &detector) == SOFTPATCH_OK);
    CHECK(softpatch_score(detector, &image, SOFTPATCH_MAP_NONE, NULL, 0, &before) == SOFTPATCH_OK);
    CHECK(softpatch_stream_create(detector, 4, &stream) == SOFTPATCH_OK);
    /* The worker of the stream is at it, and may hold any lock. */
    for (i = 0; i < 4; i++) CHECK(softpatch_stream_submit(stream, &image, &ticket) == SOFTPATCH_OK);
    child = fork();
    if (child == 0) {
        every_call_is_refused();
        exit(0);
    }
    ends(child, "exit, after every call");
    child = fork();
    if (child == 0) _exit(0);
    ends(child, "_exit");
    child = fork();
    if (child == 0) return 0;
    ends(child, "a return from main");
    child = fork();
    if (child == 0) {
        /* A child of the child. */
        child = fork();
        if (child == 0) {
            every_call_is_refused();
            return 0;
        }
        ends(child, "a return from main, two forks on");
        return 0;
    }
    ends(child, "a return from main, after a child of its own");
    for (i = 0; i < 4; i++)
        CHECK(softpatch_stream_wait(stream, 60000, SOFTPATCH_MAP_NONE, NULL, 0, &after) == SOFTPATCH_OK);
    CHECK(after.score == before.score);
    CHECK(softpatch_score(detector, &image, SOFTPATCH_MAP_NONE, NULL, 0, &after) == SOFTPATCH_OK);
    CHECK(after.score == before.score);
    CHECK(softpatch_stream_free(stream) == SOFTPATCH_OK);
    CHECK(softpatch_detector_free(detector) == SOFTPATCH_OK);
    CHECK(softpatch_context_free(context) == SOFTPATCH_OK);
    puts("every child was told, and ended");
    return 0;
}
