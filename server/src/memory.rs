//! What requests hold in memory, bounded over all of them: bodies, pixels that wait for a model, and long answers that
//! are sent.

use std::cell::RefCell;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::web::Bytes;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::problem::Problem;

/// Bytes that are handed to a connection at once; the next ones when it has room.
const PIECE: usize = 64 << 10;

/// Bytes that requests may hold.
pub(crate) struct Memory {
    room: Arc<Semaphore>,
    told: Gauge,
}

impl Memory {
    /// So many in all. What is held of them is `told`.
    pub(crate) fn new(bytes: usize, told: Gauge) -> Self {
        let room = Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS)));
        Self { room, told }
    }

    /// Nothing yet, of which there can be more.
    pub(crate) fn hold(&self) -> Held {
        Held {
            room: self.room.clone(),
            told: self.told.clone(),
            permit: RefCell::new(None),
        }
    }

    /// An answer's body, which is held until it is sent, or its client is given up.
    ///
    /// # Errors
    /// [`Problem::busy`] if there is no room.
    pub(crate) fn held_while_sent(&self, body: BoxBody) -> Result<BoxBody, Problem> {
        match body.size() {
            BodySize::Sized(size) if size > PIECE as u64 => (),
            _ => return Ok(body),
        }
        let bytes = match body.try_into_bytes() {
            Ok(bytes) => bytes,
            Err(body) => return Ok(body),
        };
        let held = self.hold();
        held.take(bytes.len())?;
        Ok(BoxBody::new(HeldBody { bytes, _held: held }))
    }
}

/// What one request holds, until it is dropped.
pub(crate) struct Held {
    room: Arc<Semaphore>,
    told: Gauge,
    permit: RefCell<Option<OwnedSemaphorePermit>>,
}

impl Held {
    /// Holds so many bytes more.
    ///
    /// # Errors
    /// [`Problem::busy`] if there is no room.
    pub(crate) fn take(&self, bytes: usize) -> Result<(), Problem> {
        let count = u32::try_from(bytes).map_err(|_| Problem::busy())?;
        let more = self.room.clone().try_acquire_many_owned(count);
        let more = more.map_err(|_| Problem::busy())?;
        self.told.inc_by(i64::from(count));
        match &mut *self.permit.borrow_mut() {
            Some(permit) => permit.merge(more),
            none => *none = Some(more),
        }
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let permit = self.permit.take();
        let bytes = permit.as_ref();
        let bytes = bytes.map_or(0, OwnedSemaphorePermit::num_permits);
        // Told when it is true: whoever reads that nothing is held finds the room.
        drop(permit);
        self.told.dec_by(bytes as i64);
    }
}

struct HeldBody {
    bytes: Bytes,
    _held: Held,
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
        let told = Gauge::default();
        let memory = Memory::new(100, told.clone());
        let (one, other) = (memory.hold(), memory.hold());
        one.take(40).unwrap();
        one.take(30).unwrap();
        assert!(other.take(31).is_err());
        other.take(30).unwrap();
        drop(one);
        other.take(70).unwrap();
        assert!(memory.hold().take(1).is_err());
        assert_eq!(told.get(), 100);
        drop(other);
        assert_eq!(told.get(), 0);
    }
}
