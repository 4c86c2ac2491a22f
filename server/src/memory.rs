//! What requests hold in memory, bounded over all of them: bodies, pixels that wait for a model, and images that are
//! sent.

use std::cell::RefCell;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, MessageBody};
use actix_web::web::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::problem::Problem;

/// Bytes that are handed to a connection at once; the next ones when it has room.
const PIECE: usize = 64 << 10;

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

/// Bytes of an answer that are held until they are sent, or their client is given up.
pub(crate) struct HeldBody {
    bytes: Bytes,
    _held: Held,
}

impl HeldBody {
    /// # Errors
    /// [`Problem::busy`] if there is no room.
    pub(crate) fn new(bytes: Bytes, held: Held) -> Result<Self, Problem> {
        held.take(bytes.len())?;
        Ok(Self { bytes, _held: held })
    }
}

impl MessageBody for HeldBody {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.bytes.len() as u64)
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Infallible>>> {
        let piece = self.bytes.len().min(PIECE);
        let piece = self.bytes.split_to(piece);
        Poll::Ready((!piece.is_empty()).then_some(Ok(piece)))
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
