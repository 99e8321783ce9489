//! From an image to a runtime bundle (runtime-spec `bundle.md`): the layers as snapshots, the stack
//! of them as a root filesystem, the image's config as a runtime config. It starts nothing.
