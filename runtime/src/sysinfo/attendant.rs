//! The thread that answers a container's `sysinfo` calls.
//!
//! It is not the thread that serves the files of the view: writing into a caller's memory may have to wait for a page, which
//! can be one of a file system that the container serves itself, as slowly as it likes. Then it is its own calls that wait,
//! and nobody's reads. For the same reason nobody ever waits for this thread's end.

use super::memory::CallersMemory;
use super::{Abi, SystemInfo};
use crate::error::{CallContext, CallError};
use crate::proc_view::{Texts, ViewFile};
use crate::sys::{self, Notification, Reply};
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What answering needs of the stack is known: no recursion, buffers on the heap.
const STACK_BYTES: usize = 128 << 10;

/// Answers for one container, from its first listener until it is dropped.
#[derive(Debug)]
pub(crate) struct Attendant<T: Texts> {
    desk: Arc<Desk>,
    /// Until the thread takes it along.
    clerk: Mutex<Option<Clerk<T>>>,
}

/// What the thread and the others share.
#[derive(Debug)]
struct Desk {
    /// Readable when there is something new.
    bell: OwnedFd,
    news: Mutex<News>,
}

#[derive(Debug, Default)]
struct News {
    arrived: Vec<OwnedFd>,
    is_closed: bool,
}

/// What answering takes.
#[derive(Debug)]
struct Clerk<T> {
    texts: T,
    procfs: OwnedFd,
    page_bytes: u64,
    text: Vec<u8>,
}

impl<T: Texts> Attendant<T> {
    /// Somebody to answer from `texts`; `procfs` has the callers by the numbers that this process knows them by.
    pub(crate) fn new(texts: T, procfs: OwnedFd) -> Result<Self, CallError> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let bell = eventfd(0, flags).call("eventfd", String::new)?;
        let page_bytes = u64::try_from(rustix::param::page_size()).unwrap_or(4096);
        let clerk = Clerk { texts, procfs, page_bytes, text: Vec::new() };
        Ok(Self { desk: Arc::new(Desk { bell, news: Mutex::default() }), clerk: Mutex::new(Some(clerk)) })
    }

    /// Answers for one more process and all that descend from it, until the last of them has ended.
    pub(crate) fn attend(&self, listener: OwnedFd) -> Result<(), CallError> {
        // Quicker, where the kernel can; nothing else depends on it.
        let _before_6_6 = sys::seccomp_wake_synchronously(listener.as_fd());
        self.desk.take_in(listener)?;
        let clerk = self.clerk.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(clerk) = clerk else {
            self.desk.ring();
            return Ok(());
        };
        let desk = Arc::clone(&self.desk);
        std::thread::Builder::new()
            .name("sysinfo".into())
            .stack_size(STACK_BYTES)
            .spawn(move || serve(&desk, clerk))
            .map(drop)
            .inspect_err(|_| self.desk.close())
            .map_err(|error| Errno::from_raw_os_error(error.raw_os_error().unwrap_or(libc::EAGAIN)))
            .call("clone", || "thread sysinfo".into())
    }
}

impl<T: Texts> Drop for Attendant<T> {
    fn drop(&mut self) {
        self.desk.close();
    }
}

impl Desk {
    fn news(&self) -> MutexGuard<'_, News> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_in(&self, listener: OwnedFd) -> Result<(), CallError> {
        let mut news = self.news();
        if news.is_closed {
            return Err(Errno::CANCELED).call("clone", || "thread sysinfo, which has ended".into());
        }
        news.arrived.push(listener);
        Ok(())
    }

    /// Nobody answers from now on: listeners that were not looked at yet are closed, or their callers would wait for ever.
    fn close(&self) {
        let mut news = self.news();
        news.is_closed = true;
        news.arrived.clear();
        drop(news);
        self.ring();
    }

    fn ring(&self) {
        // Fails only when the counter is full, and then it rings already.
        let _rung = rustix::io::write(&self.bell, &1u64.to_ne_bytes());
    }

    /// Takes what is new into `listeners`; `false` when that is the end.
    fn look(&self, listeners: &mut Vec<OwnedFd>) -> bool {
        // Nothing to read is fine: the first look is unasked for.
        let _silenced = rustix::io::read(&self.bell, &mut [0; 8]);
        let mut news = self.news();
        listeners.append(&mut news.arrived);
        !news.is_closed
    }
}

fn serve<T: Texts>(desk: &Desk, mut clerk: Clerk<T>) {
    let mut listeners = Vec::new();
    while desk.look(&mut listeners) {
        // The kernel has no memory for that: better no answers than none that are awaited.
        let Ok(ready) = wait(desk, &listeners) else { return desk.close() };
        let mut ready = ready.into_iter();
        listeners.retain(|listener| {
            let events = ready.next().unwrap_or(PollFlags::empty());
            if events.contains(PollFlags::IN) {
                // One that cannot be read is closed: calls fail with ENOSYS then, and do not wait for ever.
                return clerk.answer(listener).is_ok();
            }
            // Anything else means that no process is left that could call.
            events.is_empty()
        });
    }
}

/// Waits for callers or news; what there is at each listener.
fn wait(desk: &Desk, listeners: &[OwnedFd]) -> Result<Vec<PollFlags>, Errno> {
    let mut events: Vec<_> = listeners.iter().map(|listener| PollFd::new(listener, PollFlags::IN)).collect();
    events.push(PollFd::new(&desk.bell, PollFlags::IN));
    match poll(&mut events, None) {
        Ok(_) => Ok(events.iter().map(PollFd::revents).collect()),
        Err(Errno::INTR) => Ok(vec![PollFlags::empty(); events.len()]),
        Err(errno) => Err(errno),
    }
}

impl<T: Texts> Clerk<T> {
    fn answer(&mut self, listener: &OwnedFd) -> Result<(), Errno> {
        let notification = match sys::seccomp_receive(listener.as_fd()) {
            Ok(notification) => notification,
            // The caller was killed meanwhile.
            Err(Errno::NOENT | Errno::INTR) => return Ok(()),
            Err(errno) => return Err(errno),
        };
        let Some(reply) = self.carry_out(listener, &notification) else { return Ok(()) };
        match sys::seccomp_reply(listener.as_fd(), notification.id, reply) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    /// `None` when nobody waits any more. What cannot be done here the kernel does, with the host's figures: programs do not
    /// expect this call to fail.
    fn carry_out(&mut self, listener: &OwnedFd, notification: &Notification) -> Option<Reply> {
        let info = Abi::of(notification.audit_architecture).and_then(|abi| Some((self.sample()?, abi)));
        let Some((info, abi)) = info else { return Some(Reply::Continue) };
        let memory = CallersMemory::open(self.procfs.as_fd(), notification.thread);
        // Only now is it certain whose it is.
        if !sys::seccomp_is_waiting(listener.as_fd(), notification.id) {
            return None;
        }
        let Ok(memory) = memory else { return Some(Reply::Continue) };
        let structure = info.structure(abi, self.page_bytes);
        match memory.write(notification.argument, structure.as_ref()) {
            Ok(()) => Some(Reply::Done),
            // The kernel says EFAULT, or waits for a page that only the caller may wait for.
            Err(_) => Some(Reply::Continue),
        }
    }

    fn sample(&mut self) -> Option<SystemInfo> {
        let text = &mut self.text;
        text.clear();
        let mut ends = [0; 3];
        let files = [ViewFile::MemInfo, ViewFile::LoadAverage, ViewFile::Uptime];
        for (file, end) in files.into_iter().zip(&mut ends) {
            self.texts.write(file, text).ok()?;
            *end = text.len();
        }
        let text = std::str::from_utf8(text).ok()?;
        let [meminfo, loadavg, _] = ends;
        SystemInfo::parse(text.get(..meminfo)?, text.get(meminfo..loadavg)?, text.get(loadavg..)?)
    }
}
