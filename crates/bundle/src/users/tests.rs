//! Users and groups, found and refused.
