//! What is known of a container, for a person. Must not know messages.

use std::{collections::HashMap, sync::Arc};

use ballast_runtime::{ContainerPriority, ViewDescription};

use super::{
    container::Container,
    errors::TaskError,
    state::{ContainerState, StateName},
};

/// A container as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Its id.
    pub id: String,
    /// What CRI calls it; empty for the sandbox, and for containers of other clients.
    pub name: String,
    /// Its first process.
    pub pid: u32,
    /// How far its life is.
    pub state: StateName,
    /// Its view of `/proc`, when it has one of its own.
    pub view: Option<ViewDescription>,
    /// Its priority, and what became of it.
    pub priority: ContainerPriority,
}

/// Set by containerd.
const CONTAINER_NAME: &str = "io.kubernetes.cri.container-name";

impl Container {
    pub(super) async fn describe(&self) -> Result<Description, TaskError> {
        let container = Arc::clone(&self.runtime);
        // What the runtime holds of them is locked while they change.
        let describe = move || Ok((container.describe_view(), container.priority()));
        let (view, priority) = self.blocking("describe container", describe).await?;
        Ok(Description {
            id: self.id.clone(),
            name: name(self.runtime.annotations()),
            pid: self.pid(),
            state: self.state.read(ContainerState::name),
            view,
            priority,
        })
    }
}

fn name(annotations: &HashMap<String, String>) -> String {
    annotations.get(CONTAINER_NAME).cloned().unwrap_or_default()
}
