/* Calls functions wrongly and expects error codes: misuse MODEL. */
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
    } while (0)

#define ILL SOFTPATCH_INVALID_HANDLE
#define NIL SOFTPATCH_NULL_POINTER

static softpatch_detector shared;

/* Scores until another thread frees the detector. */
static void *use(void *unused) {
    static const unsigned char grey[80 * 80];
    softpatch_image image = {grey, sizeof grey, 0, 80, 80, SOFTPATCH_GRAY8, 0};
    softpatch_result result;
    softpatch_status status;
    do {
        status = softpatch_score(shared, &image, SOFTPATCH_MAP_NONE, NULL, 0, &result);
    } while (status == SOFTPATCH_OK);
    EXPECT(status, ILL);
    return unused;
}

static void bad_handle(uint64_t bad) {
    unsigned char byte = 0;
    char text[8];
    size_t size = 0;
    uint32_t number;
    uint64_t made = 1;
    softpatch_image image = {&byte, 1, 0, 1, 1, SOFTPATCH_GRAY8, 0};
    softpatch_result result;
    softpatch_model_info info;
    EXPECT(softpatch_context_free(bad), ILL);
    EXPECT(softpatch_context_info_json(bad, text, sizeof text, &size), ILL);
    EXPECT(softpatch_fit_folder(bad, "x", NULL, NULL, NULL, &made), ILL);
    EXPECT(softpatch_fit_images(bad, &image, 1, NULL, NULL, NULL, &made), ILL);
    EXPECT(softpatch_detector_save(bad, "x"), ILL);
    EXPECT(softpatch_detector_to_bytes(bad, &byte, 1, &size), ILL);
    EXPECT(softpatch_detector_load(bad, "x", &made), ILL);
    EXPECT(softpatch_detector_load_bytes(bad, &byte, 1, &made), ILL);
    EXPECT(softpatch_detector_free(bad), ILL);
    EXPECT(softpatch_detector_info(bad, &info), ILL);
    EXPECT(softpatch_detector_info_json(bad, text, sizeof text, &size), ILL);
    EXPECT(softpatch_map_size(bad, SOFTPATCH_MAP_GRID, 1, 1, &number, &number), ILL);
    EXPECT(softpatch_score(bad, &image, SOFTPATCH_MAP_NONE, NULL, 0, &result), ILL);
    EXPECT(softpatch_score_batch(bad, &image, 1, SOFTPATCH_MAP_NONE, NULL, NULL, &result), ILL);
    EXPECT(softpatch_stream_create(bad, 1, &made), ILL);
    EXPECT(softpatch_stream_submit(bad, &image, NULL), ILL);
    EXPECT(softpatch_stream_wait(bad, 0, SOFTPATCH_MAP_NONE, NULL, 0, &result), ILL);
    EXPECT(softpatch_stream_discard(bad, 0, &number), ILL);
    EXPECT(softpatch_stream_in_flight(bad, &size), ILL);
    EXPECT(softpatch_stream_free(bad), ILL);
    if (made != 0) exit(1);
}

int main(int argc, char **argv) {
    static unsigned char grey[80 * 80];
    softpatch_context context, freed;
    softpatch_stream stream;
    softpatch_image image = {grey, sizeof grey, 0, 80, 80, SOFTPATCH_GRAY8, 0};
    softpatch_result result;
    float map[4];
    size_t size;
    pthread_t threads[2];
    int i;
    if (argc != 2) return 2;
    EXPECT(softpatch_context_create(NULL, NULL), NIL);
    EXPECT(softpatch_context_create(NULL, &freed), SOFTPATCH_OK);
    EXPECT(softpatch_context_create(NULL, &context), SOFTPATCH_OK);
    EXPECT(softpatch_context_free(freed), SOFTPATCH_OK);
    bad_handle(0);
    bad_handle(freed);
    bad_handle(UINT64_MAX);

    EXPECT(softpatch_adapter_list(NULL, 0, NULL), NIL);
    EXPECT(softpatch_context_options_init(NULL), NIL);
    EXPECT(softpatch_fit_options_init(NULL), NIL);
    EXPECT(softpatch_context_info_json(context, NULL, 0, NULL), NIL);
    EXPECT(softpatch_fit_folder(context, NULL, NULL, NULL, NULL, &shared), NIL);
    EXPECT(softpatch_fit_images(context, NULL, 1, NULL, NULL, NULL, &shared), NIL);
    EXPECT(softpatch_detector_load(context, NULL, &shared), NIL);
    EXPECT(softpatch_detector_load(context, argv[1], NULL), NIL);
    EXPECT(softpatch_detector_load_bytes(context, NULL, 1, &shared), NIL);
    EXPECT(softpatch_detector_load_bytes(context, grey, sizeof grey, &shared), SOFTPATCH_MODEL);
    EXPECT(softpatch_detector_load(context, argv[1], &shared), SOFTPATCH_OK);
    EXPECT(softpatch_detector_save(shared, NULL), NIL);
    EXPECT(softpatch_detector_save(shared, "no/such/place"), SOFTPATCH_IO);
    EXPECT(softpatch_detector_to_bytes(shared, grey, 1, &size), SOFTPATCH_BUFFER_TOO_SMALL);
    EXPECT(softpatch_detector_info(shared, NULL), NIL);
    EXPECT(softpatch_detector_info_json(shared, NULL, 0, NULL), NIL);
    EXPECT(softpatch_map_size(shared, SOFTPATCH_MAP_GRID, 1, 1, NULL, NULL), NIL);
    EXPECT(softpatch_score(shared, NULL, SOFTPATCH_MAP_NONE, NULL, 0, &result), NIL);
    EXPECT(softpatch_score(shared, &image, SOFTPATCH_MAP_NONE, NULL, 0, NULL), NIL);
    EXPECT(softpatch_score(shared, &image, SOFTPATCH_MAP_GRID, NULL, 0, &result), NIL);
    EXPECT(softpatch_score(shared, &image, SOFTPATCH_MAP_GRID, map, 4, &result), SOFTPATCH_BUFFER_TOO_SMALL);
    EXPECT(softpatch_score(shared, &image, 9, map, 4, &result), SOFTPATCH_INVALID_ARGUMENT);
    EXPECT(softpatch_score_batch(shared, &image, 1, SOFTPATCH_MAP_GRID, NULL, NULL, &result), NIL);
    image.size--;
    EXPECT(softpatch_score(shared, &image, SOFTPATCH_MAP_NONE, NULL, 0, &result), SOFTPATCH_INVALID_IMAGE);
    image.size++;
    image.format = 77;
    EXPECT(softpatch_score(shared, &image, SOFTPATCH_MAP_NONE, NULL, 0, &result), SOFTPATCH_INVALID_ARGUMENT);
    image.format = SOFTPATCH_GRAY8;

    EXPECT(softpatch_stream_create(shared, 0, &stream), SOFTPATCH_INVALID_ARGUMENT);
    EXPECT(softpatch_stream_create(shared, 1, &stream), SOFTPATCH_OK);
    EXPECT(softpatch_stream_wait(stream, 1, SOFTPATCH_MAP_NONE, NULL, 0, &result), SOFTPATCH_EMPTY);
    EXPECT(softpatch_stream_submit(stream, NULL, NULL), NIL);
    EXPECT(softpatch_stream_submit(stream, &image, NULL), SOFTPATCH_OK);
    EXPECT(softpatch_stream_submit(stream, &image, NULL), SOFTPATCH_BUSY);
    EXPECT(softpatch_stream_wait(stream, 60000, SOFTPATCH_MAP_GRID, map, 4, &result), SOFTPATCH_BUFFER_TOO_SMALL);
    EXPECT(softpatch_stream_wait(stream, 60000, SOFTPATCH_MAP_NONE, NULL, 0, &result), SOFTPATCH_OK);
    EXPECT(softpatch_stream_free(shared), ILL);
    EXPECT(softpatch_stream_free(stream), SOFTPATCH_OK);
    EXPECT(softpatch_stream_free(stream), ILL);

    for (i = 0; i < 2; i++) {
        if (pthread_create(&threads[i], NULL, use, NULL)) return 1;
    }
    EXPECT(softpatch_score(shared, &image, SOFTPATCH_MAP_NONE, NULL, 0, &result), SOFTPATCH_OK);
    EXPECT(softpatch_detector_free(shared), SOFTPATCH_OK);
    EXPECT(softpatch_detector_free(shared), ILL);
    for (i = 0; i < 2; i++) pthread_join(threads[i], NULL);
    EXPECT(softpatch_context_free(context), SOFTPATCH_OK);
    EXPECT(softpatch_context_free(context), ILL);
    puts("every misuse got its error code");
    return 0;
}
