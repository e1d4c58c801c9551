// softpatch for C++17: owning handles, exceptions, and scores in std::vector. A thin skin over softpatch.h.
//
// Objects move and do not copy. Every object may be used from several threads at once; see softpatch.h.
// SPDX-License-Identifier: MIT OR Apache-2.0
#ifndef SOFTPATCH_HPP
#define SOFTPATCH_HPP

#include "softpatch.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <limits>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace softpatch {

// What a call that failed has to say; `code()` is one of SOFTPATCH_*.
class Error : public std::runtime_error {
public:
    Error(softpatch_status code, const std::string &text) : std::runtime_error(text), code_(code) {}
    softpatch_status code() const noexcept { return code_; }

private:
    softpatch_status code_;
};

inline void check(softpatch_status status) {
    if (status != SOFTPATCH_OK) throw Error(status, softpatch_last_error_message());
}

namespace detail {
template <softpatch_status (*Free)(std::uint64_t)> class Handle {
public:
    Handle() noexcept = default;
    explicit Handle(std::uint64_t id) noexcept : id_(id) {}
    Handle(Handle &&other) noexcept : id_(std::exchange(other.id_, 0)) {}
    Handle &operator=(Handle &&other) noexcept {
        if (this != &other) {
            if (id_) Free(id_);
            id_ = std::exchange(other.id_, 0);
        }
        return *this;
    }
    ~Handle() {
        if (id_) Free(id_);
    }
    std::uint64_t get() const noexcept { return id_; }

private:
    std::uint64_t id_ = 0;
};

template <class F> std::string text(F call) {
    std::size_t size = 0;
    check(call(nullptr, 0, &size));
    std::string out(size, '\0');
    check(call(out.data(), size, nullptr));
    out.resize(size - 1);
    return out;
}

// The JSON that a call makes as a text, which is freed.
template <class F> std::string made(F call) {
    std::uint64_t id = 0;
    check(call(&id));
    const Handle<softpatch_text_free> owner(id);
    return text([id](char *b, std::size_t c, std::size_t *n) { return softpatch_text_copy(id, b, c, n); });
}

// A text of C; null for none.
inline const char *or_null(const std::string &text) { return text.empty() ? nullptr : text.c_str(); }

// A function of C++ as a callback of C.
class Watch {
public:
    // Returns false to cancel. An exception cancels, too, and comes out of `done`.
    using Progress = std::function<bool(std::uint32_t stage, std::uint64_t done, std::uint64_t total)>;
    explicit Watch(const Progress &progress) : progress_(progress) {}
    softpatch_progress_fn callback() const {
        softpatch_progress_fn none = nullptr;
        return progress_ ? static_cast<softpatch_progress_fn>(call) : none;
    }
    softpatch_status done(softpatch_status status) const {
        if (thrown_) std::rethrow_exception(thrown_);
        return status;
    }

private:
    // Runs across the C border, which no exception may cross.
    static std::int32_t call(void *user, std::uint32_t stage, std::uint64_t done, std::uint64_t total) noexcept {
        auto &self = *static_cast<Watch *>(user);
        try {
            return self.progress_(stage, done, total) ? 0 : 1;
        } catch (...) {
            self.thrown_ = std::current_exception();
            return 1;
        }
    }
    const Progress &progress_;
    std::exception_ptr thrown_;
};
} // namespace detail

// Pixels in memory that somebody else owns.
inline softpatch_image view(const void *pixels, std::uint32_t width, std::uint32_t height, std::uint32_t format,
                            std::size_t stride, std::size_t size) {
    return softpatch_image{pixels, size, stride, width, height, format, 0};
}

enum class Map : std::uint32_t {
    none = SOFTPATCH_MAP_NONE,
    grid = SOFTPATCH_MAP_GRID,
    crop = SOFTPATCH_MAP_FRAME,
    source = SOFTPATCH_MAP_SOURCE
};

// Areas, and the points of all their contours: `first_point` and `point_count` of an area say which are its own.
struct Regions {
    std::vector<softpatch_region> regions;
    std::vector<softpatch_point> points;
};

struct Score {
    softpatch_result result{};
    std::vector<float> map;
    std::uint64_t ticket() const noexcept { return result.ticket; }
    float score() const noexcept { return result.score; }
    // Nothing where the model has no threshold.
    std::optional<bool> anomalous() const noexcept {
        if (result.verdict == SOFTPATCH_VERDICT_UNKNOWN) return std::nullopt;
        return result.verdict == SOFTPATCH_VERDICT_ANOMALOUS;
    }
};

inline softpatch_fit_options fit_options() {
    softpatch_fit_options options;
    check(softpatch_fit_options_init(&options, sizeof options));
    return options;
}

inline softpatch_context_options context_options() {
    softpatch_context_options options;
    check(softpatch_context_options_init(&options, sizeof options));
    return options;
}

inline std::vector<softpatch_adapter> adapters() {
    std::size_t count = 0;
    check(softpatch_adapter_list(nullptr, 0, &count));
    std::vector<softpatch_adapter> all(count);
    if (count) check(softpatch_adapter_list(all.data(), all.size(), &count));
    return all;
}

class Context {
public:
    Context() : Context(context_options()) {}
    // With the weights of another backbone; `layers` with commas between. Empty texts: the file tells.
    explicit Context(const std::string &weights, const std::string &architecture = "", const std::string &layers = "")
        : Context(with_weights(weights, architecture, layers)) {}
    explicit Context(const softpatch_context_options &options) {
        std::uint64_t id = 0;
        check(softpatch_context_create(&options, &id));
        handle_ = detail::Handle<softpatch_context_free>(id);
    }
    softpatch_context get() const noexcept { return handle_.get(); }
    std::string info_json() const {
        return detail::text([this](char *b, std::size_t c, std::size_t *n) {
            return softpatch_context_info_json(get(), b, c, n);
        });
    }

private:
    // The texts have to outlive the call, which they do: they are the constructor's arguments.
    static softpatch_context_options with_weights(const std::string &weights, const std::string &architecture,
                                                  const std::string &layers) {
        softpatch_context_options options = context_options();
        options.weights_path = weights.c_str();
        if (!architecture.empty()) options.architecture = architecture.c_str();
        if (!layers.empty()) options.layers = layers.c_str();
        return options;
    }
    detail::Handle<softpatch_context_free> handle_;
};

// Returns false to cancel. An exception cancels, too, and comes out of the call.
using Progress = detail::Watch::Progress;

class Detector {
public:
    static Detector load(const Context &context, const std::string &path) {
        std::uint64_t id = 0;
        check(softpatch_detector_load(context.get(), path.c_str(), &id));
        return Detector(id);
    }
    static Detector load(const Context &context, const std::vector<std::uint8_t> &bytes) {
        std::uint64_t id = 0;
        check(softpatch_detector_load_bytes(context.get(), bytes.data(), bytes.size(), &id));
        return Detector(id);
    }
    static Detector fit(const Context &context, const std::string &folder,
                        const softpatch_fit_options &options = fit_options(), const Progress &progress = {}) {
        return fitted(progress, [&](auto callback, void *user, std::uint64_t *id) {
            return softpatch_fit_folder(context.get(), folder.c_str(), &options, callback, user, id);
        });
    }
    static Detector fit(const Context &context, const std::vector<softpatch_image> &images,
                        const softpatch_fit_options &options = fit_options(), const Progress &progress = {}) {
        return fitted(progress, [&](auto callback, void *user, std::uint64_t *id) {
            return softpatch_fit_images(context.get(), images.data(), images.size(), &options, callback, user, id);
        });
    }

    void save(const std::string &path) const { check(softpatch_detector_save(get(), path.c_str())); }
    softpatch_model_info info() const {
        softpatch_model_info info;
        check(softpatch_detector_info(get(), &info));
        return info;
    }
    std::string info_json() const {
        return detail::text([this](char *b, std::size_t c, std::size_t *n) {
            return softpatch_detector_info_json(get(), b, c, n);
        });
    }
    // The share of good parts that score lower, 0 to 1; nothing where the model has no scores of good images.
    std::optional<float> calibrated(float score) const {
        float share = 0;
        check(softpatch_detector_calibrated(get(), score, &share));
        if (share != share) return std::nullopt;
        return share;
    }
    // Why an image has its score, as JSON: see softpatch_detector_explain.
    std::string explain_json(const softpatch_image &image, std::uint32_t places = 3, std::uint32_t neighbours = 3,
                             const std::string &images = "") const {
        return detail::made([&](std::uint64_t *id) {
            return softpatch_detector_explain(get(), nullptr, &image, places, neighbours, detail::or_null(images), id);
        });
    }
    // Whether this is the model that was approved, and scores here as it did then, as JSON.
    std::string verify_json() const {
        return detail::made([this](std::uint64_t *id) { return softpatch_detector_verify(get(), id); });
    }
    Score score(const softpatch_image &image, Map kind = Map::none) const {
        Score score;
        score.map.resize(map_len(image, kind));
        check(softpatch_score(get(), &image, static_cast<std::uint32_t>(kind), score.map.data(), score.map.size(),
                              &score.result));
        return score;
    }
    std::vector<Score> score(const std::vector<softpatch_image> &images, Map kind = Map::none) const {
        std::vector<Score> scores(images.size());
        std::vector<softpatch_result> results(images.size());
        std::vector<float *> maps;
        std::vector<std::size_t> lens;
        for (std::size_t i = 0; i < images.size(); i++) {
            scores[i].map.resize(map_len(images[i], kind));
            maps.push_back(scores[i].map.data());
            lens.push_back(scores[i].map.size());
        }
        check(softpatch_score_batch(get(), images.data(), images.size(), static_cast<std::uint32_t>(kind), maps.data(),
                                    lens.data(), results.data()));
        for (std::size_t i = 0; i < images.size(); i++) scores[i].result = results[i];
        return scores;
    }
    std::size_t map_len(const softpatch_image &image, Map kind) const {
        std::uint32_t width = 0, height = 0;
        check(softpatch_map_size(get(), static_cast<std::uint32_t>(kind), image.width, image.height, &width, &height));
        return static_cast<std::size_t>(width) * height;
    }
    // Column and row, in pixels of the image, where its map of this kind is largest.
    softpatch_point peak(const softpatch_image &image, Map kind, const std::vector<float> &map) const {
        softpatch_point at{};
        check(softpatch_peak(get(), static_cast<std::uint32_t>(kind), map.data(), map.size(), image.width, image.height,
                             &at.x, &at.y));
        return at;
    }
    // The connected areas of a map above a threshold, the largest first; without one, above the model's.
    Regions regions(const std::vector<float> &map, std::uint32_t width, std::uint32_t height,
                    float threshold = std::numeric_limits<float>::quiet_NaN()) const {
        Regions found;
        std::size_t regions = 0, points = 0;
        check(softpatch_regions(get(), map.data(), map.size(), width, height, threshold, nullptr, 0, &regions, nullptr, 0,
                                &points));
        if (regions == 0) return found;
        found.regions.resize(regions);
        found.points.resize(points);
        check(softpatch_regions(get(), map.data(), map.size(), width, height, threshold, found.regions.data(), regions,
                                &regions, found.points.data(), points, &points));
        return found;
    }
    softpatch_detector get() const noexcept { return handle_.get(); }

private:
    explicit Detector(std::uint64_t id) : handle_(id) {}

    template <class F> static Detector fitted(const Progress &progress, F call) {
        std::uint64_t id = 0;
        detail::Watch watch(progress);
        check(watch.done(call(watch.callback(), &watch, &id)));
        return Detector(id);
    }

    detail::Handle<softpatch_detector_free> handle_;
};

// Which training images of a folder look contaminated, as JSON; no model is made.
inline std::string audit_json(const Context &context, const std::string &folder,
                              const softpatch_fit_options &options = fit_options(), const Progress &progress = {}) {
    return detail::made([&](std::uint64_t *id) {
        detail::Watch watch(progress);
        return watch.done(
            softpatch_audit(context.get(), folder.c_str(), &options, watch.callback(), &watch, id));
    });
}

// A model file, and edits of it, each written whole or not at all to `output`, or where that is empty, into the file
// itself. The texts are JSON as softpatch.h describes it; a region is null or x, y, width, height.
class ModelFile {
public:
    explicit ModelFile(std::string path) : path_(std::move(path)) {}
    std::string info_json() const {
        return detail::made([this](std::uint64_t *id) { return softpatch_model_info_json(path_.c_str(), id); });
    }
    std::string history_json() const {
        return detail::made([this](std::uint64_t *id) { return softpatch_model_history_json(path_.c_str(), id); });
    }
    // Of `options`, `target_fpr` is the false-alarm rate; 0: that of the fit, else 0.05.
    std::string calibrate(const Context &context, const std::string &folder,
                          const softpatch_fit_options &options = fit_options(), const std::string &output = "",
                          const Progress &progress = {}) const {
        return detail::made([&](std::uint64_t *id) {
            detail::Watch watch(progress);
            return watch.done(softpatch_model_calibrate(context.get(), path_.c_str(), folder.c_str(), &options,
                                                        detail::or_null(output), watch.callback(), &watch, id));
        });
    }
    std::string keep_references(const Context &context, const std::string &folder,
                                const softpatch_fit_options &options = fit_options(),
                                const std::string &output = "") const {
        return detail::made([&](std::uint64_t *id) {
            return softpatch_model_keep_references(context.get(), path_.c_str(), folder.c_str(), &options,
                                                   detail::or_null(output), id);
        });
    }
    std::string forget_references(const std::string &output = "") const {
        return detail::made([&](std::uint64_t *id) {
            return softpatch_model_forget_references(path_.c_str(), detail::or_null(output), id);
        });
    }
    std::string remove_image(const std::string &name, const std::string &output = "") const {
        return detail::made([&](std::uint64_t *id) {
            return softpatch_model_remove_image(path_.c_str(), name.c_str(), detail::or_null(output), id);
        });
    }
    std::string undo(const std::string &output = "") const {
        return detail::made([&](std::uint64_t *id) {
            return softpatch_model_undo(path_.c_str(), detail::or_null(output), id);
        });
    }
    // Where `image` is null, `name` is its file.
    std::string allow(const Context &context, const std::string &name, const softpatch_image *image = nullptr,
                      const std::uint32_t *region = nullptr, const std::string &output = "") const {
        return detail::made([&](std::uint64_t *id) {
            return softpatch_model_allow(context.get(), path_.c_str(), name.c_str(), image, region,
                                         detail::or_null(output), id);
        });
    }
    // At most the share `at_most` of the memory bank goes; 0: the usual one.
    std::string deny(const Context &context, const std::string &name, const softpatch_image *image = nullptr,
                     const std::uint32_t *region = nullptr, double at_most = 0, const std::string &output = "") const {
        return detail::made([&](std::uint64_t *id) {
            return softpatch_model_deny(context.get(), path_.c_str(), name.c_str(), image, region, at_most,
                                        detail::or_null(output), id);
        });
    }

private:
    std::string path_;
};

// Frames in flight; one thread may submit while another takes results.
class Stream {
public:
    Stream(const Detector &detector, std::size_t limit) {
        std::uint64_t id = 0;
        check(softpatch_stream_create(detector.get(), limit, &id));
        handle_ = detail::Handle<softpatch_stream_free>(id);
    }
    // The frame's ticket; nothing where the stream is busy: the frame was not taken in.
    std::optional<std::uint64_t> submit(const softpatch_image &frame) const {
        std::uint64_t ticket = 0;
        const softpatch_status status = softpatch_stream_submit(get(), &frame, &ticket);
        if (status == SOFTPATCH_BUSY) return std::nullopt;
        check(status);
        return ticket;
    }
    // The oldest frame's result; nothing where it is not done in time, or no frame is in flight. `map_len`
    // values have to be enough for the map.
    std::optional<Score> wait(std::chrono::milliseconds timeout, Map kind = Map::none, std::size_t map_len = 0) const {
        Score score;
        score.map.resize(map_len);
        const softpatch_status status =
            softpatch_stream_wait(get(), static_cast<std::uint64_t>(timeout.count()), static_cast<std::uint32_t>(kind),
                                  score.map.data(), map_len, &score.result);
        if (status == SOFTPATCH_PENDING || status == SOFTPATCH_EMPTY) return std::nullopt;
        check(status);
        return score;
    }
    std::size_t in_flight() const {
        std::size_t count = 0;
        check(softpatch_stream_in_flight(get(), &count));
        return count;
    }
    softpatch_stream get() const noexcept { return handle_.get(); }

private:
    detail::Handle<softpatch_stream_free> handle_;
};

} // namespace softpatch

#endif // SOFTPATCH_HPP
