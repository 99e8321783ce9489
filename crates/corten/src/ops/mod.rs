//! The verbs as functions: one request in, one report out. Nothing here prints.

pub mod validate;
