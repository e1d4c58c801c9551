// Threads and frames as OpenCV has them: frames MODEL.
//
// A camera thread submits BGR frames cut out of a larger picture (rows with gaps between them), the main thread takes the
// results in order. Then two threads score with one detector.
#include "softpatch.hpp"

#include <cstdio>
#include <cstdlib>
#include <thread>

// What cv::Mat has: `data`, `step` and sizes; a real program passes the members of a cv::Mat.
struct Frame {
    int rows, cols;
    std::size_t step;
    const std::uint8_t *data;

    softpatch_image view() const {
        return softpatch::view(data, static_cast<std::uint32_t>(cols), static_cast<std::uint32_t>(rows),
                               SOFTPATCH_BGR8, step,
                               step * (static_cast<std::size_t>(rows) - 1) + static_cast<std::size_t>(cols) * 3);
    }
};

int main(int argc, char **argv) try {
    if (argc != 2) return 2;
    const softpatch::Context context;
    const auto detector = softpatch::Detector::load(context, argv[1]);
    const softpatch::Stream stream(detector, 4);

    const int width = 200, height = 150, count = 40;
    std::vector<std::uint8_t> picture(static_cast<std::size_t>(width) * height * 3);
    for (std::size_t i = 0; i < picture.size(); i++) picture[i] = static_cast<std::uint8_t>(i * i / 7);
    const auto frame = [&](int i) {
        const std::size_t step = static_cast<std::size_t>(width) * 3;
        return Frame{96, 96, step, picture.data() + static_cast<std::size_t>(i % 50) * step + (i % 100) * 3};
    };

    std::thread camera([&] {
        for (int i = 0; i < count; i++) {
            while (!stream.submit(frame(i).view())) std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
    });
    std::vector<softpatch::Score> scores;
    while (scores.size() < static_cast<std::size_t>(count)) {
        if (auto score = stream.wait(std::chrono::seconds(60), softpatch::Map::source, 96 * 96)) {
            if (score->ticket() != scores.size()) std::abort();
            scores.push_back(std::move(*score));
        }
    }
    camera.join();

    const auto check = [&](int from, int to) {
        for (int i = from; i < to; i++) {
            const auto score = detector.score(frame(i).view(), softpatch::Map::source);
            if (score.score() != scores[static_cast<std::size_t>(i)].score()) std::abort();
            if (score.map != scores[static_cast<std::size_t>(i)].map) std::abort();
        }
    };
    std::thread half(check, 0, count / 2);
    check(count / 2, count);
    half.join();

    if (detector.explain_json(frame(0).view(), 1, 1).find("\"places\":[{") == std::string::npos) std::abort();
    if (softpatch::ModelFile(argv[1]).history_json() != "[]") std::abort();
    try {
        (void)softpatch::ModelFile(argv[1]).undo();
        std::abort();
    } catch (const softpatch::Error &error) {
        if (error.code() != SOFTPATCH_MODEL) std::abort();
    }

    try {
        (void)softpatch::Detector::load(context, "no/such/model");
        std::abort();
    } catch (const softpatch::Error &error) {
        if (error.code() != SOFTPATCH_IO) std::abort();
    }
    // An exception of the callback comes out of the fit.
    try {
        auto options = softpatch::fit_options();
        options.size.width = 64;
        (void)softpatch::Detector::fit(context, std::vector<softpatch_image>(8, frame(0).view()), options,
                                       [](auto, auto, auto) -> bool { throw std::logic_error("enough"); });
        std::abort();
    } catch (const std::logic_error &error) {
        if (std::string(error.what()) != "enough") std::abort();
    }
    std::printf("%zu frames in order, score of the last %f\n", scores.size(), scores.back().score());
    return 0;
} catch (const std::exception &error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
}
