/* The life of a model through softpatch.h, on painted parts whose truth is known: audited, fitted,
 * calibrated, explained, kept references of, edited, verified.
 *
 *   models FOLDER     an empty folder to write to */
#include "softpatch.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { SIDE = 96, TRAIN = 12, GOOD = 20, BLEMISHED = 5, AT_X = 60, AT_Y = 24, STAIN = 16 };

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "line %d: not so: %s (%s)\n", __LINE__, #condition,                             \
                    softpatch_last_error_message());                                                         \
            exit(1);                                                                                         \
        }                                                                                                    \
    } while (0)

#define DONE(call) CHECK((call) == SOFTPATCH_OK)

static char root[512];

/* A path below the folder; good until the fourth one after it. */
static const char *at(const char *name) {
    static char paths[4][640];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", root, name);
    return path;
}

/* Stripes with noise; a stain that is brighter than anything there. */
static void paint(unsigned char *grey, unsigned seed, int stained) {
    int x, y;
    seed = seed * 2654435761u + 1;
    for (y = 0; y < SIDE; y++) {
        for (x = 0; x < SIDE; x++) {
            int inside = x >= AT_X && x < AT_X + STAIN && y >= AT_Y && y < AT_Y + STAIN;
            seed = seed * 1664525u + 1013904223u;
            grey[y * SIDE + x] = (unsigned char)(60 + (x * 5) % 48 + (seed >> 24) / 16);
            if (stained && inside) grey[y * SIDE + x] = (x / 3 + y / 3) % 2 ? 255 : 0;
        }
    }
}

static void save(const char *name, unsigned seed, int stained) {
    unsigned char grey[SIDE * SIDE];
    FILE *file = fopen(at(name), "wb");
    CHECK(file);
    paint(grey, seed, stained);
    fprintf(file, "P5\n%d %d\n255\n", SIDE, SIDE);
    CHECK(fwrite(grey, 1, sizeof grey, file) == sizeof grey && !fclose(file));
}

/* The stained part of the file stained.pgm. */
static softpatch_image frame(void) {
    static unsigned char grey[SIDE * SIDE];
    softpatch_image image;
    paint(grey, 999, 1);
    memset(&image, 0, sizeof image);
    image.pixels = grey;
    image.size = sizeof grey;
    image.width = image.height = SIDE;
    image.format = SOFTPATCH_GRAY8;
    return image;
}

/* The text, which is freed; good until the next one. */
static const char *said(softpatch_text text) {
    static char *kept;
    size_t size = 0;
    CHECK(text);
    DONE(softpatch_text_copy(text, NULL, 0, &size));
    free(kept);
    CHECK((kept = malloc(size)));
    DONE(softpatch_text_copy(text, kept, size, NULL));
    DONE(softpatch_text_free(text));
    CHECK(strlen(kept) + 1 == size);
    return kept;
}

/* What comes after the first mention of a name. */
static const char *after(const char *json, const char *name) {
    char key[64];
    const char *found;
    snprintf(key, sizeof key, "\"%s\":", name);
    found = strstr(json, key);
    if (!found) fprintf(stderr, "no %s in %s\n", name, json);
    CHECK(found);
    return found + strlen(key);
}

static double number(const char *json, const char *name) { return strtod(after(json, name), NULL); }

static int is(const char *json, const char *name, const char *value) {
    return !strncmp(after(json, name), value, strlen(value));
}

/* The bytes of a model file; the caller frees them. */
static char *bytes(const char *path, long *size) {
    FILE *file = fopen(path, "rb");
    char *all;
    CHECK(file && !fseek(file, 0, SEEK_END));
    *size = ftell(file);
    rewind(file);
    CHECK((all = malloc((size_t)*size)));
    CHECK(fread(all, 1, (size_t)*size, file) == (size_t)*size && !fclose(file));
    return all;
}

static int same(const char *a, const char *b) {
    long sizes[2];
    char *one = bytes(a, &sizes[0]), *other = bytes(b, &sizes[1]);
    int equal = sizes[0] == sizes[1] && !memcmp(one, other, (size_t)sizes[0]);
    free(one);
    free(other);
    return equal;
}

/* Which stages were heard of, a bit for each. */
static int32_t note_stages(void *user, uint32_t stage, uint64_t done, uint64_t total) {
    CHECK(stage <= SOFTPATCH_STAGE_DISTANCES && done <= total);
    *(unsigned *)user |= 1u << stage;
    return 0;
}

static int32_t at_once(void *user, uint32_t stage, uint64_t done, uint64_t total) {
    (void)user, (void)stage, (void)done, (void)total;
    return 1;
}

static softpatch_fit_options settings(void) {
    softpatch_fit_options options;
    DONE(softpatch_fit_options_init(&options, sizeof options));
    options.size.width = SIDE;
    options.coreset_ratio = 0.5;
    return options;
}

/* The stained picture is the most suspicious one, there where the stain is. */
static void audit(softpatch_context context) {
    softpatch_fit_options options = settings();
    softpatch_text text = 1;
    const char *json;
    unsigned stages = 0;
    options.all = 1;
    CHECK(softpatch_audit(context, at("train"), &options, at_once, NULL, &text) == SOFTPATCH_CANCELLED);
    CHECK(!text);
    DONE(softpatch_audit(context, at("train"), &options, note_stages, &stages, &text));
    json = said(text);
    CHECK(stages == (1u << SOFTPATCH_STAGE_FEATURES | 1u << SOFTPATCH_STAGE_DENOISE |
                     1u << SOFTPATCH_STAGE_DISTANCES));
    CHECK(number(json, "count") == 1);
    json = after(json, "images");
    CHECK(number(json, "index") == BLEMISHED && is(json, "suspect", "true"));
    json = after(json, "peak") + 1;
    CHECK(fabs(atof(json) - (AT_X + STAIN / 2)) <= 12);
    CHECK(fabs(atof(strchr(json, ',') + 1) - (AT_Y + STAIN / 2)) <= 12);
}

/* Of 20 good pictures and a rate of a tenth, the second largest score is the threshold: one passes it, and
 * 19 of 21 places lie below. */
static void calibrate(softpatch_context context, const char *model) {
    softpatch_fit_options options = settings();
    softpatch_detector detector;
    softpatch_model_info info;
    softpatch_text text = 1;
    const char *json;
    double threshold;
    float share = 2;
    unsigned stages = 0;
    DONE(softpatch_detector_load(context, model, &detector));
    DONE(softpatch_detector_calibrated(detector, 1, &share));
    CHECK(share >= 0 && share <= 1);
    DONE(softpatch_detector_free(detector));
    options.target_fpr = 0.1;
    CHECK(softpatch_model_calibrate(context, model, at("train"), &options, NULL, NULL, NULL, &text) ==
          SOFTPATCH_DATASET);
    CHECK(strstr(softpatch_last_error_message(), "training images") && !text);
    DONE(softpatch_model_calibrate(context, model, at("good"), &options, at("set.st"), note_stages, &stages,
                                   &text));
    json = said(text);
    threshold = number(json, "threshold");
    CHECK(stages == 1u << SOFTPATCH_STAGE_SCORE);
    CHECK(is(json, "rule", "\"order-statistic\"") && number(json, "target_fpr") == 0.1);
    json = after(json, "at_threshold");
    CHECK(number(json, "good") == GOOD && number(json, "false_alarms") == 1 && number(json, "defects") == 0);
    DONE(softpatch_detector_load(context, at("set.st"), &detector));
    DONE(softpatch_detector_info(detector, &info));
    CHECK(fabs(info.threshold - threshold) <= 1e-6 * threshold);
    DONE(softpatch_detector_calibrated(detector, info.threshold, &share));
    CHECK(fabs(share - 19.0 / 21) < 1e-5);
    DONE(softpatch_detector_free(detector));
}

/* The worst place is the stain, and what it was compared with is named. */
static void explain(softpatch_context context, const char *model) {
    softpatch_detector detector;
    softpatch_image image = frame();
    softpatch_result result;
    softpatch_text text;
    const char *json;
    char *end;
    double score;
    long x, y;
    DONE(softpatch_detector_load(context, model, &detector));
    DONE(softpatch_score(detector, &image, SOFTPATCH_MAP_NONE, NULL, 0, &result));
    CHECK(result.verdict == SOFTPATCH_VERDICT_ANOMALOUS);
    DONE(softpatch_detector_explain(detector, NULL, &image, 1, 2, NULL, &text));
    json = said(text);
    score = number(json, "score");
    CHECK(fabs(score - result.score) <= 1e-5 * score);
    CHECK(is(json, "image", "null") && is(json, "anomalous", "true") && is(json, "allow", "null"));
    json = after(json, "places");
    x = strtol(after(json, "bbox") + 1, &end, 10);
    y = strtol(end + 1, &end, 10);
    CHECK(labs(x + 4 - (AT_X + STAIN / 2)) <= 16 && labs(y + 4 - (AT_Y + STAIN / 2)) <= 16);
    CHECK(strstr(after(json, "neighbours"), ".pgm\"") && is(after(json, "neighbours"), "path", "null"));
    /* The same from a file, with the training pictures. */
    DONE(softpatch_detector_explain(detector, at("stained.pgm"), NULL, 1, 2, at("train"), &text));
    json = said(text);
    CHECK(number(json, "score") == score && strstr(json, "\"allow\":\"softpatch model "));
    CHECK(is(json, "above_threshold", "true") && strstr(after(json, "neighbours"), "\"path\":\""));
    DONE(softpatch_detector_free(detector));
}

static const char *verified(softpatch_context context, const char *model) {
    softpatch_detector detector;
    softpatch_text text;
    DONE(softpatch_detector_load(context, model, &detector));
    DONE(softpatch_detector_verify(detector, &text));
    DONE(softpatch_detector_free(detector));
    return said(text);
}

/* Kept references say that nothing changed, and, of a model with other thresholds, that something did. */
static void verify(softpatch_context context, const char *model) {
    softpatch_fit_options options = settings();
    softpatch_detector detector;
    softpatch_text text = 1;
    const char *json;
    options.all = 1;
    DONE(softpatch_detector_load(context, model, &detector));
    CHECK(softpatch_detector_verify(detector, &text) == SOFTPATCH_MODEL && !text);
    DONE(softpatch_detector_free(detector));
    DONE(softpatch_model_keep_references(context, model, at("train"), &options, NULL, &text));
    CHECK(number(said(text), "references") == 8);
    json = verified(context, model);
    CHECK(is(json, "ok", "true") && number(json, "count") == 8 && number(json, "verdict_flips") == 0);
    CHECK(number(json, "largest_difference") <= number(json, "bound"));
    /* What is kept is known under other names, too. */
    options.target_fpr = 0.1;
    CHECK(softpatch_model_calibrate(context, model, at("copies"), &options, NULL, NULL, NULL, &text) ==
          SOFTPATCH_DATASET);
    CHECK(strstr(softpatch_last_error_message(), "8 of its images are by their pixels") && !text);
    options.all = 0;
    options.target_fpr = 0.4;
    DONE(softpatch_model_calibrate(context, model, at("good"), &options, at("other.st"), NULL, NULL, NULL));
    json = verified(context, at("other.st"));
    CHECK(is(json, "ok", "false") && is(json, "same_thresholds", "false") && is(json, "same_bank", "true"));
}

/* Edits do what they say, and taken back leave the file as it was. */
static void edit(softpatch_context context, const char *fitted, const char *model) {
    const uint32_t stain[4] = {AT_X, AT_Y, STAIN, STAIN};
    softpatch_detector detector;
    softpatch_image image = frame();
    softpatch_result result;
    softpatch_text text = 1;
    const char *json;
    double rows, allowed;
    DONE(softpatch_model_info_json(model, &text));
    json = said(text);
    rows = number(json, "rows");
    CHECK(is(after(json, "history"), "what", "\"calibrate\"") && is(json, "references", "{"));

    DONE(softpatch_model_remove_image(model, "03.pgm", at("edited.st"), &text));
    json = said(text);
    CHECK(is(json, "what", "\"remove-image\"") && number(json, "rows") == rows - number(json, "removed"));
    CHECK(softpatch_model_remove_image(at("edited.st"), "03.pgm", NULL, NULL) == SOFTPATCH_MODEL);

    DONE(softpatch_model_allow(context, at("edited.st"), "alarm 7", &image, NULL, NULL, &text));
    json = said(text);
    CHECK(is(json, "was_anomalous", "true") && is(json, "anomalous", "false"));
    allowed = number(json, "after");
    DONE(softpatch_detector_load(context, at("edited.st"), &detector));
    DONE(softpatch_score(detector, &image, SOFTPATCH_MAP_NONE, NULL, 0, &result));
    CHECK(result.verdict == SOFTPATCH_VERDICT_NORMAL);
    CHECK(fabs(result.score - allowed) <= 1e-3 * result.score + 1e-6);
    DONE(softpatch_detector_free(detector));
    json = verified(context, at("edited.st"));
    CHECK(is(json, "ok", "true") && number(json, "edits") == 2);

    /* What was allowed is all that excuses the stain. */
    DONE(softpatch_model_deny(context, at("edited.st"), at("stained.pgm"), NULL, stain, 0.5, NULL, &text));
    json = said(text);
    CHECK(is(json, "was_anomalous", "false") && is(json, "anomalous", "true"));
    CHECK(strstr(after(json, "rows_of"), "alarm 7"));
    DONE(softpatch_model_history_json(at("edited.st"), &text));
    json = said(text);
    CHECK(is(json, "what", "\"calibrate\"") && strstr(json, "\"remove-image\""));
    CHECK(strstr(json, "\"allow\"") && strstr(json, "\"deny\""));

    DONE(softpatch_model_undo(at("edited.st"), NULL, &text));
    CHECK(is(said(text), "what", "\"deny\""));
    DONE(softpatch_model_undo(at("edited.st"), NULL, NULL));
    CHECK(!same(at("edited.st"), model));
    DONE(softpatch_model_undo(at("edited.st"), NULL, NULL));
    CHECK(same(at("edited.st"), model));
    /* The calibration goes as well, and with it what was approved after it. */
    DONE(softpatch_model_undo(at("edited.st"), NULL, &text));
    CHECK(is(said(text), "what", "\"calibrate\"") && same(at("edited.st"), fitted));
    CHECK(softpatch_model_undo(at("edited.st"), NULL, &text) == SOFTPATCH_MODEL && !text);
    CHECK(strstr(softpatch_last_error_message(), "no edit to take back"));
}

/* What other images vouch for is a stage of its own. */
static void floors(softpatch_context context) {
    softpatch_fit_options options = settings();
    softpatch_detector detector;
    unsigned stages = 0;
    options.all = 1;
    options.discriminator = SOFTPATCH_DISCRIMINATOR_AUTO;
    DONE(softpatch_fit_folder(context, at("train"), &options, note_stages, &stages, &detector));
    CHECK(stages & 1u << SOFTPATCH_STAGE_FLOORS && stages & 1u << SOFTPATCH_STAGE_CORESET);
    DONE(softpatch_detector_free(detector));
}

int main(int count, char **arguments) {
    softpatch_context context;
    softpatch_detector detector;
    softpatch_fit_options options;
    char name[32], model[640], set[640];
    int i;
    if (count != 2) return 2;
    snprintf(root, sizeof root, "%s", arguments[1]);
    strcpy(model, at("model.st"));
    strcpy(set, at("set.st"));
    CHECK(!mkdir(at("train"), 0777) && !mkdir(at("good"), 0777) && !mkdir(at("copies"), 0777));
    for (i = 0; i < TRAIN; i++) {
        snprintf(name, sizeof name, "train/%02d.pgm", i);
        save(name, (unsigned)i, i == BLEMISHED);
        snprintf(name, sizeof name, "copies/again %02d.pgm", i);
        save(name, (unsigned)i, i == BLEMISHED);
    }
    for (i = 0; i < GOOD; i++) {
        snprintf(name, sizeof name, "good/%02d.pgm", i);
        save(name, 100 + (unsigned)i, 0);
    }
    save("stained.pgm", 999, 1);
    DONE(softpatch_context_create(NULL, &context));
    audit(context);
    options = settings();
    options.all = 1;
    options.target_fpr = 0.25;
    DONE(softpatch_fit_folder(context, at("train"), &options, NULL, NULL, &detector));
    DONE(softpatch_detector_save(detector, model));
    DONE(softpatch_detector_free(detector));
    calibrate(context, model);
    explain(context, set);
    verify(context, set);
    edit(context, model, set);
    floors(context);
    DONE(softpatch_context_free(context));
    puts("every model did what it should");
    return 0;
}
