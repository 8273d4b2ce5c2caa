//! Writing behind: the disk is waited for on a thread of its own, while what comes next is received,
//! checked and cut. Tasks are told of by that thread, too, once their bytes can be read.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};

use bytes::Bytes;
use std::io::Write;

use super::{InputError, Reception};
use crate::coordinator::Message;
use crate::direct::DirectWriter;
use crate::intake::Cut;

/// Pieces, each at most a frame, that may wait for the disk.
const PIECES_BEHIND: usize = 4;

enum Order {
    Write(Bytes),
    /// Make what came before readable, and say that these tasks are there.
    Tell(Vec<Cut>),
    /// Make what came before readable, and answer.
    Settle(SyncSender<()>),
    /// There is no more.
    End,
}

/// A spool file that is written behind. Dropped, it is left as far as it was written.
pub(super) struct Behind {
    orders: Option<SyncSender<Order>>,
    thread: Option<JoinHandle<Result<(), InputError>>>,
}

impl Behind {
    pub(super) fn start(file: DirectWriter, reception: Arc<Reception>) -> io::Result<Self> {
        let (orders, queue) = sync_channel(PIECES_BEHIND);
        let thread = Builder::new().name("spool".to_owned());
        let thread = thread.spawn(move || carry_out(&queue, file, &reception))?;
        Ok(Self { orders: Some(orders), thread: Some(thread) })
    }

    /// Writes the next bytes, some time.
    pub(super) fn write(&mut self, data: Bytes) -> Result<(), InputError> {
        self.order(Order::Write(data))
    }

    /// Tells the coordinator of tasks, once their bytes can be read.
    pub(super) fn tell(&mut self, cuts: Vec<Cut>) -> Result<(), InputError> {
        self.order(Order::Tell(cuts))
    }

    /// Waits until what has come can be read, and has been told of.
    pub(super) fn settle(&mut self) -> Result<(), InputError> {
        let (settled, wait) = sync_channel(1);
        self.order(Order::Settle(settled))?;
        wait.recv().or_else(|_| self.failure())
    }

    /// Waits until all is written, as durably as is wanted.
    pub(super) fn end(mut self) -> Result<(), InputError> {
        self.order(Order::End)?;
        self.join()
    }

    fn order(&mut self, order: Order) -> Result<(), InputError> {
        match self.orders.as_ref().map(|orders| orders.send(order)) {
            Some(Ok(())) => Ok(()),
            Some(Err(_)) | None => self.failure(),
        }
    }

    /// Why the thread has ended before it was told to.
    fn failure(&mut self) -> Result<(), InputError> {
        self.join()?;
        Err(InputError::Stopped)
    }

    fn join(&mut self) -> Result<(), InputError> {
        self.orders = None;
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(ended)) => ended,
            Some(Err(_)) => Err(io::Error::other("the thread that writes the spool ended").into()),
            None => Ok(()),
        }
    }
}

impl Drop for Behind {
    fn drop(&mut self) {
        // Nobody writes to the file, or speaks of it, after that.
        let _ = self.join();
    }
}

fn carry_out(
    orders: &Receiver<Order>,
    mut file: DirectWriter,
    reception: &Reception,
) -> Result<(), InputError> {
    // The other side is gone: whoever comes next goes on behind what was settled.
    while let Ok(order) = orders.recv() {
        match order {
            Order::Write(data) => {
                if let Err(error) = file.write_all(&data) {
                    // Waiting for room on the disk ends with the job.
                    reception.check_wanted()?;
                    return Err(error.into());
                }
            }
            Order::Tell(cuts) => {
                settle(&mut file, reception)?;
                reception.send(Message::Cut { job: reception.job, cuts })?;
            }
            Order::Settle(settled) => {
                settle(&mut file, reception)?;
                // One that does not wait any more.
                let _ = settled.send(());
            }
            Order::End if reception.durable => return Ok(file.finish_durably()?),
            Order::End => return Ok(file.finish()?),
        }
    }
    Ok(())
}

fn settle(file: &mut DirectWriter, reception: &Reception) -> io::Result<()> {
    if reception.durable { file.sync() } else { file.flush() }
}
