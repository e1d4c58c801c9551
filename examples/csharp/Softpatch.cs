// softpatch for .NET: P/Invoke over the C ABI, with handles that free themselves. See include/softpatch.h.
using System;
using System.Runtime.ExceptionServices;
using System.Runtime.InteropServices;

namespace Softpatch;

/// What each is, softpatch.h says.
public enum PixelFormat : uint
{
    Gray8 = 0, Gray16 = 1, Rgb8 = 2, Bgr8 = 3, Rgba8 = 4, Bgra8 = 5, Gray10 = 6, Gray12 = 7, Gray14 = 8,
    Mono10Packed = 9, Mono12Packed = 10, Mono10p = 11, Mono12p = 12, Rgb16 = 13, Bgr16 = 14, Rgba16 = 15,
    Bgra16 = 16, BayerRg8 = 17, BayerGr8 = 18, BayerGb8 = 19, BayerBg8 = 20,
}

public enum MapKind : uint { None = 0, Grid = 1, Frame = 2, Source = 3 }

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

public enum Discriminator : uint { Lof = 0, Nearest = 1, Gaussian = 2, None = 3, Auto = 4 }

public enum Group : uint { Position = 0, Window = 1, Global = 2 }

public enum Embedding : uint { Auto = 0, Concat = 1, Pooled = 2 }

public enum Compat : uint { None = 0, Official = 1 }

public enum Precision : uint { F32 = 0, F16 = 1 }

public enum Geometry : uint { Whole = 0, Paper = 1 }

public enum FitAspect : uint { Stretch = 0, Pad = 1, Crop = 2 }

public enum Stage : uint { Features = 0, Denoise = 1, Coreset = 2, Calibrate = 3 }

/// Size of the frame: both 0: as many pixels as 256 x 256; height 0: width is the shorter side.
[StructLayout(LayoutKind.Sequential)]
public struct FrameSize
{
    public uint Width;
    public uint Height;
}

/// Settings of a fit; `FitOptions.Default` has the published ones.
[StructLayout(LayoutKind.Sequential)]
public struct FitOptions
{
    internal UIntPtr StructSize;
    public double Tau;
    public double CoresetRatio;
    public ulong Seed;
    public Discriminator Discriminator;
    public uint LofK;
    public uint SoftWeights;
    public uint Projection;
    public uint Resize;
    public uint Crop;
    public uint Batch;
    public Embedding Embedding;
    public uint EmbeddingDim;
    public Compat Compat;
    public uint Exif;
    public Precision Precision;
    public uint Bits;
    internal uint All;
    public double Black;
    public double White;
    internal IntPtr Layout;
    internal IntPtr Take;
    public Geometry Geometry;
    public FitAspect FitAspect;
    public FrameSize Size;
    public Group Group;
    public uint Window;
    internal IntPtr Roi;
    public double TargetFpr;

    public static FitOptions Default
    {
        get
        {
            Native.Check(Native.softpatch_fit_options_init(out var options, (UIntPtr)Marshal.SizeOf<FitOptions>()));
            return options;
        }
    }
}

/// Which images of a folder are good, where it does not tell itself.
public sealed class FolderOptions
{
    /// Name of the layout, e.g. "visa"; null: it is recognised by what is there.
    public string? Layout;
    /// Folders whose images are good, by name or by path below the folder.
    public string[] Take = Array.Empty<string>();
    /// All images are good, whatever the folders are called.
    public bool All;
    /// Mask file: what is white is looked at; null: all of every image.
    public string? Roi;
}

/// A connected area of a map, in its pixels; its contour is `PointCount` points from `FirstPoint` on.
[StructLayout(LayoutKind.Sequential)]
public struct Region
{
    public uint X;
    public uint Y;
    public uint Width;
    public uint Height;
    public uint Area;
    public float Peak;
    public uint PeakX;
    public uint PeakY;
    public uint FirstPoint;
    public uint PointCount;
}

/// A corner of pixels.
[StructLayout(LayoutKind.Sequential)]
public struct Point
{
    public uint X;
    public uint Y;
}

/// How to make a context; texts are null where the library is to choose.
public sealed class ContextOptions
{
    public string? AdapterName;
    public bool LowPower;
    public ulong? MemoryBudget;
    public string? WeightsPath;
    public string? Architecture;
    public string? Layers;
}

[StructLayout(LayoutKind.Sequential)]
internal struct NativeContextOptions
{
    public UIntPtr StructSize;
    public IntPtr AdapterName;
    public int AdapterIndex;
    public uint Power;
    public ulong MemoryBudget;
    public IntPtr WeightsPath;
    public IntPtr Architecture;
    public IntPtr Layers;
    public IntPtr CacheFolder;
    public uint NoSelfTest;
}

/// Returns false to cancel. An exception cancels, too, and comes out of the fit.
public delegate bool Progress(Stage stage, ulong done, ulong total);

[UnmanagedFunctionPointer(CallingConvention.Cdecl)]
internal delegate int NativeProgress(IntPtr user, Stage stage, ulong done, ulong total);

internal static class Native
{
    private const string Library = "softpatch";
    public const int Busy = 14, Pending = 15, Empty = 16;

    [DllImport(Library)] public static extern IntPtr softpatch_version();
    [DllImport(Library)] public static extern IntPtr softpatch_last_error_message();
    [DllImport(Library)]
    public static extern int softpatch_context_options_init(out NativeContextOptions options, UIntPtr size);
    [DllImport(Library)]
    public static extern int softpatch_context_create(in NativeContextOptions options, out ulong context);
    [DllImport(Library)] public static extern int softpatch_fit_options_init(out FitOptions options, UIntPtr size);
    [DllImport(Library)]
    public static extern int softpatch_fit_folder(
        ulong context, [MarshalAs(UnmanagedType.LPUTF8Str)] string folder, in FitOptions options,
        NativeProgress? progress, IntPtr user, out ulong detector);
    [DllImport(Library)]
    public static extern int softpatch_detector_save(
        ulong detector, [MarshalAs(UnmanagedType.LPUTF8Str)] string path);
    [DllImport(Library)] public static extern int softpatch_context_free(ulong context);
    [DllImport(Library)]
    public static extern int softpatch_detector_load(
        ulong context, [MarshalAs(UnmanagedType.LPUTF8Str)] string path, out ulong detector);
    [DllImport(Library)] public static extern int softpatch_detector_free(ulong detector);
    [DllImport(Library)]
    public static extern int softpatch_map_size(
        ulong detector, MapKind kind, uint width, uint height, out uint mapWidth, out uint mapHeight);
    [DllImport(Library)]
    public static extern int softpatch_peak(
        ulong detector, MapKind kind, float[] map, UIntPtr mapLen, uint width, uint height, out uint x, out uint y);
    [DllImport(Library)]
    public static extern int softpatch_regions(
        ulong detector, float[] map, UIntPtr mapLen, uint width, uint height, float threshold,
        [Out] Region[]? regions, UIntPtr regionCapacity, out UIntPtr regionCount,
        [Out] Point[]? points, UIntPtr pointCapacity, out UIntPtr pointCount);
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
    public Context(ContextOptions? options = null)
    {
        options ??= new ContextOptions();
        var size = (UIntPtr)Marshal.SizeOf<NativeContextOptions>();
        Native.Check(Native.softpatch_context_options_init(out var native, size));
        native.Power = options.LowPower ? 1u : 0u;
        native.MemoryBudget = options.MemoryBudget ?? native.MemoryBudget;
        native.AdapterName = Marshal.StringToCoTaskMemUTF8(options.AdapterName);
        native.WeightsPath = Marshal.StringToCoTaskMemUTF8(options.WeightsPath);
        native.Architecture = Marshal.StringToCoTaskMemUTF8(options.Architecture);
        native.Layers = Marshal.StringToCoTaskMemUTF8(options.Layers);
        try
        {
            Native.Check(Native.softpatch_context_create(native, out id));
        }
        finally
        {
            Marshal.FreeCoTaskMem(native.AdapterName);
            Marshal.FreeCoTaskMem(native.WeightsPath);
            Marshal.FreeCoTaskMem(native.Architecture);
            Marshal.FreeCoTaskMem(native.Layers);
        }
    }
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
    private Detector(ulong id) => this.id = id;
    internal ulong Id => id;

    /// Learns what normal looks like from the images in a folder, a few of which may be defective.
    public static Detector Fit(
        Context context, string folder, FitOptions options, Progress? progress = null, FolderOptions? open = null)
    {
        open ??= new FolderOptions();
        Exception? thrown = null;
        // No exception may cross the native border.
        int Watch(IntPtr user, Stage stage, ulong done, ulong total)
        {
            try
            {
                return progress!(stage, done, total) ? 0 : 1;
            }
            catch (Exception e)
            {
                thrown = e;
                return 1;
            }
        }
        NativeProgress? watch = progress is null ? null : Watch;
        options.All = open.All ? 1u : 0u;
        options.Layout = Marshal.StringToCoTaskMemUTF8(open.Layout);
        options.Take = Marshal.StringToCoTaskMemUTF8(open.Take.Length == 0 ? null : string.Join('\n', open.Take));
        options.Roi = Marshal.StringToCoTaskMemUTF8(open.Roi);
        int status;
        ulong made;
        try
        {
            status = Native.softpatch_fit_folder(context.Id, folder, options, watch, IntPtr.Zero, out made);
        }
        finally
        {
            Marshal.FreeCoTaskMem(options.Layout);
            Marshal.FreeCoTaskMem(options.Take);
            Marshal.FreeCoTaskMem(options.Roi);
        }
        GC.KeepAlive(watch);
        if (thrown is not null) ExceptionDispatchInfo.Capture(thrown).Throw();
        Native.Check(status);
        return new Detector(made);
    }

    /// Writes the model to a file, whole or not at all.
    public void Save(string path) => Native.Check(Native.softpatch_detector_save(id, path));

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

    /// Column and row, in pixels of an image of this size, where its map of this kind is largest.
    public (uint X, uint Y) Peak(float[] map, MapKind kind, uint width, uint height)
    {
        Native.Check(
            Native.softpatch_peak(id, kind, map, (UIntPtr)map.Length, width, height, out var x, out var y));
        return (x, y);
    }

    /// The connected areas of a map above a threshold, the largest first, with the points of their contours; without
    /// a threshold, above the model's.
    public (Region[] Regions, Point[] Points) Regions(
        float[] map, uint width, uint height, float threshold = float.NaN)
    {
        var len = (UIntPtr)map.Length;
        Native.Check(Native.softpatch_regions(
            id, map, len, width, height, threshold, null, UIntPtr.Zero, out var count, null, UIntPtr.Zero,
            out var corners));
        var (regions, points) = (new Region[(int)count], new Point[(int)corners]);
        if (regions.Length > 0)
        {
            Native.Check(Native.softpatch_regions(
                id, map, len, width, height, threshold, regions, count, out _, points, corners, out _));
        }
        return (regions, points);
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
