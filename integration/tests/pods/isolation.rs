//! What a container can and cannot reach.
