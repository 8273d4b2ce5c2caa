//! What has led to an error: those who end a body say why by an error, which comes out behind others.

use std::error::Error;

/// Finds an error of a kind among those that led to another, itself included.
pub(crate) fn among<T: Error + Copy + 'static>(error: &(dyn Error + 'static)) -> Option<T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(*found);
        }
        next = error.source();
    }
    None
}
