//! The distribution protocol: the server.
