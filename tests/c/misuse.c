/* Calls every function of softpatch.h wrongly and expects the error codes that the header promises.
 *
 *   misuse            what needs no model
 *   misuse MODEL      all of it */
#include "softpatch.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPECT(call, code)                                                                                   \
    do {                                                                                                     \
        softpatch_status got = (call);                                                                       \
        if (got != (code)) {                                                                                 \
            fprintf(stderr, "line %d: %s gave %s (%s)\n", __LINE__, #call, softpatch_status_name(got),       \
                    softpatch_last_error_message());                                                         \
            exit(1);                                                                                         \
        }                                                                                                    \
        if ((code) != SOFTPATCH_OK && softpatch_last_error_code() != (code)) {                               \
            fprintf(stderr, "line %d: the last error is %d\n", __LINE__, softpatch_last_error_code());       \
            exit(1);                                                                                         \
        }                                                                                                    \
    } while (0)

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "line %d: not so: %s\n", __LINE__, #condition);                                  \
            exit(1);                                                                                         \
        }                                                                                                    \
    } while (0)

#define ILL SOFTPATCH_INVALID_HANDLE
#define NIL SOFTPATCH_NULL_POINTER
#define ARG SOFTPATCH_INVALID_ARGUMENT
#define IMG SOFTPATCH_INVALID_IMAGE
#define SMALL SOFTPATCH_BUFFER_TOO_SMALL
#define NOT_UTF8 "\xff\xfe.model"
#define NONE SOFTPATCH_MAP_NONE, NULL, 0

enum { SIDE = 80 };

static unsigned char grey[SIDE * SIDE];

static softpatch_image frame(void) {
    softpatch_image image;
    memset(&image, 0, sizeof image);
    image.pixels = grey;
    image.size = sizeof grey;
    image.width = image.height = SIDE;
    image.format = SOFTPATCH_GRAY8;
    return image;
}

/* A pointer that no value of more than a byte may have. */
static void *odd(void *pointer) { return (char *)pointer + 1; }

/* A handle that is none of the kind that each function wants. */
static void bad_handle(uint64_t bad) {
    unsigned char byte = 0;
    char text[8];
    size_t size = 0;
    uint32_t number;
    float value = 1;
    uint64_t made = 1, ticket = 7;
    softpatch_image image = frame();
    softpatch_result result;
    softpatch_model_info info;
    EXPECT(softpatch_context_free(bad), ILL);
    EXPECT(softpatch_context_info_json(bad, text, sizeof text, &size), ILL);
    EXPECT(softpatch_fit_folder(bad, "x", NULL, NULL, NULL, &made), ILL);
    CHECK(made == 0);
    made = 1;
    EXPECT(softpatch_fit_images(bad, &image, 1, NULL, NULL, NULL, &made), ILL);
    CHECK(made == 0);
    made = 1;
    EXPECT(softpatch_detector_load(bad, "x", &made), ILL);
    CHECK(made == 0);
    made = 1;
    EXPECT(softpatch_detector_load_bytes(bad, &byte, 1, &made), ILL);
    CHECK(made == 0);
    EXPECT(softpatch_detector_save(bad, "x"), ILL);
    EXPECT(softpatch_detector_to_bytes(bad, &byte, 1, &size), ILL);
    EXPECT(softpatch_detector_free(bad), ILL);
    EXPECT(softpatch_detector_info(bad, &info), ILL);
    EXPECT(softpatch_detector_ignore(bad, NULL), ILL);
    EXPECT(softpatch_detector_info_json(bad, text, sizeof text, &size), ILL);
    EXPECT(softpatch_detector_calibrated(bad, 1, &value), ILL);
    CHECK(value == 1);
    EXPECT(softpatch_text_copy(bad, text, sizeof text, &size), ILL);
    EXPECT(softpatch_text_free(bad), ILL);
#define NO_TEXT(call)                                                                                        \
    do {                                                                                                     \
        made = 1;                                                                                            \
        EXPECT(call, ILL);                                                                                   \
        CHECK(made == 0);                                                                                    \
    } while (0)
    NO_TEXT(softpatch_detector_explain(bad, NULL, &image, 1, 1, NULL, &made));
    NO_TEXT(softpatch_detector_verify(bad, &made));
    NO_TEXT(softpatch_audit(bad, ".", NULL, NULL, NULL, &made));
    NO_TEXT(softpatch_shards_plan(bad, ".", NULL, NULL, NULL, &made));
    EXPECT(softpatch_shards_features(bad, "{}", NULL, 0, NULL, 0, NULL, 0, NULL, NULL), ILL);
    EXPECT(softpatch_shards_outlier_scores(bad, "{}", NULL, 0, NULL, 0, NULL, NULL, NULL), ILL);
    EXPECT(softpatch_shards_choose(bad, "{}", NULL, 0, NULL, 1, NULL, 0, NULL, NULL), ILL);
    EXPECT(softpatch_shards_distances(bad, "{}", NULL, 0, NULL, 0, NULL, 0, NULL, NULL), ILL);
    NO_TEXT(softpatch_shards_model(bad, "{}", "{}", NULL, NULL, NULL, 0, &made));
    EXPECT(softpatch_shards_leave_one_out(bad, "{}", bad, NULL, 0, 0, NULL, NULL, 0, NULL, NULL), ILL);
    NO_TEXT(softpatch_shards_finish(bad, "{}", bad, NULL, NULL, 0, &made));
    NO_TEXT(softpatch_model_calibrate(bad, "x", ".", NULL, NULL, NULL, NULL, &made));
    NO_TEXT(softpatch_model_keep_references(bad, "x", ".", NULL, NULL, &made));
    NO_TEXT(softpatch_model_allow(bad, "x", "x", &image, NULL, NULL, &made));
    NO_TEXT(softpatch_model_deny(bad, "x", "x", &image, NULL, 0, NULL, &made));
    EXPECT(softpatch_map_size(bad, SOFTPATCH_MAP_GRID, 1, 1, &number, &number), ILL);
    EXPECT(softpatch_peak(bad, SOFTPATCH_MAP_SOURCE, &value, 1, 1, 1, &number, &number), ILL);
    EXPECT(softpatch_regions(bad, &value, 1, 1, 1, 0, NULL, 0, &size, NULL, 0, &size), ILL);
    EXPECT(softpatch_score(bad, &image, NONE, &result), ILL);
    EXPECT(softpatch_score_batch(bad, &image, 1, NONE, &result), ILL);
    made = 1;
    EXPECT(softpatch_stream_create(bad, 1, &made), ILL);
    CHECK(made == 0);
    EXPECT(softpatch_stream_submit(bad, &image, &ticket), ILL);
    CHECK(ticket == 7);
    EXPECT(softpatch_stream_wait(bad, 0, NONE, &result), ILL);
    EXPECT(softpatch_stream_discard(bad, 0, &number), ILL);
    EXPECT(softpatch_stream_in_flight(bad, &size), ILL);
    EXPECT(softpatch_stream_free(bad), ILL);
}

/* The texts that are never null. */
static void texts(void) {
    int32_t code;
    CHECK(softpatch_last_error_code() == SOFTPATCH_OK && !*softpatch_last_error_message());
    for (code = -2; code < 20; code++) CHECK(*softpatch_status_name(code));
    CHECK(!strcmp(softpatch_status_name(INT32_MIN), softpatch_status_name(INT32_MAX)));
    CHECK(*softpatch_version());
    CHECK(softpatch_abi_version() == SOFTPATCH_ABI_VERSION);
}

static void adapters(void) {
    softpatch_adapter one;
    size_t count = 0;
    EXPECT(softpatch_adapter_list(NULL, 0, NULL), NIL);
    EXPECT(softpatch_adapter_list(NULL, 3, &count), NIL);
    EXPECT(softpatch_adapter_list(&one, SIZE_MAX, &count), ARG);
    EXPECT(softpatch_adapter_list(odd(&one), 1, &count), ARG);
    EXPECT(softpatch_adapter_list(NULL, 0, odd(&count)), ARG);
    EXPECT(softpatch_adapter_list(NULL, 0, &count), SOFTPATCH_OK);
    CHECK(count > 0);
}

static void context_options(void) {
    softpatch_context_options options;
    softpatch_context context = 1;
    const size_t size = sizeof options;
    EXPECT(softpatch_context_options_init(NULL, size), NIL);
    EXPECT(softpatch_context_options_init(&options, 0), ARG);
    EXPECT(softpatch_context_options_init(&options, size - 1), ARG);
    EXPECT(softpatch_context_options_init(&options, size + 8), ARG);
    EXPECT(softpatch_context_options_init(&options, SIZE_MAX), ARG);
    EXPECT(softpatch_context_options_init(odd(&options), size), ARG);
    EXPECT(softpatch_context_create(NULL, NULL), NIL);
    EXPECT(softpatch_context_create(NULL, odd(&context)), ARG);
#define CREATE(change, code)                                                                                 \
    do {                                                                                                     \
        EXPECT(softpatch_context_options_init(&options, size), SOFTPATCH_OK);                                \
        change;                                                                                              \
        context = 1;                                                                                         \
        EXPECT(softpatch_context_create(&options, &context), code);                                          \
        CHECK(context == 0);                                                                                 \
    } while (0)
    CREATE(options.struct_size = 0, ARG);
    CREATE(options.struct_size = SIZE_MAX, ARG);
    CREATE(options.power = 2, ARG);
    CREATE(options.adapter_index = -2, ARG);
    CREATE(options.adapter_index = INT32_MAX, ARG);
    CREATE((options.adapter_index = 0, options.adapter_name = "x"), ARG);
    CREATE(options.adapter_name = NOT_UTF8, ARG);
    CREATE(options.adapter_name = "no adapter is called this", SOFTPATCH_DEVICE);
    CREATE(options.weights_path = NOT_UTF8, ARG);
    CREATE(options.weights_path = "no/such/weights", SOFTPATCH_IO);
    CREATE(options.layers = "layer2", ARG);
    CREATE(options.architecture = "resnet18", ARG);
    CREATE((options.weights_path = "x", options.architecture = NOT_UTF8), ARG);
    CREATE((options.weights_path = "x", options.layers = NOT_UTF8), ARG);
}

static int32_t never(void *user, uint32_t stage, uint64_t done, uint64_t total) {
    (void)user, (void)stage, (void)done, (void)total;
    fputs("a fit that is refused called back\n", stderr);
    exit(1);
}

static int32_t at_once(void *user, uint32_t stage, uint64_t done, uint64_t total) {
    (void)stage, (void)done, (void)total;
    ++*(int *)user;
    return 1;
}

static void fits(softpatch_context context) {
    softpatch_fit_options options;
    softpatch_detector made = 1;
    softpatch_image image = frame();
    softpatch_image two[2];
    const size_t size = sizeof options;
    int calls = 0;
    EXPECT(softpatch_fit_options_init(NULL, size), NIL);
    EXPECT(softpatch_fit_options_init(&options, 0), ARG);
    EXPECT(softpatch_fit_options_init(&options, size + 8), ARG);
    EXPECT(softpatch_fit_options_init(odd(&options), size), ARG);
    EXPECT(softpatch_fit_folder(context, NULL, NULL, never, NULL, &made), NIL);
    EXPECT(softpatch_fit_folder(context, "x", NULL, never, NULL, NULL), NIL);
    EXPECT(softpatch_fit_folder(context, NOT_UTF8, NULL, never, NULL, &made), ARG);
    EXPECT(softpatch_fit_folder(context, "no/such/folder", NULL, never, NULL, &made), SOFTPATCH_DATASET);
    EXPECT(softpatch_fit_images(context, NULL, 1, NULL, never, NULL, &made), NIL);
    EXPECT(softpatch_fit_images(context, &image, 1, NULL, never, NULL, NULL), NIL);
    EXPECT(softpatch_fit_images(context, odd(&image), 1, NULL, never, NULL, &made), ARG);
    EXPECT(softpatch_fit_images(context, &image, 1, odd(&options), never, NULL, &made), ARG);
    EXPECT(softpatch_fit_images(context, &image, SIZE_MAX, NULL, never, NULL, &made), ARG);
#define FIT(change, code)                                                                                    \
    do {                                                                                                     \
        EXPECT(softpatch_fit_options_init(&options, size), SOFTPATCH_OK);                                    \
        change;                                                                                              \
        made = 1;                                                                                            \
        EXPECT(softpatch_fit_images(context, &image, 1, &options, never, NULL, &made), code);                \
        CHECK(made == 0);                                                                                    \
        EXPECT(softpatch_fit_folder(context, ".", &options, never, NULL, &made), code);                      \
    } while (0)
    FIT(options.struct_size = 0, ARG);
    FIT(options.struct_size = size + 8, ARG);
    FIT(options.struct_size = SIZE_MAX, ARG);
    FIT(options.tau = 1, ARG);
    FIT(options.tau = -1, ARG);
    FIT(options.coreset_ratio = 0, ARG);
    FIT(options.discriminator = 5, ARG);
    FIT(options.lof_k = 0, ARG);
    FIT(options.soft_weights = 2, ARG);
    FIT(options.projection = UINT32_MAX, ARG);
    FIT(options.resize = options.crop - 1, ARG);
    FIT(options.crop = UINT32_MAX, ARG);
    FIT(options.batch = 0, ARG);
    FIT(options.embedding = 3, ARG);
    FIT(options.embedding_dim = 63, ARG);
    FIT(options.compat = 2, ARG);
    FIT(options.exif = 2, ARG);
    FIT(options.precision = 2, ARG);
    FIT(options.bits = 7, ARG);
    FIT(options.bits = 17, ARG);
    FIT(options.black = 1, ARG);
    FIT((options.bits = 12, options.white = 1), ARG);
#define FOLDER(change, code)                                                                                 \
    do {                                                                                                     \
        EXPECT(softpatch_fit_options_init(&options, size), SOFTPATCH_OK);                                    \
        change;                                                                                              \
        made = 1;                                                                                            \
        EXPECT(softpatch_fit_folder(context, ".", &options, never, NULL, &made), code);                      \
        CHECK(made == 0);                                                                                    \
    } while (0)
    FOLDER(options.all = 2, ARG);
    FOLDER(options.layout = "no layout", ARG);
    FOLDER(options.layout = NOT_UTF8, ARG);
    FOLDER(options.take = NOT_UTF8, ARG);
    FOLDER(options.take = "no/such/folder", SOFTPATCH_DATASET);
    two[0] = two[1] = image;
    two[1].size--;
    EXPECT(softpatch_fit_images(context, two, 2, NULL, never, NULL, &made), IMG);
    two[1].size++;
    EXPECT(softpatch_fit_images(context, two, 2, NULL, at_once, &calls, &made), SOFTPATCH_CANCELLED);
    CHECK(calls == 1 && made == 0);
}

/* Plans that are none, whose arrays are then not looked at. */
static void shards(softpatch_context context) {
    static const char *const plans[] = {"", "{}", "[1]", "{\"images\": 1}", NOT_UTF8};
    const char *path = "x";
    softpatch_detector made = 1;
    float value = 7;
    uint32_t number = 7;
    size_t i;
    EXPECT(softpatch_shards_plan(context, ".", NULL, never, NULL, NULL), NIL);
    EXPECT(softpatch_shards_plan(context, NULL, NULL, never, NULL, &made), NIL);
    EXPECT(softpatch_shards_plan(context, "no/such/folder", NULL, never, NULL, &made), SOFTPATCH_DATASET);
    EXPECT(softpatch_shards_features(context, NULL, &path, 1, &value, 1, &value, 1, never, NULL), NIL);
    EXPECT(softpatch_shards_model(context, "{}", "{}", &value, &value, &number, 1, NULL), NIL);
    for (i = 0; i < sizeof plans / sizeof *plans; i++) {
        const char *plan = plans[i];
        EXPECT(softpatch_shards_features(context, plan, &path, 1, &value, 1, &value, 1, never, NULL), ARG);
        EXPECT(softpatch_shards_outlier_scores(context, plan, &value, 1, &value, 1, &number, never, NULL), ARG);
        EXPECT(softpatch_shards_choose(context, plan, &value, 1, NULL, 1, &number, 1, never, NULL), ARG);
        EXPECT(softpatch_shards_distances(context, plan, &value, 1, &value, 1, &value, 1, never, NULL), ARG);
        EXPECT(softpatch_shards_model(context, plan, "{}", &value, &value, &number, 1, &made), ARG);
        EXPECT(softpatch_shards_leave_one_out(context, plan, 0, &value, 1, 0, &value, &value, 1, never, NULL), ARG);
        EXPECT(softpatch_shards_finish(context, plan, 0, &value, &value, 1, &made), ARG);
    }
    CHECK(value == 7 && number == 7 && made == 0);
}

/* Model files that are none, names and outputs that do not do, options out of range; nothing is written. */
static void files(softpatch_context context) {
    softpatch_fit_options options;
    softpatch_image image = frame();
    softpatch_text made = 1;
    uint32_t region[4] = {0, 0, 1, 1};
    EXPECT(softpatch_fit_options_init(&options, sizeof options), SOFTPATCH_OK);
    EXPECT(softpatch_audit(context, ".", NULL, never, NULL, NULL), NIL);
    EXPECT(softpatch_audit(context, NULL, NULL, never, NULL, &made), NIL);
    EXPECT(softpatch_audit(context, NOT_UTF8, NULL, never, NULL, &made), ARG);
    EXPECT(softpatch_audit(context, "no/such/folder", NULL, never, NULL, &made), SOFTPATCH_DATASET);
    EXPECT(softpatch_audit(context, ".", odd(&options), never, NULL, &made), ARG);
    EXPECT(softpatch_audit(context, ".", NULL, never, NULL, odd(&made)), ARG);
    options.tau = 1;
    EXPECT(softpatch_audit(context, ".", &options, never, NULL, &made), ARG);
    EXPECT(softpatch_fit_options_init(&options, sizeof options), SOFTPATCH_OK);
    options.target_fpr = 0.7;
    EXPECT(softpatch_model_calibrate(context, "x", ".", &options, NULL, never, NULL, &made), ARG);
    EXPECT(softpatch_model_calibrate(context, NULL, ".", NULL, NULL, never, NULL, &made), NIL);
    EXPECT(softpatch_model_calibrate(context, "x", NULL, NULL, NULL, never, NULL, &made), NIL);
    EXPECT(softpatch_model_calibrate(context, "x", "no/such/folder", NULL, NULL, never, NULL, NULL),
           SOFTPATCH_DATASET);
    EXPECT(softpatch_model_keep_references(context, NULL, ".", NULL, NULL, NULL), NIL);
    EXPECT(softpatch_model_keep_references(context, "x", NULL, NULL, NULL, &made), NIL);
    EXPECT(softpatch_model_keep_references(context, "x", "no/such/folder", NULL, NULL, &made),
           SOFTPATCH_DATASET);
    EXPECT(softpatch_model_info_json("x", NULL), NIL);
    EXPECT(softpatch_model_info_json(NULL, &made), NIL);
    EXPECT(softpatch_model_info_json(NOT_UTF8, &made), ARG);
    EXPECT(softpatch_model_info_json("no/such/model", &made), SOFTPATCH_IO);
    EXPECT(softpatch_model_history_json("x", NULL), NIL);
    EXPECT(softpatch_model_history_json(NULL, &made), NIL);
    EXPECT(softpatch_model_history_json("no/such/model", &made), SOFTPATCH_IO);
    EXPECT(softpatch_model_remove_image(NULL, "x", NULL, NULL), NIL);
    EXPECT(softpatch_model_remove_image("x", NULL, NULL, &made), NIL);
    EXPECT(softpatch_model_remove_image("x", "x", NOT_UTF8, &made), ARG);
    EXPECT(softpatch_model_remove_image("no/such/model", "x", NULL, &made), SOFTPATCH_IO);
    EXPECT(softpatch_model_remove_image("x", "x", NULL, odd(&made)), ARG);
    EXPECT(softpatch_model_undo(NULL, NULL, NULL), NIL);
    EXPECT(softpatch_model_undo("no/such/model", NULL, &made), SOFTPATCH_IO);
    EXPECT(softpatch_model_forget_references(NULL, NULL, NULL), NIL);
    EXPECT(softpatch_model_forget_references("no/such/model", NULL, &made), SOFTPATCH_IO);
    EXPECT(softpatch_model_forget_references("x", NOT_UTF8, &made), ARG);
    EXPECT(softpatch_model_forget_references("x", NULL, odd(&made)), ARG);
    EXPECT(softpatch_model_allow(context, NULL, "x", &image, NULL, NULL, NULL), NIL);
    EXPECT(softpatch_model_allow(context, "x", NULL, &image, NULL, NULL, NULL), NIL);
    EXPECT(softpatch_model_allow(context, "x", "x", &image, odd(region), NULL, NULL), ARG);
    EXPECT(softpatch_model_allow(context, "no/such/model", "x", &image, region, NULL, &made), SOFTPATCH_IO);
    EXPECT(softpatch_model_deny(context, NULL, "x", &image, NULL, 0, NULL, NULL), NIL);
    EXPECT(softpatch_model_deny(context, "x", "x", &image, NULL, 1, NULL, NULL), ARG);
    EXPECT(softpatch_model_deny(context, "x", "x", &image, NULL, -1, NULL, &made), ARG);
    EXPECT(softpatch_model_deny(context, "no/such/model", "x", &image, region, 0, NULL, &made), SOFTPATCH_IO);
    CHECK(made == 0);
    shards(context);
}

/* What a model is not asked for rightly; its file stays as it is. */
static void edits(softpatch_context context, softpatch_detector good, const char *model) {
    softpatch_image image = frame(), wrong = frame();
    softpatch_text made = 1;
    char text[4];
    size_t size = 0;
    float share = 7;
    EXPECT(softpatch_detector_calibrated(good, 1, NULL), NIL);
    EXPECT(softpatch_detector_calibrated(good, 1, odd(&share)), ARG);
    CHECK(share == 7);
    EXPECT(softpatch_detector_explain(good, NULL, &image, 1, 1, NULL, NULL), NIL);
    EXPECT(softpatch_detector_explain(good, NULL, NULL, 1, 1, NULL, &made), NIL);
    EXPECT(softpatch_detector_explain(good, "x", &image, 1, 1, NULL, &made), ARG);
    EXPECT(softpatch_detector_explain(good, NULL, &image, 0, 1, NULL, &made), ARG);
    EXPECT(softpatch_detector_explain(good, NULL, &image, 1, UINT32_MAX, NULL, &made), ARG);
    EXPECT(softpatch_detector_explain(good, "no/such.png", NULL, 1, 1, NULL, &made), SOFTPATCH_IMAGE_FILE);
    wrong.size--;
    EXPECT(softpatch_detector_explain(good, NULL, &wrong, 1, 1, NULL, &made), IMG);
    EXPECT(softpatch_model_allow(context, model, "x", &wrong, NULL, NULL, &made), IMG);
    EXPECT(softpatch_model_remove_image(model, "no such image", NULL, &made), SOFTPATCH_MODEL);
    EXPECT(softpatch_model_remove_image(model, "train0.ppm", "no/such/folder/model", &made), SOFTPATCH_IO);
    EXPECT(softpatch_model_undo(model, NULL, &made), SOFTPATCH_MODEL);
    EXPECT(softpatch_detector_verify(good, NULL), NIL);
    EXPECT(softpatch_detector_verify(good, &made), SOFTPATCH_MODEL);
    CHECK(made == 0);
    EXPECT(softpatch_detector_explain(good, NULL, &image, 9, 9, NULL, &made), SOFTPATCH_OK);
    EXPECT(softpatch_text_copy(made, NULL, 0, NULL), NIL);
    EXPECT(softpatch_text_copy(made, NULL, 4, &size), NIL);
    EXPECT(softpatch_text_copy(made, text, sizeof text, &size), SMALL);
    EXPECT(softpatch_text_copy(made, text, SIZE_MAX, &size), ARG);
    CHECK(size > sizeof text);
    EXPECT(softpatch_detector_free(made), ILL);
    EXPECT(softpatch_text_free(made), SOFTPATCH_OK);
    EXPECT(softpatch_text_free(made), ILL);
    EXPECT(softpatch_text_copy(made, text, sizeof text, &size), ILL);
}

/* Calls that load what is no model. */
static void loads(softpatch_context context) {
    softpatch_detector made = 1;
    EXPECT(softpatch_detector_load(context, NULL, &made), NIL);
    EXPECT(softpatch_detector_load(context, "x", NULL), NIL);
    EXPECT(softpatch_detector_load(context, NOT_UTF8, &made), ARG);
    EXPECT(softpatch_detector_load(context, "no/such/model", &made), SOFTPATCH_IO);
    EXPECT(softpatch_detector_load(context, "", &made), SOFTPATCH_IO);
    EXPECT(softpatch_detector_load_bytes(context, NULL, 1, &made), NIL);
    EXPECT(softpatch_detector_load_bytes(context, NULL, 0, &made), NIL);
    EXPECT(softpatch_detector_load_bytes(context, grey, sizeof grey, NULL), NIL);
    EXPECT(softpatch_detector_load_bytes(context, grey, SIZE_MAX, &made), ARG);
    EXPECT(softpatch_detector_load_bytes(context, grey, 0, &made), SOFTPATCH_MODEL);
    EXPECT(softpatch_detector_load_bytes(context, grey, sizeof grey, &made), SOFTPATCH_MODEL);
    CHECK(made == 0);
}

static void context_info(softpatch_context context) {
    char text[4];
    size_t size = 0;
    EXPECT(softpatch_context_info_json(context, NULL, 0, NULL), NIL);
    EXPECT(softpatch_context_info_json(context, NULL, 9, &size), NIL);
    EXPECT(softpatch_context_info_json(context, text, sizeof text, &size), SMALL);
    EXPECT(softpatch_context_info_json(context, text, SIZE_MAX, &size), ARG);
    CHECK(size > sizeof text);
    EXPECT(softpatch_context_info_json(context, text, sizeof text, odd(&size)), ARG);
}

/* What is asked of a detector. */
static void detector(softpatch_detector good, const char *path) {
    unsigned char byte;
    char text[4];
    size_t size = 0;
    uint32_t width = 7, height = 7;
    size_t count = 0;
    float map[4] = {2, 0, 0, 0};
    softpatch_point point;
    softpatch_model_info info;
    softpatch_image image = frame();
    softpatch_result result;
    EXPECT(softpatch_detector_save(good, NULL), NIL);
    EXPECT(softpatch_detector_save(good, NOT_UTF8), ARG);
    EXPECT(softpatch_detector_save(good, "no/such/place"), SOFTPATCH_IO);
    EXPECT(softpatch_detector_save(good, "."), SOFTPATCH_IO);
    EXPECT(softpatch_detector_to_bytes(good, NULL, 0, NULL), NIL);
    EXPECT(softpatch_detector_to_bytes(good, NULL, 5, &size), NIL);
    EXPECT(softpatch_detector_to_bytes(good, &byte, 1, &size), SMALL);
    EXPECT(softpatch_detector_to_bytes(good, &byte, SIZE_MAX, &size), ARG);
    CHECK(size > 1);
    EXPECT(softpatch_detector_ignore(good, NOT_UTF8), ARG);
    EXPECT(softpatch_detector_ignore(good, "no/such/mask.png"), SOFTPATCH_IMAGE_FILE);
    EXPECT(softpatch_detector_ignore(good, NULL), SOFTPATCH_OK);
    EXPECT(softpatch_detector_info(good, NULL), NIL);
    EXPECT(softpatch_detector_info(good, odd(&info)), ARG);
    EXPECT(softpatch_detector_info_json(good, NULL, 0, NULL), NIL);
    EXPECT(softpatch_detector_info_json(good, text, sizeof text, &size), SMALL);
    EXPECT(softpatch_detector_info_json(good, text, SIZE_MAX, &size), ARG);
    EXPECT(softpatch_map_size(good, SOFTPATCH_MAP_GRID, 1, 1, NULL, &height), NIL);
    EXPECT(softpatch_map_size(good, SOFTPATCH_MAP_GRID, 1, 1, &width, NULL), NIL);
    EXPECT(softpatch_map_size(good, 4, 1, 1, &width, &height), ARG);
    CHECK(width == 7 && height == 7);
    EXPECT(softpatch_peak(good, SOFTPATCH_MAP_SOURCE, map, 4, 2, 2, NULL, &height), NIL);
    EXPECT(softpatch_peak(good, SOFTPATCH_MAP_SOURCE, map, 4, 2, 2, &width, NULL), NIL);
    EXPECT(softpatch_peak(good, SOFTPATCH_MAP_SOURCE, NULL, 4, 2, 2, &width, &height), NIL);
    EXPECT(softpatch_peak(good, SOFTPATCH_MAP_SOURCE, odd(map), 4, 2, 2, &width, &height), ARG);
    EXPECT(softpatch_peak(good, 4, map, 4, 2, 2, &width, &height), ARG);
    CHECK(width == 7 && height == 7);
    EXPECT(softpatch_regions(good, map, 4, 2, 2, 1, NULL, 0, NULL, NULL, 0, &size), NIL);
    EXPECT(softpatch_regions(good, map, 4, 2, 2, 1, NULL, 0, &size, NULL, 0, NULL), NIL);
    EXPECT(softpatch_regions(good, NULL, 4, 2, 2, 1, NULL, 0, &size, NULL, 0, &size), NIL);
    EXPECT(softpatch_regions(good, odd(map), 4, 2, 2, 1, NULL, 0, &size, NULL, 0, &size), ARG);
    EXPECT(softpatch_regions(good, map, 4, 2, 2, 1, NULL, 5, &size, NULL, 0, &size), NIL);
    EXPECT(softpatch_regions(good, map, 4, 2, 2, 1, NULL, 0, &count, &point, SIZE_MAX, &size), ARG);
    EXPECT(softpatch_regions(good, map, SIZE_MAX, 2, 2, 1, NULL, 0, &size, NULL, 0, &size), ARG);
    EXPECT(softpatch_score(good, &image, SOFTPATCH_MAP_GRID, map, SIZE_MAX, &result), ARG);
    EXPECT(softpatch_regions(good, map, 4, 2, 2, 1, NULL, 0, &count, &point, 1, &size), SMALL);
    CHECK(count == 1 && size == 4);
    /* Freed under a name of another kind, it stays. */
    EXPECT(softpatch_context_free(good), ILL);
    EXPECT(softpatch_stream_free(good), ILL);
    EXPECT(softpatch_detector_load(good, path, &good), ILL);
}

/* Images and maps that are not what they claim. */
static void images(softpatch_context context, softpatch_detector good, softpatch_stream stream) {
    softpatch_image image, two[2];
    softpatch_result result, results[2];
    softpatch_detector made;
    softpatch_fit_options options;
    float map[4], *maps[2];
    size_t lens[2];
    uint64_t ticket = 7;
    EXPECT(softpatch_fit_options_init(&options, sizeof options), SOFTPATCH_OK);
#define WRONG(change, code)                                                                                  \
    do {                                                                                                     \
        image = frame();                                                                                     \
        change;                                                                                              \
        two[0] = frame();                                                                                    \
        two[1] = image;                                                                                      \
        EXPECT(softpatch_score(good, &image, NONE, &result), code);                                          \
        EXPECT(softpatch_score_batch(good, two, 2, NONE, results), code);                                    \
        EXPECT(softpatch_stream_submit(stream, &image, &ticket), code);                                      \
        EXPECT(softpatch_fit_images(context, two, 2, &options, never, NULL, &made), code);                   \
    } while (0)
    WRONG(image.pixels = NULL, NIL);
    WRONG(image.size = 0, IMG);
    WRONG(image.size--, IMG);
    WRONG(image.size = SIZE_MAX, ARG);
    WRONG(image.stride = SIDE - 1, IMG);
    WRONG(image.stride = 1, IMG);
    WRONG(image.stride = SIDE + 1, IMG);
    WRONG(image.stride = SIZE_MAX, IMG);
    WRONG(image.width = 0, IMG);
    WRONG(image.height = 0, IMG);
    WRONG(image.width = UINT32_MAX, IMG);
    WRONG(image.height = UINT32_MAX, IMG);
    WRONG((image.width = image.height = UINT32_MAX, image.format = SOFTPATCH_RGBA8), IMG);
    WRONG(image.format = SOFTPATCH_RGB8, IMG);
    WRONG(image.format = SOFTPATCH_GRAY16, IMG);
    WRONG(image.format = SOFTPATCH_GRAY12, IMG);
    WRONG((image.format = SOFTPATCH_BAYER_RG8, image.height = 1), IMG);
    WRONG(image.format = SOFTPATCH_BAYER_BG8 + 1, ARG);
    WRONG(image.reserved = 1, ARG);
    CHECK(ticket == 7);
    image = frame();
    EXPECT(softpatch_score(good, NULL, NONE, &result), NIL);
    EXPECT(softpatch_score(good, odd(&image), NONE, &result), ARG);
    EXPECT(softpatch_score(good, &image, NONE, NULL), NIL);
    EXPECT(softpatch_score(good, &image, SOFTPATCH_MAP_GRID, NULL, 0, &result), NIL);
    EXPECT(softpatch_score(good, &image, SOFTPATCH_MAP_GRID, map, 4, &result), SMALL);
    EXPECT(softpatch_score(good, &image, SOFTPATCH_MAP_FRAME, map, 4, &result), SMALL);
    EXPECT(softpatch_score(good, &image, SOFTPATCH_MAP_SOURCE, map, 4, &result), SMALL);
    EXPECT(softpatch_score(good, &image, SOFTPATCH_MAP_GRID, odd(map), SIZE_MAX, &result), ARG);
    EXPECT(softpatch_score(good, &image, 4, map, 4, &result), ARG);
    two[0] = two[1] = image;
    EXPECT(softpatch_score_batch(good, NULL, 2, NONE, results), NIL);
    EXPECT(softpatch_score_batch(good, two, 2, NONE, NULL), NIL);
    EXPECT(softpatch_score_batch(good, two, SIZE_MAX, NONE, results), ARG);
    EXPECT(softpatch_score_batch(good, two, 2, SOFTPATCH_MAP_GRID, NULL, NULL, results), NIL);
    maps[0] = maps[1] = NULL;
    lens[0] = lens[1] = 1 << 20;
    EXPECT(softpatch_score_batch(good, two, 2, SOFTPATCH_MAP_GRID, maps, NULL, results), NIL);
    EXPECT(softpatch_score_batch(good, two, 2, SOFTPATCH_MAP_GRID, maps, lens, results), NIL);
    maps[0] = maps[1] = map;
    lens[0] = lens[1] = 4;
    EXPECT(softpatch_score_batch(good, two, 2, SOFTPATCH_MAP_GRID, maps, lens, results), SMALL);
}

static void streams(softpatch_detector good) {
    softpatch_stream stream = 1;
    softpatch_image image = frame();
    softpatch_result result;
    float map[4];
    size_t count;
    uint32_t gone = 7;
    EXPECT(softpatch_stream_create(good, 1, NULL), NIL);
    EXPECT(softpatch_stream_create(good, 0, &stream), ARG);
    EXPECT(softpatch_stream_create(good, SIZE_MAX, &stream), ARG);
    CHECK(stream == 0);
    EXPECT(softpatch_stream_create(good, 1, &stream), SOFTPATCH_OK);
    EXPECT(softpatch_stream_wait(stream, 1, NONE, &result), SOFTPATCH_EMPTY);
    EXPECT(softpatch_stream_wait(stream, 1, NONE, NULL), NIL);
    EXPECT(softpatch_stream_wait(stream, 1, 4, NULL, 0, &result), ARG);
    EXPECT(softpatch_stream_submit(stream, NULL, NULL), NIL);
    EXPECT(softpatch_stream_submit(stream, &image, odd(&count)), ARG);
    EXPECT(softpatch_stream_in_flight(stream, NULL), NIL);
    EXPECT(softpatch_stream_discard(stream, 0, NULL), NIL);
    EXPECT(softpatch_stream_discard(stream, UINT64_MAX, &gone), SOFTPATCH_OK);
    CHECK(gone == 0);
    EXPECT(softpatch_stream_submit(stream, &image, NULL), SOFTPATCH_OK);
    EXPECT(softpatch_stream_submit(stream, &image, NULL), SOFTPATCH_BUSY);
    /* A result that does not fit stays. */
    EXPECT(softpatch_stream_wait(stream, 600000, SOFTPATCH_MAP_GRID, map, 4, &result), SMALL);
    EXPECT(softpatch_stream_wait(stream, 600000, SOFTPATCH_MAP_GRID, NULL, 0, &result), NIL);
    EXPECT(softpatch_stream_in_flight(stream, &count), SOFTPATCH_OK);
    CHECK(count == 1);
    EXPECT(softpatch_stream_wait(stream, 0, NONE, &result), SOFTPATCH_OK);
    EXPECT(softpatch_detector_free(stream), ILL);
    EXPECT(softpatch_stream_free(stream), SOFTPATCH_OK);
    EXPECT(softpatch_stream_free(stream), ILL);
    EXPECT(softpatch_stream_submit(stream, &image, NULL), ILL);
}

static softpatch_detector shared;
static softpatch_stream shared_stream;

/* Scores until another thread frees the detector. */
static void *use(void *unused) {
    softpatch_image image = frame();
    softpatch_result result;
    softpatch_status status;
    do {
        status = softpatch_score(shared, &image, NONE, &result);
    } while (status == SOFTPATCH_OK);
    EXPECT(status, ILL);
    return unused;
}

/* Submits and takes until another thread frees the stream. */
static void *stream_on(void *unused) {
    softpatch_image image = frame();
    softpatch_result result;
    softpatch_status status;
    do {
        status = softpatch_stream_submit(shared_stream, &image, NULL);
        if (status == SOFTPATCH_OK) status = softpatch_stream_wait(shared_stream, 5, NONE, &result);
    } while (status != ILL);
    return unused;
}

/* Two threads free one handle: one of them does. */
static void *free_it(void *freed) {
    *(int *)freed = softpatch_detector_free(shared) == SOFTPATCH_OK;
    return NULL;
}

static void threads(void) {
    pthread_t users[4], freers[2];
    int i, freed[2];
    softpatch_image image = frame();
    softpatch_result result;
    EXPECT(softpatch_stream_create(shared, 2, &shared_stream), SOFTPATCH_OK);
    for (i = 0; i < 4; i++) CHECK(!pthread_create(&users[i], NULL, i < 2 ? use : stream_on, NULL));
    EXPECT(softpatch_score(shared, &image, NONE, &result), SOFTPATCH_OK);
    for (i = 0; i < 2; i++) CHECK(!pthread_create(&freers[i], NULL, free_it, &freed[i]));
    for (i = 0; i < 2; i++) pthread_join(freers[i], NULL);
    CHECK(freed[0] + freed[1] == 1);
    EXPECT(softpatch_stream_free(shared_stream), SOFTPATCH_OK);
    for (i = 0; i < 4; i++) pthread_join(users[i], NULL);
}

int main(int argc, char **argv) {
    softpatch_context context, freed;
    softpatch_stream stream;
    if (argc > 2) return 2;
    texts();
    adapters();
    context_options();
    EXPECT(softpatch_context_create(NULL, &freed), SOFTPATCH_OK);
    EXPECT(softpatch_context_create(NULL, &context), SOFTPATCH_OK);
    EXPECT(softpatch_context_free(freed), SOFTPATCH_OK);
    EXPECT(softpatch_context_free(freed), ILL);
    bad_handle(0);
    bad_handle(freed);
    bad_handle(UINT64_MAX);
    fits(context);
    loads(context);
    files(context);
    context_info(context);
    if (argc == 2) {
        EXPECT(softpatch_detector_load(context, argv[1], &shared), SOFTPATCH_OK);
        detector(shared, argv[1]);
        edits(context, shared, argv[1]);
        EXPECT(softpatch_stream_create(shared, 2, &stream), SOFTPATCH_OK);
        images(context, shared, stream);
        EXPECT(softpatch_stream_free(stream), SOFTPATCH_OK);
        bad_handle(stream);
        streams(shared);
        threads();
        bad_handle(shared);
    }
    EXPECT(softpatch_context_free(context), SOFTPATCH_OK);
    EXPECT(softpatch_context_free(context), ILL);
    puts(argc == 2 ? "every misuse got its error code" : "every misuse without a model got its error code");
    return 0;
}
