// softpatch for .NET: P/Invoke over the C ABI, with handles that free themselves. See include/softpatch.h.
using System;
using System.Runtime.InteropServices;

namespace Softpatch;

public enum PixelFormat : uint { Gray8 = 0, Gray16 = 1, Rgb8 = 2, Bgr8 = 3, Rgba8 = 4, Bgra8 = 5 }

public enum MapKind : uint { None = 0, Grid = 1, Crop = 2, Source = 3 }

[StructLayout(LayoutKind.Sequential)]
public struct Image
{
    public IntPtr Pixels;
    public UIntPtr Size;
    public UIntPtr Stride;
    public uint Width;
    public uint Height;
    public PixelFormat Format;
    public uint Reserved;
}

[StructLayout(LayoutKind.Sequential)]
public struct Result
{
    public ulong Ticket;
    public ulong LatencyNs;
    public float Score;
    /// 1: anomalous, 0: normal, -1: the model has no threshold.
    public int Verdict;
    public uint MapWidth;
    public uint MapHeight;
}

internal static class Native
{
    private const string Library = "softpatch";
    public const int Busy = 14, Pending = 15, Empty = 16;

    [DllImport(Library)] public static extern IntPtr softpatch_version();
    [DllImport(Library)] public static extern IntPtr softpatch_last_error_message();
    [DllImport(Library)] public static extern int softpatch_context_create(IntPtr options, out ulong context);
    [DllImport(Library)] public static extern int softpatch_context_free(ulong context);
    [DllImport(Library)]
    public static extern int softpatch_detector_load(
        ulong context, [MarshalAs(UnmanagedType.LPUTF8Str)] string path, out ulong detector);
    [DllImport(Library)] public static extern int softpatch_detector_free(ulong detector);
    [DllImport(Library)]
    public static extern int softpatch_map_size(
        ulong detector, MapKind kind, uint width, uint height, out uint mapWidth, out uint mapHeight);
    [DllImport(Library)]
    public static extern int softpatch_score(
        ulong detector, in Image image, MapKind kind, [Out] float[] map, UIntPtr mapLen, out Result result);
    [DllImport(Library)]
    public static extern int softpatch_stream_create(ulong detector, UIntPtr limit, out ulong stream);
    [DllImport(Library)]
    public static extern int softpatch_stream_submit(ulong stream, in Image frame, out ulong ticket);
    [DllImport(Library)]
    public static extern int softpatch_stream_wait(
        ulong stream, ulong timeoutMs, MapKind kind, [Out] float[] map, UIntPtr mapLen, out Result result);
    [DllImport(Library)] public static extern int softpatch_stream_free(ulong stream);

    public static void Check(int status)
    {
        if (status != 0)
        {
            throw new SoftpatchException(status, Marshal.PtrToStringUTF8(softpatch_last_error_message()) ?? "");
        }
    }
}

public sealed class SoftpatchException : Exception
{
    public SoftpatchException(int status, string message) : base(message) => Status = status;
    public int Status { get; }
}

public sealed class Context : IDisposable
{
    private ulong id;
    public Context() => Native.Check(Native.softpatch_context_create(IntPtr.Zero, out id));
    internal ulong Id => id;
    public static string Version => Marshal.PtrToStringUTF8(Native.softpatch_version()) ?? "";
    public void Dispose() { Native.softpatch_context_free(id); id = 0; GC.SuppressFinalize(this); }
    ~Context() { if (id != 0) Native.softpatch_context_free(id); }
}

public sealed class Detector : IDisposable
{
    private ulong id;
    public Detector(Context context, string path) =>
        Native.Check(Native.softpatch_detector_load(context.Id, path, out id));
    internal ulong Id => id;

    /// Scores a frame in managed memory and returns its map row by row.
    public unsafe (Result Result, float[] Map) Score(
        ReadOnlySpan<byte> pixels, uint width, uint height, PixelFormat format, MapKind kind, int stride = 0)
    {
        Native.Check(Native.softpatch_map_size(id, kind, width, height, out var w, out var h));
        var map = new float[(long)w * h];
        fixed (byte* start = pixels)
        {
            var image = Frames.Describe(start, pixels.Length, width, height, format, stride);
            Native.Check(Native.softpatch_score(id, image, kind, map, (UIntPtr)map.Length, out var result));
            return (result, map);
        }
    }

    public void Dispose() { Native.softpatch_detector_free(id); id = 0; GC.SuppressFinalize(this); }
    ~Detector() { if (id != 0) Native.softpatch_detector_free(id); }
}

public sealed class FrameStream : IDisposable
{
    private ulong id;
    public FrameStream(Detector detector, int limit) =>
        Native.Check(Native.softpatch_stream_create(detector.Id, (UIntPtr)limit, out id));

    /// The ticket, or nothing where the stream is busy: the frame was not taken in.
    public unsafe ulong? Submit(
        ReadOnlySpan<byte> pixels, uint width, uint height, PixelFormat format, int stride = 0)
    {
        fixed (byte* start = pixels)
        {
            var image = Frames.Describe(start, pixels.Length, width, height, format, stride);
            var status = Native.softpatch_stream_submit(id, image, out var ticket);
            if (status == Native.Busy) return null;
            Native.Check(status);
            return ticket;
        }
    }

    /// The oldest frame's result, or nothing where it is not done in time or no frame is in flight.
    public Result? Wait(TimeSpan timeout, MapKind kind, float[] map)
    {
        var status = Native.softpatch_stream_wait(
            id, (ulong)timeout.TotalMilliseconds, kind, map, (UIntPtr)map.Length, out var result);
        if (status is Native.Pending or Native.Empty) return null;
        Native.Check(status);
        return result;
    }

    public void Dispose() { Native.softpatch_stream_free(id); id = 0; GC.SuppressFinalize(this); }
    ~FrameStream() { if (id != 0) Native.softpatch_stream_free(id); }
}

internal static unsafe class Frames
{
    public static Image Describe(byte* start, int size, uint width, uint height, PixelFormat format, int stride) =>
        new()
        {
            Pixels = (IntPtr)start,
            Size = (UIntPtr)size,
            Stride = (UIntPtr)stride,
            Width = width,
            Height = height,
            Format = format,
        };
}
