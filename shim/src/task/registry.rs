//! Which containers this shim has. Must not know what a container is.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::errors::TaskError;

/// Containers by id. An id is taken from the moment that its Create begins until its Delete is done.
#[derive(Debug)]
pub(super) struct Registry<C> {
    slots: Mutex<Slots<C>>,
}

#[derive(Debug)]
enum Slots<C> {
    Open {
        present: HashMap<String, Slot<C>>,
        last_call: LastCall,
    },
    /// The shim ends: nothing is created any more.
    Closed,
}

/// Whether the next container to go is the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LastCall {
    No,
    Given,
}

#[derive(Debug)]
enum Slot<C> {
    Creating,
    Present(Arc<C>),
}

/// An id that is taken for a container in the making; free again when dropped.
#[derive(Debug)]
pub(super) struct Reservation<'a, C> {
    registry: &'a Registry<C>,
    id: Option<String>,
}

impl<C> Registry<C> {
    pub(super) fn new() -> Self {
        Self { slots: Mutex::new(Slots::Open { present: HashMap::new(), last_call: LastCall::No }) }
    }

    pub(super) fn reserve(&self, id: &str) -> Result<Reservation<'_, C>, TaskError> {
        match &mut *self.lock() {
            Slots::Closed => Err(TaskError::ShuttingDown),
            Slots::Open { present, .. } if present.contains_key(id) => {
                Err(TaskError::ContainerExists(id.to_owned()))
            }
            Slots::Open { present, last_call } => {
                // Whoever creates one more has not said goodbye.
                *last_call = LastCall::No;
                present.insert(id.to_owned(), Slot::Creating);
                Ok(Reservation { registry: self, id: Some(id.to_owned()) })
            }
        }
    }

    pub(super) fn get(&self, id: &str) -> Result<Arc<C>, TaskError> {
        match &*self.lock() {
            Slots::Open { present, .. } => match present.get(id) {
                Some(Slot::Present(container)) => Ok(Arc::clone(container)),
                Some(Slot::Creating) | None => Err(TaskError::NoSuchContainer(id.to_owned())),
            },
            Slots::Closed => Err(TaskError::NoSuchContainer(id.to_owned())),
        }
    }

    /// Everything that is there, by id.
    pub(super) fn all(&self) -> Vec<(String, Arc<C>)> {
        let Slots::Open { present, .. } = &*self.lock() else { return Vec::new() };
        let mut all: Vec<_> = present
            .iter()
            .filter_map(|(id, slot)| match slot {
                Slot::Present(container) => Some((id.clone(), Arc::clone(container))),
                Slot::Creating => None,
            })
            .collect();
        all.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        all
    }

    /// Frees an id. Returns whether the registry is closed now: the last call was given and this was the last.
    pub(super) fn remove(&self, id: &str) -> bool {
        let mut slots = self.lock();
        let Slots::Open { present, last_call } = &mut *slots else { return true };
        present.remove(id);
        if present.is_empty() && *last_call == LastCall::Given {
            *slots = Slots::Closed;
        }
        matches!(*slots, Slots::Closed)
    }

    /// Closes the registry if nothing is in it; returns whether it is closed now.
    pub(super) fn close_if_empty(&self) -> bool {
        let mut slots = self.lock();
        if matches!(&*slots, Slots::Open { present, .. } if present.is_empty()) {
            *slots = Slots::Closed;
        }
        matches!(*slots, Slots::Closed)
    }

    /// Closes the registry as soon as nothing is in it, unless another container is created before; returns whether it is
    /// closed now.
    pub(super) fn close_when_empty(&self) -> bool {
        if let Slots::Open { present, last_call } = &mut *self.lock()
            && present.values().all(|slot| matches!(slot, Slot::Present(_)))
        {
            *last_call = LastCall::Given;
        }
        self.close_if_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Slots<C>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C> Reservation<'_, C> {
    /// The container is there.
    pub(super) fn fill(mut self, container: Arc<C>) {
        if let (Some(id), Slots::Open { present, .. }) = (self.id.take(), &mut *self.registry.lock()) {
            present.insert(id, Slot::Present(container));
        }
    }
}

impl<C> Drop for Reservation<'_, C> {
    fn drop(&mut self) {
        if let Some(id) = self.id.take() {
            self.registry.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_taken_from_the_start_of_its_creation() {
        let registry = Registry::<()>::new();
        let reservation = registry.reserve("a").unwrap();
        assert!(matches!(registry.reserve("a"), Err(TaskError::ContainerExists(_))));
        assert!(matches!(registry.get("a"), Err(TaskError::NoSuchContainer(_))));
        assert_eq!(registry.all(), []);
        reservation.fill(Arc::new(()));
        registry.get("a").unwrap();
        assert_eq!(registry.all(), [("a".to_owned(), Arc::new(()))]);
        assert!(matches!(registry.reserve("a"), Err(TaskError::ContainerExists(_))));
        registry.remove("a");
        registry.reserve("a").unwrap();
    }

    #[test]
    fn a_creation_that_failed_frees_its_id() {
        let registry = Registry::<()>::new();
        drop(registry.reserve("a").unwrap());
        registry.reserve("a").unwrap();
    }

    #[test]
    fn a_last_call_closes_with_the_last_container_and_is_taken_back_by_a_new_one() {
        let registry = Registry::<()>::new();
        registry.reserve("a").unwrap().fill(Arc::new(()));
        assert!(!registry.close_when_empty());
        let reservation = registry.reserve("b").unwrap();
        assert!(!registry.close_when_empty(), "another one is being created");
        reservation.fill(Arc::new(()));
        assert!(!registry.remove("a") && !registry.remove("b"));
        registry.reserve("c").unwrap().fill(Arc::new(()));
        assert!(!registry.close_when_empty());
        assert!(registry.remove("c"));
        assert!(matches!(registry.reserve("d"), Err(TaskError::ShuttingDown)));
    }

    #[test]
    fn a_shim_with_a_container_in_the_making_does_not_close() {
        let registry = Registry::<()>::new();
        let reservation = registry.reserve("a").unwrap();
        assert!(!registry.close_if_empty());
        drop(reservation);
        assert!(registry.close_if_empty());
        assert!(matches!(registry.reserve("b"), Err(TaskError::ShuttingDown)));
        assert!(registry.close_if_empty());
    }
}
