/* softpatch: unsupervised visual anomaly detection. Generated from the library's source; do not edit.
 *
 * Handles are numbers; 0 is none. A handle that was freed, never given, or is of another kind yields SOFTPATCH_INVALID_HANDLE.
 * Null pointers are refused unless a function says that they may be null. Nothing is kept after a function returns. Options
 * structs begin with their size, which the _init function sets, and may grow at the end in later versions; other structs never
 * change. Every handle may be used from every thread at once; calls that score with one detector take turns. The last error
 * belongs to the thread whose call failed. Texts are UTF-8. A callback must return: it may neither throw nor longjmp. In a
 * process that was forked after the library was used, every function is SOFTPATCH_FORKED and does nothing. Results
 * are written only where a function returns SOFTPATCH_OK, but handles are set to 0 on failure, and `needed` and `count` are
 * also set where a buffer is too small. SPDX-License-Identifier: MIT OR Apache-2.0 */

#ifndef SOFTPATCH_H
#define SOFTPATCH_H

#include <stddef.h>
#include <stdint.h>

// Version of the interface that this header describes.
#define SOFTPATCH_ABI_VERSION 2

// The fastest kind of adapter.
#define SOFTPATCH_POWER_HIGH 0

// An integrated GPU where there is one.
#define SOFTPATCH_POWER_LOW 1

// Local outlier factor among the patches that `group` names.
#define SOFTPATCH_DISCRIMINATOR_LOF 0

// Distance to the nearest of the patches that `group` names.
#define SOFTPATCH_DISCRIMINATOR_NEAREST 1

// Mahalanobis distance to the patches at the same position.
#define SOFTPATCH_DISCRIMINATOR_GAUSSIAN 2

// No patch is dropped: PatchCore.
#define SOFTPATCH_DISCRIMINATOR_NONE 3

// Local outlier factor, but nothing is dropped: rows of the bank vouch for no more than others vouch for
// them.
#define SOFTPATCH_DISCRIMINATOR_AUTO 4

// A training patch is compared with those at its own position in the other images.
#define SOFTPATCH_GROUP_POSITION 0

// With those in a window of `window` x `window` positions around it.
#define SOFTPATCH_GROUP_WINDOW 1

// With all patches of the other images.
#define SOFTPATCH_GROUP_GLOBAL 2

// Pooled for ResNets, concatenated for EfficientNet-Lite.
#define SOFTPATCH_EMBEDDING_AUTO 0

// 3x3 means of the stages side by side.
#define SOFTPATCH_EMBEDDING_CONCAT 1

// 3x3 neighbourhoods, averaged adaptively to `embedding_dim` values.
#define SOFTPATCH_EMBEDDING_POOLED 2

// As the method is described.
#define SOFTPATCH_COMPAT_NONE 0

// As the published program selects its memory bank, for comparison with it; its runs also have `lof_k` 5.
#define SOFTPATCH_COMPAT_OFFICIAL 1

// The backbone stores 32-bit values.
#define SOFTPATCH_PRECISION_F32 0

// The backbone stores 16-bit values where the device can, else 32-bit ones; sums are 32-bit.
#define SOFTPATCH_PRECISION_F16 1

// Pictures are looked at whole, in a frame of the training pictures' aspect.
#define SOFTPATCH_GEOMETRY_WHOLE 0

// The middle square is looked at, as published results have it: for comparison with those.
#define SOFTPATCH_GEOMETRY_PAPER 1

// Pictures of another aspect are brought to the frame each side for itself.
#define SOFTPATCH_FIT_ASPECT_STRETCH 0

// They keep their aspect; what is left of the frame is neither learned nor scored.
#define SOFTPATCH_FIT_ASPECT_PAD 1

// They keep their aspect and fill the frame; what passes it is not looked at.
#define SOFTPATCH_FIT_ASPECT_CROP 2

// Images through the backbone; counted in images.
#define SOFTPATCH_STAGE_FEATURES 0

// Outlier scores of the training patches; counted in grid positions.
#define SOFTPATCH_STAGE_DENOISE 1

// Choice of the memory bank; counted in rows.
#define SOFTPATCH_STAGE_CORESET 2

// Scores of training images against the bank without their own rows; counted in images.
#define SOFTPATCH_STAGE_CALIBRATE 3

// Scores of images, where a model is calibrated by others; counted in images.
#define SOFTPATCH_STAGE_SCORE 4

// What other images vouch for, of `SOFTPATCH_DISCRIMINATOR_AUTO`, after the choice of the memory bank;
// counted in its rows.
#define SOFTPATCH_STAGE_FLOORS 5

// Distances of the training patches from those of other images, of an audit; counted in grid positions.
#define SOFTPATCH_STAGE_DISTANCES 6

// One byte of grey.
#define SOFTPATCH_GRAY8 0

// Two bytes of grey in native order.
#define SOFTPATCH_GRAY16 1

// Red, green, blue.
#define SOFTPATCH_RGB8 2

// Blue, green, red, as OpenCV has it.
#define SOFTPATCH_BGR8 3

// Red, green, blue, alpha; alpha is ignored.
#define SOFTPATCH_RGBA8 4

// Blue, green, red, alpha; alpha is ignored.
#define SOFTPATCH_BGRA8 5

// Grey of 10 bit in two bytes in native order: 0 to 1023 becomes 0 to 255. A larger value is
// `SOFTPATCH_INVALID_IMAGE`, here and in the next two.
#define SOFTPATCH_GRAY10 6

// Grey of 12 bit in two bytes in native order: 0 to 4095.
#define SOFTPATCH_GRAY12 7

// Grey of 14 bit in two bytes in native order: 0 to 16383.
#define SOFTPATCH_GRAY14 8

// GigE Vision's Mono10Packed: two pixels in three bytes, their upper 8 bits in the first and the third, the
// lower two in bits 0 and 1, and 4 and 5, of the second. Rows of packed formats begin with a byte of their
// own; of an odd width two bytes are the last.
#define SOFTPATCH_MONO10_PACKED 9

// GigE Vision's Mono12Packed: two pixels in three bytes, their upper 8 bits in the first and the third, the
// lower four in the lower and the upper half of the second.
#define SOFTPATCH_MONO12_PACKED 10

// GenICam's Mono10p: four pixels in five bytes, lowest bits first, without gaps.
#define SOFTPATCH_MONO10P 11

// GenICam's Mono12p: two pixels in three bytes, lowest bits first, without gaps.
#define SOFTPATCH_MONO12P 12

// Red, green, blue of two bytes each in native order.
#define SOFTPATCH_RGB16 13

// Blue, green, red of two bytes each in native order, as OpenCV has it.
#define SOFTPATCH_BGR16 14

// Red, green, blue, alpha of two bytes each in native order; alpha is ignored.
#define SOFTPATCH_RGBA16 15

// Blue, green, red, alpha of two bytes each in native order; alpha is ignored.
#define SOFTPATCH_BGRA16 16

// Bayer mosaic of one byte a pixel, rows R G R G over G B G B (GenICam's BayerRG8, OpenCV's BayerRGGB), two
// by two pixels at least. The two colours that a pixel lacks are the means of its nearest neighbours that
// have them, halves rounded up; at the border the mosaic is mirrored.
#define SOFTPATCH_BAYER_RG8 17

// Bayer mosaic of one byte a pixel, rows G R G R over B G B G.
#define SOFTPATCH_BAYER_GR8 18

// Bayer mosaic of one byte a pixel, rows G B G B over R G R G.
#define SOFTPATCH_BAYER_GB8 19

// Bayer mosaic of one byte a pixel, rows B G B G over G R G R.
#define SOFTPATCH_BAYER_BG8 20

// No map.
#define SOFTPATCH_MAP_NONE 0

// The patch scores: `grid_rows * grid_columns` values.
#define SOFTPATCH_MAP_GRID 1

// The map of the model's frame: `frame_rows * frame_columns` values.
#define SOFTPATCH_MAP_FRAME 2

// The map in the size of the source image: `width * height` values, 0 where the model does not look.
#define SOFTPATCH_MAP_SOURCE 3

// The score passes the threshold.
#define SOFTPATCH_VERDICT_ANOMALOUS 1

// The score does not pass the threshold.
#define SOFTPATCH_VERDICT_NORMAL 0

// The model has no threshold.
#define SOFTPATCH_VERDICT_UNKNOWN -1

// What a function came to: one of the `SOFTPATCH_*` codes.
typedef int32_t softpatch_status;

// An adapter. Texts that are too long are cut.
typedef struct {
    // Index for `softpatch_context_options`.
    uint32_t index;
    // Name as the driver gives it.
    char name[256];
    // Driver name and version.
    char driver[256];
    // "vulkan", "metal" or "dx12".
    char backend[16];
    // "discrete", "integrated", "virtual", "cpu" or "other".
    char kind[16];
} softpatch_adapter;

// How to make a context. Fill it with `softpatch_context_options_init` first, then change what you like.
typedef struct {
    // Size of this struct, set by `softpatch_context_options_init`.
    size_t struct_size;
    // Part of the adapter's name (case does not matter); null: choose by `adapter_index` and `power`.
    const char *adapter_name;
    // Index of the adapter in the list; -1: choose by `power`. Not both a name and an index.
    int32_t adapter_index;
    // `SOFTPATCH_POWER_HIGH` or `SOFTPATCH_POWER_LOW`.
    uint32_t power;
    // Bytes, on device and host together, for what grows with number and size of the training images in a fit;
    // features past it wait in temporary files.
    uint64_t memory_budget;
    // File with the weights of a backbone: safetensors with the names of torchvision, timm or
    // efficientnet_lite_pytorch; null: EfficientNet-Lite0 up to block 10, which is in the library.
    const char *weights_path;
    // Architecture of the weights, e.g. "wide_resnet50_2"; null: names and shapes in the file tell. Only
    // with `weights_path`.
    const char *architecture;
    // Stages that patches come from, with commas between, e.g. "layer2,layer3"; null: those usual for the
    // architecture. Only with `weights_path`.
    const char *layers;
    // Folder for what a device remembers from one process to the next: kernels that passed their self-test,
    // compiled pipelines; null: nothing is written.
    const char *cache_folder;
    // 1: without the self-test, which runs kernels that are new to this adapter, driver and version once
    // before they are used, and fails with `SOFTPATCH_DEVICE` where one is wrong; else 0.
    uint32_t no_self_test;
    // Milliseconds that the device may work on one submission before it counts as lost, and is opened again; 0:
    // 30 000.
    uint64_t device_timeout_ms;
} softpatch_context_options;

// A device with a backbone and a memory budget. 0 is none.
typedef uint64_t softpatch_context;

// Size of the frame that whole pictures are brought to, in pixels, 64 to 4096: both 0: as many pixels as 256
// x 256, in the aspect of the training pictures; `height` 0: `width` is the shorter side.
typedef struct {
    // Columns, or the shorter side.
    uint32_t width;
    // Rows, or 0.
    uint32_t height;
} softpatch_size;

// Settings of a fit. Fill it with `softpatch_fit_options_init` first, then change what you like.
typedef struct {
    // Size of this struct, set by `softpatch_fit_options_init`.
    size_t struct_size;
    // Share of training patches that is dropped as noise, in [0, 1).
    double tau;
    // Rows of the memory bank as a share of all training patches, in (0, 1].
    double coreset_ratio;
    // Seed of the projection and of the coreset's start.
    uint64_t seed;
    // Outlier score of the training patches: one of `SOFTPATCH_DISCRIMINATOR_*`.
    uint32_t discriminator;
    // Neighbours of the local outlier factor, 1 to 32.
    uint32_t lof_k;
    // Whether bank rows keep their outlier scores as weights: 0 or 1.
    uint32_t soft_weights;
    // Values of a projected patch, a multiple of 4 from 4 to 1024.
    uint32_t projection;
    // With `SOFTPATCH_GEOMETRY_PAPER`, the shorter side of an image is brought to this many pixels.
    uint32_t resize;
    // With `SOFTPATCH_GEOMETRY_PAPER`, side of the centred square that is looked at, in pixels.
    uint32_t crop;
    // Images that go through the backbone at a time, 1 to 256.
    uint32_t batch;
    // How the stages of the backbone become one vector: one of `SOFTPATCH_EMBEDDING_*`.
    uint32_t embedding;
    // Values of a pooled embedding, a multiple of 4 from 64 to 1024.
    uint32_t embedding_dim;
    // Whose choices are followed where description and published program part: one of `SOFTPATCH_COMPAT_*`.
    uint32_t compat;
    // Whether images in files are turned as their EXIF orientation says, 0 or 1. Images in memory are taken
    // as they are; the model records the setting for whoever scores files with it.
    uint32_t exif;
    // How the backbone stores weights and activations: one of `SOFTPATCH_PRECISION_*`.
    uint32_t precision;
    // Significant bits of samples in 16-bit files, as cameras of 10, 12 and 14 bit leave them: 8 to 16, or 0
    // for what the files' own tags say, else what all files of the folder show. Images in memory have it in
    // their format; the model records the setting for whoever scores files with it.
    uint32_t bits;
    // 1: all images of the folder are good, whatever its folders are called; masks never count; else 0. For
    // `softpatch_fit_folder`, as are `layout` and `take`.
    uint32_t all;
    // The sample value that becomes black in files of 16 or 32 bit, where `white` is above it.
    double black;
    // The sample value that becomes white, for floating point and integers of 32 bit, which have no usual
    // range; of 16 bit, too. Equal to `black`: not stated.
    double white;
    // Name of the folder's layout, e.g. "visa"; null: it is recognised by what is there.
    const char *layout;
    // Folders whose images are good, by name or by path below the folder, one a line; null: their names say
    // so.
    const char *take;
    // What of a picture is looked at: one of `SOFTPATCH_GEOMETRY_*`.
    uint32_t geometry;
    // How pictures of another aspect come to the frame: one of `SOFTPATCH_FIT_ASPECT_*`.
    uint32_t fit_aspect;
    // Size of the frame.
    softpatch_size size;
    // Patches of other images that a training patch is compared with: one of `SOFTPATCH_GROUP_*`; for the
    // discriminator `GAUSSIAN` position alone.
    uint32_t group;
    // Side of the window in patches, an odd number from 3 to 15, where `group` is window.
    uint32_t window;
    // Mask file of any size that is laid over every image: only what is white is learned and scored; the
    // model keeps it. Null: all of every image.
    const char *roi;
    // Share of good images that the thresholds let pass for anomalous, 0.0001 to 0.5; 0: none is asked for,
    // and thresholds lie three deviations above the median of training images.
    double target_fpr;
    // File that lists training images to leave out: a path or name a line, # for comments, or a CSV with the
    // column path; null: none. For `softpatch_fit_folder` and `softpatch_audit`.
    const char *exclude;
} softpatch_fit_options;

// Hears how far long work is: `done` of `total` units of `stage` (one of `SOFTPATCH_STAGE_*`) are finished.
// Called on the thread that called, at least ten times a second, also where nothing has changed. Anything
// but 0 cancels the work.
typedef int32_t (*softpatch_progress_fn)(void *user_data, uint32_t stage, uint64_t done, uint64_t total);

// A fitted model on a device. 0 is none.
typedef uint64_t softpatch_detector;

// An image in the caller's memory.
typedef struct {
    // The first pixel of the first row.
    const void *pixels;
    // Bytes that may be read from `pixels` on.
    size_t size;
    // Bytes from the start of a row to the start of the next; 0: rows without gaps.
    size_t stride;
    // Width in pixels.
    uint32_t width;
    // Height in pixels.
    uint32_t height;
    // `SOFTPATCH_GRAY8` or another of the constants beside it.
    uint32_t format;
    // For later use: 0.
    uint32_t reserved;
} softpatch_image;

// Figures of a model.
typedef struct {
    // Training patches that were kept.
    uint64_t kept;
    // Rows of the grid of patches.
    uint32_t grid_rows;
    // Columns of the grid of patches.
    uint32_t grid_columns;
    // Rows of the frame that pictures are brought to, in pixels.
    uint32_t frame_rows;
    // Columns of the frame.
    uint32_t frame_columns;
    // Values of an embedding.
    uint32_t dim;
    // Rows of the memory bank.
    uint32_t bank_rows;
    // Training images.
    uint32_t images;
    // Images that are scored at a time at most.
    uint32_t batch;
    // 1 where there is a threshold, else 0.
    uint32_t has_threshold;
    // Scores above it are anomalous.
    float threshold;
} softpatch_model_info;

// The score of an image.
typedef struct {
    // The frame of a stream; the index in a batch.
    uint64_t ticket;
    // Nanoseconds from submission to stream to the result; 0 where there was no stream.
    uint64_t latency_ns;
    // Largest patch score; not bounded above.
    float score;
    // `SOFTPATCH_VERDICT_ANOMALOUS`, `SOFTPATCH_VERDICT_NORMAL` or `SOFTPATCH_VERDICT_UNKNOWN`.
    int32_t verdict;
    // Width of the map that was written; 0 for none.
    uint32_t map_width;
    // Height of the map that was written; 0 for none.
    uint32_t map_height;
} softpatch_result;

// A connected area of a map: pixels above a threshold that touch by a side or by a corner.
typedef struct {
    // First column of the smallest box around it.
    uint32_t x;
    // First row of the box.
    uint32_t y;
    // Columns of the box.
    uint32_t width;
    // Rows of the box.
    uint32_t height;
    // Number of its pixels.
    uint32_t area;
    // Its largest value.
    float peak;
    // Column of that value.
    uint32_t peak_x;
    // Row of that value.
    uint32_t peak_y;
    // Number of its contour's first point among the points of all regions.
    uint32_t first_point;
    // Points of its contour.
    uint32_t point_count;
} softpatch_region;

// A corner of pixels: pixel `(x, y)` has the corners `(x, y)` and `(x + 1, y + 1)`.
typedef struct {
    // Columns left of it.
    uint32_t x;
    // Rows above it.
    uint32_t y;
} softpatch_point;

// A queue of frames in front of a detector. 0 is none.
typedef uint64_t softpatch_stream;

// A text that a function made, a JSON document. 0 is none.
typedef uint64_t softpatch_text;

// All went well.
#define SOFTPATCH_OK 0

// A pointer that must not be null is null.
#define SOFTPATCH_NULL_POINTER 1

// The handle was never given, was freed, or is of another kind.
#define SOFTPATCH_INVALID_HANDLE 2

// A value is out of its range, or a text is not UTF-8.
#define SOFTPATCH_INVALID_ARGUMENT 3

// The caller's buffer is too small; nothing was written to it.
#define SOFTPATCH_BUFFER_TOO_SMALL 4

// Pixels in memory do not have the size or layout that they claim.
#define SOFTPATCH_INVALID_IMAGE 5

// A file or folder could not be read or written.
#define SOFTPATCH_IO 6

// A file that should hold an image does not, or holds a damaged one.
#define SOFTPATCH_IMAGE_FILE 7

// A folder does not hold what a data set needs.
#define SOFTPATCH_DATASET 8

// A model is damaged, of another version, made with another backbone, or not a model at all.
#define SOFTPATCH_MODEL 9

// A weights file does not fit the backbone, or none is there.
#define SOFTPATCH_WEIGHTS 10

// No usable adapter, or the device refused or lost its work, or failed its self-test.
#define SOFTPATCH_DEVICE 11

// The work does not fit the device's limits or the memory budget.
#define SOFTPATCH_LIMIT 12

// The progress callback asked to stop.
#define SOFTPATCH_CANCELLED 13

// As many frames as the limit allows are in flight; the frame was not taken in.
#define SOFTPATCH_BUSY 14

// The oldest frame is not done yet.
#define SOFTPATCH_PENDING 15

// No frame is in flight.
#define SOFTPATCH_EMPTY 16

// Something in the library broke: please report it.
#define SOFTPATCH_INTERNAL 17

// Nothing says which images of a folder are good: name the layout, the folders to take, or take all.
#define SOFTPATCH_CHOICE 18

// This process was forked from one that had used the library. The driver's threads did not come along, so
// that every function does nothing but say this, those that free, too. Start workers by spawn or exec, or
// fork before the first call.
#define SOFTPATCH_FORKED 19

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// The code of this thread's last call that failed; `SOFTPATCH_OK` where none did. A call that succeeds does
// not reset it.
softpatch_status softpatch_last_error_code(void);

// What this thread's last call that failed has to say, in English; empty where none did. Never null; good
// until the next call on this thread.
const char *softpatch_last_error_message(void);

// A short English name of a status code, e.g. "invalid handle". Never null, good for ever.
const char *softpatch_status_name(softpatch_status status);

// Version of the library, e.g. "0.1.0". Never null, good for ever.
const char *softpatch_version(void);

// Version of this interface, counted up where a program has to be compiled anew. Compare it with
// `SOFTPATCH_ABI_VERSION` of the header.
uint32_t softpatch_abi_version(void);

// Lists the usable adapters, the fastest kind first.
//
// Writes up to `capacity` adapters to `adapters` (which may be null for capacity 0) and how many there are
// to `count`. Fails with `SOFTPATCH_BUFFER_TOO_SMALL`, `count` set, where `capacity` is neither 0 nor
// enough.
softpatch_status softpatch_adapter_list(softpatch_adapter *adapters_out, size_t capacity, size_t *count);

// Fills `options`, of `size` bytes (`sizeof *options`), with the defaults.
softpatch_status softpatch_context_options_init(softpatch_context_options *options, size_t size);

// Opens a device. `options` may be null for the defaults.
softpatch_status softpatch_context_create(const softpatch_context_options *options,
                                          softpatch_context *context);

// Frees a context. Detectors and streams made in it live on. Waits for the last step of fits that were
// cancelled.
softpatch_status softpatch_context_free(softpatch_context context);

// What the device offers and what of it is used, as a JSON object with `adapter`, `driver`, `backend`,
// `archetype`, `f16`, `int64`, `max_binding`, `peak_bytes` among others. Buffer and `needed` as in
// `softpatch_detector_info_json`.
softpatch_status softpatch_context_info_json(softpatch_context context,
                                             char *buffer,
                                             size_t capacity,
                                             size_t *needed);

// Fills `options`, of `size` bytes (`sizeof *options`), with the published defaults.
softpatch_status softpatch_fit_options_init(softpatch_fit_options *options, size_t size);

// Learns what normal looks like from the images in a folder, a few of which may be defective: the training
// images of a data set in a known layout, or all of a folder of images. `SOFTPATCH_CHOICE` where nothing
// says which of them are good; `layout`, `take` and `all` of the options say so, and `exclude` what is left out.
//
// `options` may be null for the defaults, `progress` may be null; `user_data` is passed to it. A fit that
// the callback cancels returns `SOFTPATCH_CANCELLED` within half a second; what it was computing ends in the
// background.
softpatch_status softpatch_fit_folder(softpatch_context context,
                                      const char *folder,
                                      const softpatch_fit_options *options,
                                      softpatch_progress_fn progress,
                                      void *user_data,
                                      softpatch_detector *detector);

// As `softpatch_fit_folder`, from `count` images in memory, which are copied first.
softpatch_status softpatch_fit_images(softpatch_context context,
                                      const softpatch_image *images,
                                      size_t count,
                                      const softpatch_fit_options *options,
                                      softpatch_progress_fn progress,
                                      void *user_data,
                                      softpatch_detector *detector);

// Writes the model to a file, whole or not at all.
softpatch_status softpatch_detector_save(softpatch_detector detector, const char *path);

// Copies the bytes of the model's file to `buffer` and their number to `needed`. `needed` may be null; a
// null `buffer` with capacity 0 only asks for the number.
softpatch_status softpatch_detector_to_bytes(softpatch_detector detector,
                                             uint8_t *buffer,
                                             size_t capacity,
                                             size_t *needed);

// Reads and checks a model file and puts it on the context's device.
softpatch_status softpatch_detector_load(softpatch_context context,
                                         const char *path,
                                         softpatch_detector *detector);

// As `softpatch_detector_load`, from the bytes of a model file.
softpatch_status softpatch_detector_load_bytes(softpatch_context context,
                                               const uint8_t *bytes,
                                               size_t len,
                                               softpatch_detector *detector);

// Frees a detector. Streams made with it live on.
softpatch_status softpatch_detector_free(softpatch_detector detector);

// Leaves out of all images that are scored from now on what is white in the mask file `path`, which is laid
// over every image, besides what the model does not look at; null ends that. Streams of this detector score
// alike.
softpatch_status softpatch_detector_ignore(softpatch_detector detector, const char *path);

// Figures of the model.
softpatch_status softpatch_detector_info(softpatch_detector detector, softpatch_model_info *info);

// All that is known about the model (settings, backbone, training images, ...) as a JSON object; after a
// fit, `notes` is the list of what it had to say: what was left out of a folder, how files were read, ...
//
// Copies the text with its zero byte to `buffer` and the number of bytes to `needed`. `needed` may be null;
// a null `buffer` with capacity 0 only asks for the number.
softpatch_status softpatch_detector_info_json(softpatch_detector detector,
                                              char *buffer,
                                              size_t capacity,
                                              size_t *needed);

// Width and height of the map of `kind` (one of `SOFTPATCH_MAP_*`) for a source image of `width` x `height`
// pixels; 0 and 0 for `SOFTPATCH_MAP_NONE`.
softpatch_status softpatch_map_size(softpatch_detector detector,
                                    uint32_t kind,
                                    uint32_t width,
                                    uint32_t height,
                                    uint32_t *map_width,
                                    uint32_t *map_height);

// Writes the column and the row, in pixels of the image, where an image of `width` x `height` looks most
// wrong: of the largest value of its map of `map_kind`, which `softpatch_score` or another wrote to `map`.
softpatch_status softpatch_peak(softpatch_detector detector,
                                uint32_t map_kind,
                                const float *map,
                                size_t map_len,
                                uint32_t width,
                                uint32_t height,
                                uint32_t *x,
                                uint32_t *y);

// Scores an image.
//
// `map` takes the map of `map_kind` row by row, and has room for `map_len` values; it may be null for
// `SOFTPATCH_MAP_NONE`.
softpatch_status softpatch_score(softpatch_detector detector,
                                 const softpatch_image *image,
                                 uint32_t map_kind,
                                 float *map,
                                 size_t map_len,
                                 softpatch_result *result);

// Scores `count` images.
//
// `maps[i]` takes the map of image `i` and has room for `map_lens[i]` values; both may be null for
// `SOFTPATCH_MAP_NONE`. `results` has room for `count` results.
softpatch_status softpatch_score_batch(softpatch_detector detector,
                                       const softpatch_image *images,
                                       size_t count,
                                       uint32_t map_kind,
                                       float *const *maps,
                                       const size_t *map_lens,
                                       softpatch_result *results);

// Finds the connected areas above `threshold` of a map of `width` x `height` values (`SOFTPATCH_MAP_SOURCE`
// as `softpatch_score` writes it, say). NAN for `threshold` is the model's: its pixel threshold, or that of
// images where it has none (`pixel_threshold` and `threshold` of `softpatch_detector_info_json`); where it
// has neither, there are no areas.
//
// The areas go to `regions`, the largest first, and their number to `region_count`; the outer boundaries of
// all, one after the other, to `points`, and their number to `point_count`. A boundary is a polygon,
// clockwise as one sees the picture, whose last point joins its first; holes are not cut out. A null array
// with capacity 0 only asks for the number. Where an array that is not null is too small, the numbers are
// written and no array is.
softpatch_status softpatch_regions(softpatch_detector detector,
                                   const float *map,
                                   size_t map_len,
                                   uint32_t width,
                                   uint32_t height,
                                   float threshold,
                                   softpatch_region *regions,
                                   size_t region_capacity,
                                   size_t *region_count,
                                   softpatch_point *points,
                                   size_t point_capacity,
                                   size_t *point_count);

// Makes a stream with at most `limit` frames in flight (1 to 4096), counting results that were not taken.
softpatch_status softpatch_stream_create(softpatch_detector detector, size_t limit, softpatch_stream *stream);

// Copies a frame into the queue and returns at once. `ticket` (may be null) takes its number: 0, 1, 2, ...
//
// `SOFTPATCH_BUSY` where as many frames as the limit allows are in flight; then nothing was taken in, and
// whether to wait or to drop the frame is the caller's choice.
softpatch_status softpatch_stream_submit(softpatch_stream stream,
                                         const softpatch_image *frame,
                                         uint64_t *ticket);

// Takes the oldest frame's result, waiting for it up to `timeout_ms` milliseconds (0: not at all), also
// where no frame is in flight yet.
//
// `SOFTPATCH_PENDING` where it is not done yet, `SOFTPATCH_EMPTY` where no frame is in flight. Any other
// code but `SOFTPATCH_OK` and those for wrong arguments is what scoring the frame came to; `result->ticket`
// says which frame, and its result is taken. Where `map` is null or too small the result stays, and can be
// taken with a larger one. Map as in `softpatch_score`.
softpatch_status softpatch_stream_wait(softpatch_stream stream,
                                       uint64_t timeout_ms,
                                       uint32_t map_kind,
                                       float *map,
                                       size_t map_len,
                                       softpatch_result *result);

// Takes a frame back that still waits: no result will come for it. `discarded` takes 1, or 0 where the frame
// is being scored, is done, or was never submitted.
softpatch_status softpatch_stream_discard(softpatch_stream stream, uint64_t ticket, uint32_t *discarded);

// Number of frames that were submitted and whose results were not taken.
softpatch_status softpatch_stream_in_flight(softpatch_stream stream, size_t *count);

// Frees a stream: frames that wait are dropped, those being scored are waited for, and other threads that
// wait for a result return.
softpatch_status softpatch_stream_free(softpatch_stream stream);

// Copies a text with its zero byte to `buffer` and the number of bytes to `needed`. `needed` may be null; a
// null `buffer` with capacity 0 only asks for the number.
softpatch_status softpatch_text_copy(softpatch_text text, char *buffer, size_t capacity, size_t *needed);

// Frees a text.
softpatch_status softpatch_text_free(softpatch_text text);

// The share of good parts that score lower than `score`, 0 to 1: by the scores of the good images that the
// model was calibrated by, else of its training images, and past the largest by their tail. Not a number
// where these are fewer than 3, or do not differ.
softpatch_status softpatch_detector_calibrated(softpatch_detector detector, float score, float *share);

// Why an image has its score: the worst of its patches, `places` at most (1 to 9), each beside the training
// patches that it is nearest to, `neighbours` at most (1 to 9). The image is in memory, and `path` null; or
// `image` is null, and `path` names a file. `images` is a folder to look for the training images in; null:
// none is opened.
//
// `json` is what `softpatch explain --json` prints: `model` and `image` (files, or null), `size` ([width,
// height]), `score`, `threshold` (or null), `anomalous`, `over` (the patches above the threshold, worst
// first: `at` ([row, column] of the grid), `bbox` ([x, y, width, height] in pixels of the image), `score`),
// `allow` (the command that allows them; null where there are none, or where no text stands for a name), and
// `places`, worst first: `at`, `bbox`, `score`, `above_threshold` (or null), `patches` (those above the
// threshold that are connected with it), and `neighbours`, nearest first: `row` (of the bank), `image` (its
// number), `name`, `at`, `distance` (squared), `weight`, `score` (weight times distance), `path` and `bbox`
// (of the training image; null where it was not found).
softpatch_status softpatch_detector_explain(softpatch_detector detector,
                                            const char *path,
                                            const softpatch_image *image,
                                            uint32_t places,
                                            uint32_t neighbours,
                                            const char *images,
                                            softpatch_text *json);

// Scores the reference pictures that the model keeps (`softpatch_model_keep_references`; `softpatch fit`
// keeps some) on this device, and compares with what they scored where the model was approved.
// `SOFTPATCH_MODEL` where it keeps none; that the scores differ is no error.
//
// `json` is an object: `ok` (bank and thresholds are those that were approved, and no score differs by more
// than `bound`, relative), `count`, `largest_difference`, `bound`, `rank_changes`, `verdict_flips`,
// `same_bank`, `same_thresholds`, `edits` (since the approval, taken back for the comparison), `approved_on`
// and `here_on` (`version`, `adapter`, `backend`, `driver`), `fingerprint`, and `pictures` (`name`,
// `approved`, `here`, `difference`, `was_anomalous`, `anomalous`, `was_peak`, `peak`, and `edited`: the
// score by the bank as edited, or null).
softpatch_status softpatch_detector_verify(softpatch_detector detector, softpatch_text *json);

// Ranks the training images of a folder by how contaminated they look, as `softpatch_fit_folder` with the
// same options would judge their patches; no model is made.
//
// `json` is an object: `grid` and `frame` ([rows, columns]), `noise_threshold`, `lof_k`, `contaminated`
// (`limit` of the suspicion or null, `count`, `at_least`, `at_most`: an estimate), `images`, the most
// suspicious first, each with `index`, `name`, `size` ([width, height]), `suspicion`, `suspect`, `dropped`
// (share of its patches that a fit would drop), `peak` ([x, y]) and `regions` (`bbox` [x, y, width, height],
// `patches`, `peak`, `contour`), and `notes`, what there was to say. `options` and `progress` may be null;
// cancelled, it returns after the step in progress.
softpatch_status softpatch_audit(softpatch_context context,
                                 const char *folder,
                                 const softpatch_fit_options *options,
                                 softpatch_progress_fn progress,
                                 void *user_data,
                                 softpatch_text *json);

// Sets the thresholds of the model file `model` to those that a share of good images passes, by the images
// of `folder`: a folder of good ones, or a labelled set, whose good ones count. None may be a training image
// of the model (`SOFTPATCH_DATASET`): those are known by their paths, and by their pixels where the model
// keeps them. The model is written to `output`, whole or not at all; null: into its own file. Detectors that
// have it loaded are as they were. It is an edit in the history, which `softpatch_model_undo` takes back.
//
// Of `options`, `target_fpr` is the rate; 0, as null for `options`, is the rate that the model was fitted
// for, else 0.05. `layout`, `take` and `all` say how the folder is read; nothing else counts.
//
// `json` may be null; else it is an object: `model` (the file written), `threshold`, `pixel_threshold`,
// `calibration` (`target_fpr`, `source`, `rule`, `good`, `left_out`, `interval`: what the true rate lies in,
// with a confidence of 95 %), `at_threshold` (`good`, `false_alarms`, `defects`, `misses`, ...), `best_f1`
// and `best_f1_threshold` (null without defects), and `notes`, what there was to say. `progress` may be
// null; it hears of `SOFTPATCH_STAGE_SCORE`, and cancels after the step in progress, before anything is
// written.
softpatch_status softpatch_model_calibrate(softpatch_context context,
                                           const char *model,
                                           const char *folder,
                                           const softpatch_fit_options *options,
                                           const char *output,
                                           softpatch_progress_fn progress,
                                           void *user_data,
                                           softpatch_text *json);

// All that the model file `model` says of itself, as `softpatch model MODEL info --json` prints it: what
// `softpatch_detector_info_json` has, and `settings` (texts by name), `rows_of_images` (of the memory bank,
// in the order of `images`), `fingerprint`, `references` (those of `softpatch_model_keep_references`, or
// null) and `history`. No device is needed.
softpatch_status softpatch_model_info_json(const char *model, softpatch_text *json);

// The edits of the model file `model`, the first one first, as a JSON array of objects: `what`
// ("remove-image", "allow", "deny" or "calibrate"), `image` (of "calibrate": how many good ones), `seconds`
// (since 1970), `removed` and `added` (rows of the memory bank), `made_by`, `fingerprint` (after it).
softpatch_status softpatch_model_history_json(const char *model, softpatch_text *json);

// Takes what was learned from the training image `name` out of the memory bank of the model file `model`.
// The name is one of `images` of `softpatch_model_info_json`, or the end of its path where only one ends so.
//
// As every edit, this writes the model to `output`, whole or not at all; null: into its own file, but not
// over an edit that was made meanwhile (`SOFTPATCH_MODEL`). Thresholds stay, detectors that have it loaded
// are as they were, and `softpatch_model_undo` takes it back. `json` may be null; else it is an object:
// `model` (the file written), `rows` (of the bank), and `edit`, as the history has it.
// `SOFTPATCH_MODEL` where the edit cannot be made, and says why.
softpatch_status softpatch_model_remove_image(const char *model,
                                              const char *name,
                                              const char *output,
                                              softpatch_text *json);

// Takes the last edit of the model file `model` back, bit by bit. The rest as in
// `softpatch_model_remove_image`; `edit` is what was taken back. References that were kept after that edit
// are gone.
softpatch_status softpatch_model_undo(const char *model, const char *output, softpatch_text *json);

// Takes a false alarm for normal: the patches of an image that pass the threshold, or those that `region`
// (x, y, width, height in pixels of the image; null: none) touches, become rows of the memory bank of the
// model file `model`, under the image's `name`. Where `image` is null, `name` is its file.
//
// The rest as in `softpatch_model_remove_image`; `json` has also `threshold`, the image's scores `before`
// and `after`, `was_anomalous`, `anomalous`, `peak` ([x, y], where it scores highest now) and `rows_of`,
// empty here.
softpatch_status softpatch_model_allow(softpatch_context context,
                                       const char *model,
                                       const char *name,
                                       const softpatch_image *image,
                                       const uint32_t *region,
                                       const char *output,
                                       softpatch_text *json);

// Finds a defect that was missed: the rows of the memory bank of the model file `model` that excuse it are
// taken out, those of `region` or of what scores highest. At most the share `at_most` of the bank goes,
// between 0 and 1; 0 is the usual one, 0.02. Where it takes more, nothing is changed.
//
// The rest as in `softpatch_model_allow`; `rows_of` are the training images that rows were taken from,
// [name, rows], whose own scores may rise.
softpatch_status softpatch_model_deny(softpatch_context context,
                                      const char *model,
                                      const char *name,
                                      const softpatch_image *image,
                                      const uint32_t *region,
                                      double at_most,
                                      const char *output,
                                      softpatch_text *json);

// Keeps up to 8 images of `folder` in the model file `model` with their scores on this device, for
// `softpatch_detector_verify`: of the training images that the model knows, else of the others. Whoever has
// the model can look at them. Of `options`, which may be null, `layout`, `take` and `all` say how the folder
// is read. `output` and `json`, with `model`, `references` (how many are kept) and `bytes`, as in
// `softpatch_model_remove_image`.
softpatch_status softpatch_model_keep_references(softpatch_context context,
                                                 const char *model,
                                                 const char *folder,
                                                 const softpatch_fit_options *options,
                                                 const char *output,
                                                 softpatch_text *json);

// Leaves the pictures of `softpatch_model_keep_references` out of the model file `model`, whose pixels are
// then in it no more; `softpatch_detector_verify` has nothing to go by until others are kept. `output` and
// `json`, with `model` alone, as in `softpatch_model_remove_image`.
softpatch_status softpatch_model_forget_references(const char *model,
                                                   const char *output,
                                                   softpatch_text *json);

// Plans a fit of the images of a folder whose work is done in shards, as `softpatch_fit_folder` with the same
// options would do it. `json` is an object: `plan`, which goes to the other `softpatch_shards_*` as it is (with
// `images`, how many there are, `grid` [rows, columns], `dim`, values of an embedding, and `projected`, values of
// a vector), `paths`, the images in order, and `notes`.
//
// `SOFTPATCH_INVALID_ARGUMENT` for options that need all features in one place: the discriminator auto, groups
// other than position, compat official.
softpatch_status softpatch_shards_plan(softpatch_context context,
                                       const char *folder,
                                       const softpatch_fit_options *options,
                                       softpatch_progress_fn progress,
                                       void *user_data,
                                       softpatch_text *json);

// Brings the `count` image files `paths` of a shard through the backbone: `vectors` becomes
// `[count][grid rows * columns][projected]`, `embeddings` `[count][grid rows * columns][dim]`; the lengths say how
// many values they have room for, which has to be as many. Patches that are not looked at are infinite in both.
softpatch_status softpatch_shards_features(softpatch_context context,
                                           const char *plan,
                                           const char *const *paths,
                                           size_t count,
                                           float *vectors,
                                           size_t vectors_len,
                                           float *embeddings,
                                           size_t embeddings_len,
                                           softpatch_progress_fn progress,
                                           void *user_data);

// Outlier scores of some grid positions of all images of the plan, from their vectors
// `[images][positions][projected]`: `scores` becomes `[images][positions]`, the scores that a fit on one machine
// finds; -1 where a patch is not looked at. `lof_k` is how many neighbours LOF used, 0 for other discriminators; it
// may be null.
softpatch_status softpatch_shards_outlier_scores(softpatch_context context,
                                                 const char *plan,
                                                 const float *vectors,
                                                 size_t vectors_len,
                                                 float *scores,
                                                 size_t scores_len,
                                                 uint32_t *lof_k,
                                                 softpatch_progress_fn progress,
                                                 void *user_data);

// Chooses `rows` of some vectors `[..][projected]` by greedy k-centre: `chosen` becomes their places, in the order
// chosen; where there are no more than `rows`, all of them, ascending. `chosen_len` is the smaller number.
// `distances`, which may be null, are those of the vectors `[..]` from a bank: then it goes on from there, and the
// farthest is the first.
softpatch_status softpatch_shards_choose(softpatch_context context,
                                         const char *plan,
                                         const float *vectors,
                                         size_t vectors_len,
                                         const float *distances,
                                         uint32_t rows,
                                         uint32_t *chosen,
                                         size_t chosen_len,
                                         softpatch_progress_fn progress,
                                         void *user_data);

// The distances of vectors `[..][projected]` from the nearest of `centres` `[..][projected]`: `distances` becomes
// `[..]`, of which `distances_len` is how many it has room for, which has to be as many.
softpatch_status softpatch_shards_distances(softpatch_context context,
                                            const char *plan,
                                            const float *vectors,
                                            size_t vectors_len,
                                            const float *centres,
                                            size_t centres_len,
                                            float *distances,
                                            size_t distances_len,
                                            softpatch_progress_fn progress,
                                            void *user_data);

// The detector whose memory bank are `rows` patches: their `embeddings` `[rows][dim]`, outlier `scores` `[rows]`, and
// `places` `[rows][2]`, number of the image and grid position; without a threshold, until `softpatch_shards_finish`.
// `about` is a JSON object: `images` (names of all, in order), `threshold` (outlier score above which patches were
// dropped, or null), `kept` (how many were not), `lof_k` (or null).
softpatch_status softpatch_shards_model(softpatch_context context,
                                        const char *plan,
                                        const char *about,
                                        const float *embeddings,
                                        const float *scores,
                                        const uint32_t *places,
                                        size_t rows,
                                        softpatch_detector *detector);

// Scores the images of a shard, of which `first` is the number of the first, by their `embeddings`
// `[len][grid rows * columns][dim]` against the memory bank of `detector` without the rows of each: `scores`
// and `peaks` become `[len]`, the largest values of maps, NaN where none was made.
softpatch_status softpatch_shards_leave_one_out(softpatch_context context,
                                                const char *plan,
                                                softpatch_detector detector,
                                                const float *embeddings,
                                                size_t embeddings_len,
                                                uint32_t first,
                                                float *scores,
                                                float *peaks,
                                                size_t len,
                                                softpatch_progress_fn progress,
                                                void *user_data);

// Makes of `detector` one with the thresholds that follow from the `scores` and `peaks` of all images of the plan, in
// order. `detector` stays as it is, and is the caller's to free.
softpatch_status softpatch_shards_finish(softpatch_context context,
                                         const char *plan,
                                         softpatch_detector detector,
                                         const float *scores,
                                         const float *peaks,
                                         size_t len,
                                         softpatch_detector *finished);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* SOFTPATCH_H */
