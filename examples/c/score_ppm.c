/* Fits a model on PPM files, or loads one, and scores a PPM file.
 *
 *   score_ppm fit MODEL CROP TRAIN.ppm...    makes a model; ctrl-c cancels
 *   score_ppm score MODEL IMAGE.ppm [MAP.pgm] prints score and verdict, writes the anomaly map
 *
 * cc score_ppm.c $(pkg-config --cflags --libs softpatch) -o score_ppm */
#include "softpatch.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static volatile sig_atomic_t stop = 0;

static void on_interrupt(int signal) {
    (void)signal;
    stop = 1;
}

static int32_t progress(void *user_data, uint32_t stage, uint64_t done, uint64_t total) {
    static const char *const names[] = {"features", "denoise", "coreset", "calibrate"};
    (void)user_data;
    fprintf(stderr, "\r%-9s %llu/%llu   ", names[stage & 3], (unsigned long long)done, (unsigned long long)total);
    return stop;
}

static int failed(const char *what) {
    fprintf(stderr, "%s: %s: %s\n", what, softpatch_status_name(softpatch_last_error_code()),
            softpatch_last_error_message());
    return 1;
}

/* Reads a binary PPM file of 8 bit a channel; `pixels` is to be freed. */
static int read_ppm(const char *path, softpatch_image *image) {
    unsigned width, height, most;
    unsigned char *pixels = NULL;
    size_t size;
    FILE *file = fopen(path, "rb");
    if (!file) {
        fprintf(stderr, "%s: cannot be opened\n", path);
        return 0;
    }
    if (fscanf(file, "P6 %u %u %u", &width, &height, &most) != 3 || most != 255 || width < 1 || height < 1 ||
        width > 65535 || height > 65535 || fgetc(file) == EOF) {
        fprintf(stderr, "%s: not a binary PPM file of 8 bit\n", path);
        fclose(file);
        return 0;
    }
    size = (size_t)width * height * 3;
    pixels = malloc(size);
    if (!pixels || fread(pixels, 1, size, file) != size) {
        fprintf(stderr, "%s: too short\n", path);
        free(pixels);
        fclose(file);
        return 0;
    }
    fclose(file);
    memset(image, 0, sizeof *image);
    image->pixels = pixels;
    image->size = size;
    image->width = width;
    image->height = height;
    image->format = SOFTPATCH_RGB8;
    return 1;
}

static int fit(softpatch_context context, const char *model, const char *size, char **paths, int count) {
    softpatch_fit_options options;
    softpatch_detector detector = 0;
    softpatch_image *images = calloc((size_t)count, sizeof *images);
    int i, read = 0, result = 1;
    if (!images) return 1;
    while (read < count && read_ppm(paths[read], &images[read])) read++;
    if (read == count) {
        softpatch_fit_options_init(&options, sizeof options);
        options.size.width = (uint32_t)strtoul(size, NULL, 10);
        if (softpatch_fit_images(context, images, (size_t)count, &options, progress, NULL, &detector) ||
            softpatch_detector_save(detector, model)) {
            result = failed("fit");
        } else {
            fprintf(stderr, "\nwrote %s\n", model);
            result = 0;
        }
    }
    if (detector) softpatch_detector_free(detector);
    for (i = 0; i < read; i++) free((void *)images[i].pixels);
    free(images);
    return result;
}

static int write_map(const char *path, const float *map, uint32_t width, uint32_t height) {
    size_t i, count = (size_t)width * height;
    float most = 0;
    FILE *file = fopen(path, "wb");
    if (!file) return 0;
    for (i = 0; i < count; i++) most = map[i] > most ? map[i] : most;
    fprintf(file, "P5\n%u %u\n255\n", width, height);
    for (i = 0; i < count; i++) fputc(most > 0 ? (int)(map[i] / most * 255.0f) : 0, file);
    return fclose(file) == 0;
}

static int score(softpatch_context context, const char *model, const char *path, const char *map_path) {
    softpatch_detector detector = 0;
    softpatch_image image;
    softpatch_result result;
    uint32_t width = 0, height = 0;
    float *map = NULL;
    int code = 1;
    if (!read_ppm(path, &image)) return 1;
    if (softpatch_detector_load(context, model, &detector) ||
        softpatch_map_size(detector, SOFTPATCH_MAP_SOURCE, image.width, image.height, &width, &height)) {
        failed(model);
    } else {
        size_t len = (size_t)width * height;
        map = malloc(len * sizeof *map);
        if (map && softpatch_score(detector, &image, SOFTPATCH_MAP_SOURCE, map, len, &result) == SOFTPATCH_OK) {
            printf("%s: score %.6f %s\n", path, result.score,
                   result.verdict == SOFTPATCH_VERDICT_ANOMALOUS ? "anomalous"
                   : result.verdict == SOFTPATCH_VERDICT_NORMAL  ? "normal"
                                                                 : "no threshold");
            code = map_path && !write_map(map_path, map, width, height);
        } else {
            failed(path);
        }
    }
    free(map);
    free((void *)image.pixels);
    if (detector) softpatch_detector_free(detector);
    return code;
}

int main(int argc, char **argv) {
    softpatch_context context;
    int code = 2;
    if (softpatch_abi_version() != SOFTPATCH_ABI_VERSION) {
        fprintf(stderr, "the library (%s) is not the one of the header\n", softpatch_version());
        return 1;
    }
    signal(SIGINT, on_interrupt);
    if (softpatch_context_create(NULL, &context)) return failed("no device");
    if (argc >= 5 && !strcmp(argv[1], "fit")) {
        code = fit(context, argv[2], argv[3], argv + 4, argc - 4);
    } else if ((argc == 4 || argc == 5) && !strcmp(argv[1], "score")) {
        code = score(context, argv[2], argv[3], argc == 5 ? argv[4] : NULL);
    } else {
        fprintf(stderr, "usage: %s fit MODEL CROP TRAIN.ppm... | score MODEL IMAGE.ppm [MAP.pgm]\n", argv[0]);
    }
    softpatch_context_free(context);
    return code;
}
