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

public enum Stage : uint { Features = 0, Denoise = 1, Coreset = 2, Calibrate = 3, Score = 4, Floors = 5, Distances = 6 }

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
    internal IntPtr Exclude;

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
    /// File that lists training images to leave out of a fit or an audit; null: none.
    public string? Exclude;
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
    public ulong DeviceTimeoutMs;
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
    public static extern int softpatch_detector_calibrated(ulong detector, float score, out float share);
    [DllImport(Library)]
    public static extern int softpatch_detector_explain(
        ulong detector, [MarshalAs(UnmanagedType.LPUTF8Str)] string? path, IntPtr image, uint places, uint neighbours,
        [MarshalAs(UnmanagedType.LPUTF8Str)] string? images, out ulong json);
    [DllImport(Library)]
    public static extern int softpatch_detector_verify(ulong detector, out ulong json);
    [DllImport(Library)]
    public static extern int softpatch_audit(
        ulong context, [MarshalAs(UnmanagedType.LPUTF8Str)] string folder, in FitOptions options,
        NativeProgress? progress, IntPtr user, out ulong json);
    [DllImport(Library)]
    public static extern int softpatch_model_calibrate(
        ulong context, [MarshalAs(UnmanagedType.LPUTF8Str)] string model,
        [MarshalAs(UnmanagedType.LPUTF8Str)] string folder, in FitOptions options,
        [MarshalAs(UnmanagedType.LPUTF8Str)] string? output, NativeProgress? progress, IntPtr user, out ulong json);
    [DllImport(Library)]
    public static extern int softpatch_model_keep_references(
        ulong context, [MarshalAs(UnmanagedType.LPUTF8Str)] string model,
        [MarshalAs(UnmanagedType.LPUTF8Str)] string folder, in FitOptions options,
        [MarshalAs(UnmanagedType.LPUTF8Str)] string? output, out ulong json);
    [DllImport(Library)]
    public static extern int softpatch_model_forget_references(
        [MarshalAs(UnmanagedType.LPUTF8Str)] string model, [MarshalAs(UnmanagedType.LPUTF8Str)] string? output,
        out ulong json);
    [DllImport(Library)]
    public static extern int softpatch_model_info_json(
        [MarshalAs(UnmanagedType.LPUTF8Str)] string model, out ulong json);
    [DllImport(Library)]
    public static extern int softpatch_model_history_json(
        [MarshalAs(UnmanagedType.LPUTF8Str)] string model, out ulong json);
    [DllImport(Library)]
    public static extern int softpatch_model_remove_image(
        [MarshalAs(UnmanagedType.LPUTF8Str)] string model, [MarshalAs(UnmanagedType.LPUTF8Str)] string name,
        [MarshalAs(UnmanagedType.LPUTF8Str)] string? output, out ulong json);
    [DllImport(Library)]
    public static extern int softpatch_model_undo(
        [MarshalAs(UnmanagedType.LPUTF8Str)] string model, [MarshalAs(UnmanagedType.LPUTF8Str)] string? output,
        out ulong json);
    [DllImport(Library)]
    public static extern int softpatch_model_allow(
        ulong context, [MarshalAs(UnmanagedType.LPUTF8Str)] string model,
        [MarshalAs(UnmanagedType.LPUTF8Str)] string name, IntPtr image, uint[]? region,
        [MarshalAs(UnmanagedType.LPUTF8Str)] string? output, out ulong json);
    [DllImport(Library)]
    public static extern int softpatch_model_deny(
        ulong context, [MarshalAs(UnmanagedType.LPUTF8Str)] string model,
        [MarshalAs(UnmanagedType.LPUTF8Str)] string name, IntPtr image, uint[]? region, double atMost,
        [MarshalAs(UnmanagedType.LPUTF8Str)] string? output, out ulong json);
    [DllImport(Library)]
    public static extern int softpatch_text_copy(ulong text, byte[]? buffer, UIntPtr capacity, out UIntPtr needed);
    [DllImport(Library)] public static extern int softpatch_text_free(ulong text);
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

    /// A call with settings and a callback.
    public delegate int Work(in FitOptions options, NativeProgress? watch);

    /// Does work with how a folder is opened among the options; an exception of `progress` comes out of it.
    public static int Watched(FitOptions options, Progress? progress, FolderOptions? open, Work work)
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
        options.Exclude = Marshal.StringToCoTaskMemUTF8(open.Exclude);
        int status;
        try
        {
            status = work(options, watch);
        }
        finally
        {
            Marshal.FreeCoTaskMem(options.Layout);
            Marshal.FreeCoTaskMem(options.Take);
            Marshal.FreeCoTaskMem(options.Roi);
            Marshal.FreeCoTaskMem(options.Exclude);
        }
        GC.KeepAlive(watch);
        if (thrown is not null) ExceptionDispatchInfo.Capture(thrown).Throw();
        return status;
    }

    /// The JSON that a call made, whose text is freed.
    public static string Text(int status, ulong text)
    {
        Check(status);
        try
        {
            Check(softpatch_text_copy(text, null, UIntPtr.Zero, out var size));
            var bytes = new byte[(int)size];
            Check(softpatch_text_copy(text, bytes, size, out _));
            return System.Text.Encoding.UTF8.GetString(bytes, 0, bytes.Length - 1);
        }
        finally
        {
            softpatch_text_free(text);
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
        ulong made = 0;
        Native.Check(Native.Watched(options, progress, open, (in FitOptions told, NativeProgress? watch) =>
            Native.softpatch_fit_folder(context.Id, folder, told, watch, IntPtr.Zero, out made)));
        return new Detector(made);
    }

    /// Writes the model to a file, whole or not at all.
    public void Save(string path) => Native.Check(Native.softpatch_detector_save(id, path));

    /// The share of good parts that score lower, 0 to 1; nothing where the model has no scores of good images.
    public float? Calibrated(float score)
    {
        Native.Check(Native.softpatch_detector_calibrated(id, score, out var share));
        return float.IsNaN(share) ? null : share;
    }

    /// Why a frame in managed memory has its score, as JSON: what `softpatch explain --json` prints.
    public unsafe string Explain(
        ReadOnlySpan<byte> pixels, uint width, uint height, PixelFormat format, int stride = 0, uint places = 3,
        uint neighbours = 3, string? images = null)
    {
        fixed (byte* start = pixels)
        {
            var image = Frames.Describe(start, pixels.Length, width, height, format, stride);
            var status = Native.softpatch_detector_explain(
                id, null, (IntPtr)(&image), places, neighbours, images, out var json);
            return Native.Text(status, json);
        }
    }

    /// The same of a file.
    public string Explain(string path, uint places = 3, uint neighbours = 3, string? images = null)
    {
        var status = Native.softpatch_detector_explain(
            id, path, IntPtr.Zero, places, neighbours, images, out var json);
        return Native.Text(status, json);
    }

    /// Whether this is the model that was approved and scores here as it did then, as JSON: see
    /// softpatch_detector_verify and `ModelFile.KeepReferences`.
    public string Verify()
    {
        var status = Native.softpatch_detector_verify(id, out var json);
        return Native.Text(status, json);
    }

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

/// Folders and model files without a detector; every method gives the JSON that softpatch.h describes. Where `output`
/// is null, a model is written into its own file, whole or not at all.
public static class ModelFile
{
    /// Which training images of a folder look contaminated; no model is made.
    public static string Audit(
        Context context, string folder, FitOptions options, Progress? progress = null, FolderOptions? open = null)
    {
        ulong json = 0;
        var status = Native.Watched(options, progress, open, (in FitOptions told, NativeProgress? watch) =>
            Native.softpatch_audit(context.Id, folder, told, watch, IntPtr.Zero, out json));
        return Native.Text(status, json);
    }

    /// Thresholds for a false-alarm rate from good images that the model was not fitted on; without a rate, that of
    /// the fit, else 0.05.
    public static string Calibrate(
        Context context, string model, string folder, double targetFpr = 0, string? output = null,
        Progress? progress = null, FolderOptions? open = null)
    {
        var options = FitOptions.Default;
        options.TargetFpr = targetFpr;
        ulong json = 0;
        var status = Native.Watched(options, progress, open, (in FitOptions told, NativeProgress? watch) =>
            Native.softpatch_model_calibrate(
                context.Id, model, folder, told, output, watch, IntPtr.Zero, out json));
        return Native.Text(status, json);
    }

    /// Keeps a few images of a folder in the model with their scores on this device, for `Detector.Verify`.
    public static string KeepReferences(
        Context context, string model, string folder, string? output = null, FolderOptions? open = null)
    {
        ulong json = 0;
        var status = Native.Watched(FitOptions.Default, null, open, (in FitOptions told, NativeProgress? _) =>
            Native.softpatch_model_keep_references(context.Id, model, folder, told, output, out json));
        return Native.Text(status, json);
    }

    /// Leaves the images of `KeepReferences` out of the model.
    public static string ForgetReferences(string model, string? output = null)
    {
        var status = Native.softpatch_model_forget_references(model, output, out var json);
        return Native.Text(status, json);
    }

    public static string Info(string model)
    {
        var status = Native.softpatch_model_info_json(model, out var json);
        return Native.Text(status, json);
    }

    /// The edits, the first one first.
    public static string History(string model)
    {
        var status = Native.softpatch_model_history_json(model, out var json);
        return Native.Text(status, json);
    }

    /// Takes what was learned from a training image out of the memory bank.
    public static string RemoveImage(string model, string name, string? output = null)
    {
        var status = Native.softpatch_model_remove_image(model, name, output, out var json);
        return Native.Text(status, json);
    }

    /// Takes the last edit back.
    public static string Undo(string model, string? output = null)
    {
        var status = Native.softpatch_model_undo(model, output, out var json);
        return Native.Text(status, json);
    }

    /// Takes the false alarm in an image file for normal; `region` is x, y, width, height, or null.
    public static string Allow(
        Context context, string model, string path, uint[]? region = null, string? output = null)
    {
        var status = Native.softpatch_model_allow(
            context.Id, model, path, IntPtr.Zero, Four(region), output, out var json);
        return Native.Text(status, json);
    }

    /// The same of a frame in managed memory, under a name.
    public static unsafe string Allow(
        Context context, string model, string name, ReadOnlySpan<byte> pixels, uint width, uint height,
        PixelFormat format, int stride = 0, uint[]? region = null, string? output = null)
    {
        fixed (byte* start = pixels)
        {
            var image = Frames.Describe(start, pixels.Length, width, height, format, stride);
            var status = Native.softpatch_model_allow(
                context.Id, model, name, (IntPtr)(&image), Four(region), output, out var json);
            return Native.Text(status, json);
        }
    }

    /// Finds the defect in an image file that was missed; at most the share `atMost` of the bank goes, 0 for the usual.
    public static string Deny(
        Context context, string model, string path, uint[]? region = null, double atMost = 0, string? output = null)
    {
        var status = Native.softpatch_model_deny(
            context.Id, model, path, IntPtr.Zero, Four(region), atMost, output, out var json);
        return Native.Text(status, json);
    }

    /// The same of a frame in managed memory, under a name.
    public static unsafe string Deny(
        Context context, string model, string name, ReadOnlySpan<byte> pixels, uint width, uint height,
        PixelFormat format, int stride = 0, uint[]? region = null, double atMost = 0, string? output = null)
    {
        fixed (byte* start = pixels)
        {
            var image = Frames.Describe(start, pixels.Length, width, height, format, stride);
            var status = Native.softpatch_model_deny(
                context.Id, model, name, (IntPtr)(&image), Four(region), atMost, output, out var json);
            return Native.Text(status, json);
        }
    }

    /// Native code reads four numbers.
    private static uint[]? Four(uint[]? region) =>
        region is null or { Length: 4 }
            ? region
            : throw new ArgumentException("a region is x, y, width, height", nameof(region));
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
