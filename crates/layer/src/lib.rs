//! Layer archives: read, list, pack, merge; compression.
