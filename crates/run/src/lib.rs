//! The life of a container and of a pod, from creation to removal: state by rename and lock, no
//! daemon. It knows runtime bundles and nothing of images.
