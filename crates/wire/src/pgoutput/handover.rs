//! The first transaction on a slot that another reader left: what that reader had delivered of it is not delivered again.
//!
//! It never drops a row that might not have been delivered; one that might have been comes again.

use std::cmp::Ordering;

use super::Decoder;
use crate::error::{Error, Result};

/// Which transaction another reader was in, and the LSN of the last row of it that it is known to have delivered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Handover {
    xid: u32,
    lsn: u64,
    /// Something was dropped.
    used: bool,
    /// A row at `lsn` was met: a record of the log may hold many (COPY), and one of them was delivered for certain.
    met: bool,
}

impl Decoder {
    /// Before anything is fed: if the first transaction is `xid`, its rows up to `lsn`, as `XLogData` names it, are dropped.
    ///
    /// Of the rows at `lsn` itself only the first, and only if it makes one event whatever the format: the other reader may
    /// have stopped between two events of one row.
    pub fn hand_over(&mut self, xid: u32, lsn: u64) {
        self.handover = Some(Handover { xid, lsn, used: false, met: false });
    }

    /// Whether what lies at `lsn` in the open transaction was delivered for certain; `single`: it makes just one event.
    #[inline]
    pub(super) fn was_delivered(&mut self, lsn: u64, single: bool) -> bool {
        self.handover.is_some() && self.was_handed_over(lsn, single)
    }

    #[cold]
    fn was_handed_over(&mut self, lsn: u64, single: bool) -> bool {
        let open = self.open_xid();
        let Some(handover) = self.handover.as_mut().filter(|handover| open == Some(handover.xid)) else { return false };
        let delivered = match lsn.cmp(&handover.lsn) {
            Ordering::Less => true,
            Ordering::Equal => single && !std::mem::replace(&mut handover.met, true),
            Ordering::Greater => false,
        };
        handover.used |= delivered;
        delivered
    }

    /// A transaction has committed, so a later one was not handed over.
    ///
    /// # Errors
    /// [`Error::Malformed`] when rows of another one were dropped: then what was handed over is not of this slot.
    pub(super) fn end_handover(&mut self, xid: u32) -> Result<()> {
        match self.handover.take() {
            Some(handover) if handover.used && handover.xid != xid => Err(Error::malformed(
                format!("transaction {xid} comes before {}, which was handed over in part", handover.xid),
                0,
            )),
            _ => Ok(()),
        }
    }
}
