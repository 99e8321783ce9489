//! The distribution protocol: its words and the client.

pub mod wire;
