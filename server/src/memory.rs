//! What requests hold in memory, bounded over all of them: bodies, and pixels that wait for a model.

use std::cell::RefCell;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::problem::Problem;

/// Bytes that requests may hold.
pub(crate) struct Memory(Arc<Semaphore>);

impl Memory {
    /// So many in all.
    pub(crate) fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS))))
    }

    /// Nothing yet, of which there can be more.
    pub(crate) fn hold(&self) -> Held {
        Held {
            room: self.0.clone(),
            permit: RefCell::new(None),
        }
    }
}

/// What one request holds, until it is dropped.
pub(crate) struct Held {
    room: Arc<Semaphore>,
    permit: RefCell<Option<OwnedSemaphorePermit>>,
}

impl Held {
    /// Holds so many bytes more.
    ///
    /// # Errors
    /// [`Problem::busy`] if there is no room.
    pub(crate) fn take(&self, bytes: usize) -> Result<(), Problem> {
        let bytes = u32::try_from(bytes).map_err(|_| Problem::busy())?;
        let more = self.room.clone().try_acquire_many_owned(bytes);
        let more = more.map_err(|_| Problem::busy())?;
        match &mut *self.permit.borrow_mut() {
            Some(permit) => permit.merge(more),
            none => *none = Some(more),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_bounded_over_all_requests() {
        let memory = Memory::new(100);
        let (one, other) = (memory.hold(), memory.hold());
        one.take(40).unwrap();
        one.take(30).unwrap();
        assert!(other.take(31).is_err());
        other.take(30).unwrap();
        drop(one);
        other.take(70).unwrap();
        assert!(memory.hold().take(1).is_err());
    }
}
