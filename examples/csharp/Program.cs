// Scores frames one by one and through a stream: softpatch-example MODEL.
using System;
using Softpatch;

if (args.Length != 1)
{
    Console.Error.WriteLine("usage: softpatch-example MODEL");
    return 2;
}
using var context = new Context();
using var detector = new Detector(context, args[0]);
const int side = 96;
var frame = new byte[side * side];
new Random(1).NextBytes(frame);
var (single, map) = detector.Score(frame, side, side, PixelFormat.Gray8, MapKind.Source);
Console.WriteLine($"softpatch {Context.Version}: score {single.Score}, verdict {single.Verdict}, {map.Length} map values");

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
return 0;
