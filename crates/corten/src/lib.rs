//! One toolchain for the OCI image: import, copy, look at, check.

pub mod ops;
