//! What is known of a container, for a person. Must not know messages.

use std::{collections::HashMap, sync::Arc};

use ballast_runtime::ViewDescription;

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
}

/// Set by containerd.
const CONTAINER_NAME: &str = "io.kubernetes.cri.container-name";

impl Container {
    pub(super) async fn describe(&self) -> Result<Description, TaskError> {
        let container = Arc::clone(&self.runtime);
        // What the runtime holds of a view is locked while the view ends.
        let view = self.blocking("describe container", move || Ok(container.describe_view())).await?;
        Ok(Description {
            id: self.id.clone(),
            name: name(self.runtime.annotations()),
            pid: self.pid(),
            state: self.state.read(ContainerState::name),
            view,
        })
    }
}

fn name(annotations: &HashMap<String, String>) -> String {
    annotations.get(CONTAINER_NAME).cloned().unwrap_or_default()
}
