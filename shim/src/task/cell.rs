//! A small piece of state that is read at any time, changed in one step, and waited for. Must not know what is in it.

use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

/// Holds a state. The lock inside is never held across anything that takes time.
#[derive(Debug)]
pub(super) struct Cell<S> {
    state: Mutex<S>,
    changed: Notify,
}

impl<S> Cell<S> {
    pub(super) fn new(state: S) -> Self {
        Self { state: Mutex::new(state), changed: Notify::new() }
    }

    /// Looks at the state.
    pub(super) fn read<R>(&self, look: impl FnOnce(&S) -> R) -> R {
        look(&self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the state and tells all who wait.
    pub(super) fn change<R>(&self, change: impl FnOnce(&mut S) -> R) -> R {
        let result = change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_waiters();
        result
    }

    /// Waits until `step` has a result, which it may take by changing the state: nobody comes in between.
    pub(super) async fn wait_for<R>(&self, mut step: impl FnMut(&mut S) -> Option<R>) -> R {
        loop {
            // Made before the look, so that a change right after it is not missed.
            let changed = self.changed.notified();
            let result = step(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
            if let Some(result) = result {
                self.changed.notify_waiters();
                return result;
            }
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn every_waiter_sees_a_change() {
        let cell = Arc::new(Cell::new(0));
        let waiters: Vec<_> = (0..100)
            .map(|_| {
                let cell = Arc::clone(&cell);
                tokio::spawn(async move { cell.wait_for(|state| (*state >= 2).then_some(*state)).await })
            })
            .collect();
        tokio::task::yield_now().await;
        cell.change(|state| *state = 1);
        tokio::task::yield_now().await;
        cell.change(|state| *state = 2);
        for waiter in waiters {
            assert_eq!(waiter.await.unwrap(), 2);
        }
        assert_eq!(cell.wait_for(|state| Some(*state)).await, 2);
    }

    #[tokio::test]
    async fn a_step_that_changes_the_state_is_taken_by_one_waiter_only() {
        let cell = Arc::new(Cell::new(1));
        let take = |state: &mut i32| (*state > 0).then(|| *state -= 1);
        cell.wait_for(take).await;
        assert_eq!(cell.read(|state| *state), 0);
        let second = tokio::spawn({
            let cell = Arc::clone(&cell);
            async move { cell.wait_for(take).await }
        });
        tokio::task::yield_now().await;
        assert!(!second.is_finished());
        cell.change(|state| *state = 1);
        second.await.unwrap();
    }
}
