//! Carrying out a decision beyond the container's own files: the note, the cgroups above, and what is missing there; and
//! taking it back.

use std::os::fd::AsFd;

use super::class::PodPlace;
use super::decision::Decision;
use super::levels::{LevelsLock, PROTECTIONS, sum, value_of};
use super::mark::Mark;
use super::notice::Gap;
use super::policy::Reach;
use super::setting::{Knob, Setting, Source};
use crate::cgroup::Cgroup;
use crate::directory::Directory;
use crate::error::Result;
use crate::limits::{Limit, Limits};

impl Cgroup {
    /// Notes where the values come from, and carries protections of Ballast up to `reach`. To be called when the values are
    /// in the container's files. `lock` is only taken when there is something to carry.
    ///
    /// # Errors
    /// When a note or a level cannot be written.
    pub fn establish_memory_qos(
        &self,
        decision: &Decision,
        before: &Decision,
        place: Option<&PodPlace>,
        reach: Reach,
        lock: impl FnOnce() -> Result<LevelsLock>,
    ) -> Result<()> {
        // Every time: a reset may have taken it away.
        self.write_note(decision)?;
        match place {
            Some(place) if decision.protects() || before.protects() => {
                let reach = decision.protects().then_some(decision.reach(reach));
                self.hierarchy.settle_protection(place, reach, &lock()?)
            }
            _ => Ok(()),
        }
    }

    /// Removes the note, when all there is to it is what kubelet sent again.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn forget_memory_qos(&self) -> Result<()> {
        self.remove_note()
    }

    /// `memory.max` in bytes; `None` without a limit.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn memory_limit(&self) -> Result<Option<u64>> {
        Ok(match value_of(&self.directory, "memory.max")? {
            Limit::At(bytes) => Some(bytes),
            Limit::Unlimited => None,
        })
    }

    /// The cgroups above that protect less than this one asks for, or less than all of their children together. The kernel then
    /// gives less, in the worst case nothing.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn protection_gaps(&self) -> Result<Vec<Gap>> {
        let mut gaps = Vec::new();
        for knob in PROTECTIONS {
            let own = value_of(&self.directory, knob.file())?;
            if own == Limit::At(0) {
                continue;
            }
            for ancestor in self.ancestors()? {
                let given = value_of(&ancestor, knob.file())?;
                // One that Ballast keeps is never less than its children together.
                let is_kept = Mark::read(ancestor.as_fd(), ancestor.path())?.is_some();
                let asked = if given < own || is_kept { own } else { own.max(sum(&ancestor, knob)?) };
                if given < asked {
                    let (given, asked) = (given.bytes(), asked.bytes());
                    gaps.push(Gap { knob, ancestor: ancestor.path().to_owned(), given, asked });
                }
            }
        }
        Ok(gaps)
    }

    /// The cgroups above, the nearest first, without the root of the hierarchy, which has no limits.
    pub(super) fn ancestors(&self) -> Result<Vec<Directory>> {
        let path = self.path().relative();
        let ends: Vec<usize> = path.match_indices('/').map(|(end, _)| end).collect();
        let above = ends.into_iter().rev().filter_map(|end| path.get(..end));
        above.map(|ancestor| self.hierarchy.root().open_below(ancestor)).collect()
    }

    /// Puts the neutral values back where an annotation or the policy decided, and takes the container's share off the
    /// cgroups above. Limits of memory and swap stay, and so does what kubelet sent. Returns what was put back.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn reset_memory_qos(&self, lock: &LevelsLock) -> Result<Vec<Knob>> {
        let Some(mut note) = self.read_note()? else { return Ok(Vec::new()) };
        let is_ours = |setting: &Setting| setting.source != Source::Kubelet && setting.knob != Knob::SwapMax;
        let (ours, kept): (Vec<Setting>, Vec<Setting>) = note.settings.iter().copied().partition(is_ours);
        let mut limits = Limits::default();
        for setting in &ours {
            limits.memory.set(setting.knob, setting.knob.neutral());
        }
        self.update(&limits)?;
        note.settings = kept;
        if note.settings.is_empty() {
            self.remove_note()?
        } else {
            self.write_note(&note)?
        }
        if let Some(place) = PodPlace::of(self.path()) {
            self.hierarchy.settle_protection(&place, None, lock)?;
        }
        Ok(ours.into_iter().map(|setting| setting.knob).collect())
    }
}
