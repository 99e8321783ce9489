//! Containers for real: bundles run by the example binary, as root and as an ordinary user.

mod attacks;
mod life;
mod machine;
mod process;
