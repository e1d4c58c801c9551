"""Ray and PyArrow, which the extra "ray" brings. Their types are not complete, and who has neither is told what to install."""

try:
    import pyarrow as pa  # type: ignore[import-untyped,import-not-found,unused-ignore]
    import pyarrow.compute as pc  # type: ignore[import-untyped,import-not-found,unused-ignore]
    import pyarrow.fs as fs  # type: ignore[import-untyped,import-not-found,unused-ignore]
    import pyarrow.parquet as pq  # type: ignore[import-untyped,import-not-found,unused-ignore]
    import ray  # type: ignore[import-not-found,unused-ignore]
    import ray.data  # type: ignore[import-not-found,unused-ignore]
    import ray.data.expressions as expressions  # type: ignore[import-not-found,unused-ignore]
except ImportError as error:
    raise ImportError(f"softpatch.ray needs {error.name}, which is not installed: pip install 'softpatch[ray]'") from None

__all__ = ["expressions", "fs", "pa", "pc", "pq", "ray"]
