//! What tests share: image makers, an in-process registry, faults, peers.
