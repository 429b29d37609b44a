"""Makes the OpenMMLab stack run without compiled code."""


def install() -> None:
    """Make ``mmcv._ext`` importable."""
