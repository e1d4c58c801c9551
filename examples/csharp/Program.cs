// Scores frames one by one and through a stream, and fits on the images of a folder: softpatch-example MODEL [FOLDER].
using System;
using Softpatch;

if (args.Length is not (1 or 2))
{
    Console.Error.WriteLine("usage: softpatch-example MODEL [FOLDER]");
    return 2;
}
using var context = new Context();
using var detector = new Detector(context, args[0]);
const int side = 96;
var frame = new byte[side * side];
new Random(1).NextBytes(frame);
var (single, map) = detector.Score(frame, side, side, PixelFormat.Gray8, MapKind.Source);
Console.WriteLine($"softpatch {Context.Version}: score {single.Score}, verdict {single.Verdict}, {map.Length} map values");
var (x, y) = detector.Peak(map, MapKind.Source, side, side);
var (regions, _) = detector.Regions(map, side, side);
Console.WriteLine($"most at {x}, {y}; {regions.Length} regions above the threshold");
var why = detector.Explain(frame, side, side, PixelFormat.Gray8, places: 1, neighbours: 1);
Console.WriteLine($"explained: {why}");
if (detector.Calibrated(single.Score) is { } share) Console.WriteLine($"of good parts, {100 * share} % score lower");
Console.WriteLine($"edits: {ModelFile.History(args[0])}");

using var stream = new FrameStream(detector, 4);
ulong taken = 0, submitted = 0;
var grid = new float[side * side];
while (taken < 20)
{
    while (submitted < 20 && stream.Submit(frame, side, side, PixelFormat.Gray8) is not null) submitted++;
    if (stream.Wait(TimeSpan.FromSeconds(60), MapKind.Source, grid) is not { } result) return 1;
    if (result.Ticket != taken || result.Score != single.Score) return 1;
    taken++;
}
Console.WriteLine($"{taken} frames in order");
if (args.Length == 2)
{
    var options = FitOptions.Default;
    options.Size.Width = 64;
    using var fitted = Detector.Fit(context, args[1], options, (stage, done, total) => done <= total);
    Console.WriteLine($"fitted: score {fitted.Score(frame, side, side, PixelFormat.Gray8, MapKind.None).Result.Score}");
}
return 0;
