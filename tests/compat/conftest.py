import mim_bench  # noqa: F401  installs mmcv._ext before a test module imports mmcv.ops
