//! The default profile against its text, and profile files.
