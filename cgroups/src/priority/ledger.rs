//! Bringing the slots of one cgroup to wanted values, and back. What a slot held before is kept from the first change to the last,
//! unless somebody else changes it meanwhile: then that is what it goes back to.

use rustix::io::Errno;

use super::backend::Setting;
use super::files::Files;
use super::note::Held;
use super::report::{Reason, Stuck};
use super::slot::{Neutral, Slot};
use crate::error::{Error, Result, ignore_gone};

/// One cgroup with the slots that Ballast changed.
pub(super) struct Ledger<'a> {
    pub(super) files: &'a dyn Files,
    pub(super) directory: &'a str,
    /// The cgroup above, which inherited values come from.
    pub(super) parent: Option<&'a str>,
    pub(super) followers: Followers,
    pub(super) held: Vec<Held>,
    pub(super) stuck: Vec<Stuck>,
}

/// Which cgroups below follow when an inherited value changes.
pub(super) enum Followers {
    /// All.
    Below,
    /// These and what is below them, except for slots that they have values of their own in.
    Children(Vec<(String, Vec<Slot>)>),
}

impl Ledger<'_> {
    /// Takes down what is about to be changed or given back, to be noted before it is. Returns whether anything is. A slot that
    /// somebody else wrote meanwhile is not ours to give back any more.
    pub(super) fn announce(&mut self, wanted: &[Setting]) -> Result<bool> {
        let mut changes = false;
        for mut held in std::mem::take(&mut self.held) {
            let Some(current) = self.value_of(&held.slot)? else { continue };
            let is_ours = held.is_ours(&current);
            let setting = wanted.iter().find(|setting| setting.slot == held.slot);
            if setting.is_none() && !is_ours {
                continue;
            }
            if !is_ours {
                held.before.clone_from(&current);
            }
            changes |= held.begin(current, setting.map(|setting| setting.value.as_str()));
            self.held.push(held);
        }
        for setting in wanted {
            if self.held.iter().any(|held| held.slot == setting.slot) {
                continue;
            }
            let Some(current) = self.value_of(&setting.slot)? else { continue };
            // Also what is right already: the cgroup above may give it another value later.
            let mut held =
                Held { slot: setting.slot.clone(), before: current.clone(), now: None, from: Vec::new() };
            changes |= held.begin(current, Some(&setting.value));
            self.held.push(held);
        }
        Ok(changes)
    }

    /// Gives back every slot that is not among `wanted`: the last one first, so that a cgroup ceases to be idle before
    /// anything else is written.
    pub(super) fn give_back(&mut self, wanted: &[Setting]) -> Result<()> {
        for held in std::mem::take(&mut self.held).into_iter().rev() {
            let is_kept = wanted.iter().any(|setting| setting.slot == held.slot);
            if is_kept || !self.restore(&held)? {
                self.held.insert(0, held);
            }
        }
        Ok(())
    }

    /// Whether nothing is left of our value.
    fn restore(&mut self, held: &Held) -> Result<bool> {
        let Some(current) = self.value_of(&held.slot)? else { return Ok(true) };
        let neutral = self.neutral_of(held)?;
        match self.bring(held, &current, &neutral)? {
            None => Ok(true),
            Some(refusal) => {
                let path = self.files.path(self.directory).join(held.slot.file_name());
                let errno = refusal.errno.raw_os_error();
                self.stuck.push(Stuck { path, value: neutral, errno });
                Ok(false)
            }
        }
    }

    fn neutral_of(&self, held: &Held) -> Result<String> {
        Ok(match (held.slot.neutral(), self.parent) {
            (Neutral::Value(value), _) => value.to_owned(),
            (Neutral::Before, _) | (Neutral::Inherited, None) => held.before.clone(),
            (Neutral::Inherited, Some(parent)) => {
                optional(held.slot.read(self.files, parent))?.unwrap_or_else(|| held.before.clone())
            }
        })
    }

    /// Writes what was announced. Returns the first refusal, after which nothing more is written.
    pub(super) fn write_announced(&mut self, wanted: &[Setting]) -> Result<Option<(Slot, Reason)>> {
        for setting in wanted {
            let Some(index) = self.held.iter().position(|held| held.slot == setting.slot) else { continue };
            let Some(held) = self.held.get(index).filter(|held| held.now.is_none()) else { continue };
            let Some(current) = self.value_of(&setting.slot)? else {
                let file = setting.slot.file_name().to_owned();
                return Ok(Some((setting.slot.clone(), Reason::Missing { file })));
            };
            if let Some(refusal) = self.bring(held, &current, &setting.value)? {
                let (file, value) = setting.slot.as_written(&setting.value);
                let errno = refusal.errno.raw_os_error();
                let reason = Reason::Refused { file: file.to_owned(), value, errno };
                return Ok(Some((setting.slot.clone(), reason)));
            }
            let now = self.value_of(&setting.slot)?;
            if let Some(held) = self.held.get_mut(index) {
                held.now = now;
                held.from.clear();
            }
        }
        Ok(None)
    }

    /// Writes our values once more where the kernel gave this cgroup others, on a change of the one above.
    pub(super) fn reassert(&mut self) -> Result<()> {
        for held in self.held.clone() {
            let (Neutral::Inherited, Some(now)) = (held.slot.neutral(), &held.now) else { continue };
            let Some(current) = self.value_of(&held.slot)? else { continue };
            if current == *now {
                continue;
            }
            let from = Held { from: vec![current.clone()], ..held.clone() };
            if let Some(refusal) = self.bring(&from, &current, now)? {
                let path = self.files.path(self.directory).join(held.slot.file_name());
                self.stuck.push(Stuck { path, value: now.clone(), errno: refusal.errno.raw_os_error() });
            }
        }
        Ok(())
    }

    /// The value of a slot; `None` when this kernel does not have it (any more).
    pub(super) fn value_of(&self, slot: &Slot) -> Result<Option<String>> {
        match optional(slot.read(self.files, self.directory))? {
            Some(value) => Ok(Some(value)),
            None => self.or_gone(None),
        }
    }

    /// Writes what is not there yet, and has those below follow who held the same because they inherited it.
    fn bring(&self, held: &Held, current: &str, to: &str) -> Result<Option<Refusal>> {
        if current != to {
            let refused = refusal(held.slot.write(self.files, self.directory, to))?;
            if refused.is_some() {
                return self.or_gone(refused);
            }
        }
        for from in held.from.iter().filter(|from| *from != to) {
            let refused = self.lead(&held.slot, from, to)?;
            if refused.is_some() {
                return Ok(refused);
            }
        }
        Ok(None)
    }

    fn lead(&self, slot: &Slot, from: &str, to: &str) -> Result<Option<Refusal>> {
        let file = slot.file_name();
        let Followers::Children(children) = &self.followers else {
            return refusal(self.files.replace_below(self.directory, file, from, to));
        };
        for (child, _) in children.iter().filter(|(_, own)| !own.contains(slot)) {
            let follows = optional(self.files.read(child, file))?.is_some_and(|value| value == from);
            let led = if follows { self.files.write(child, file, to) } else { Ok(()) };
            // A container that is removed meanwhile follows nobody.
            let led = ignore_gone(led.and_then(|()| self.files.replace_below(child, file, from, to)));
            let refused = refusal(led)?;
            if refused.is_some() {
                return Ok(refused);
            }
        }
        Ok(None)
    }

    /// `outcome`, unless it only says that the whole cgroup is gone.
    fn or_gone<T>(&self, outcome: T) -> Result<T> {
        self.files.names(self.directory)?;
        Ok(outcome)
    }
}

impl Held {
    /// Takes down that the slot goes from `current` to `to`, or back. Returns whether there is anything to do.
    fn begin(&mut self, current: String, to: Option<&str>) -> bool {
        if to == Some(current.as_str()) && self.from.is_empty() {
            self.now = Some(current);
            return false;
        }
        if self.slot.neutral() == Neutral::Inherited && !self.from.contains(&current) {
            self.from.push(current);
        }
        self.now = None;
        true
    }
}

/// The kernel's answer to a write that it does not carry out.
struct Refusal {
    errno: Errno,
}

fn refusal(outcome: Result<()>) -> Result<Option<Refusal>> {
    match outcome {
        Ok(()) => Ok(None),
        Err(error) => match error.errno() {
            Some(errno) => Ok(Some(Refusal { errno })),
            None => Err(error),
        },
    }
}

fn optional(outcome: Result<String>) -> Result<Option<String>> {
    match outcome {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.is_not_found() => Ok(None),
        // A stub's file: there, and every access is refused.
        Err(Error::Call { source, .. }) if is_stub(source) => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_stub(errno: Errno) -> bool {
    matches!(errno, Errno::INVAL | Errno::PERM | Errno::BUSY | Errno::OPNOTSUPP | Errno::ACCESS)
}
