//! The Task service of one pod: its containers, their processes and exits. Must not know how requests arrive.
//!
//! From the outside in: `service` speaks containerd's messages, `registry` knows which containers there are,
//! `container` and `exec` do what is asked, `state` says whether they may, and `exit` puts ends in order.

mod cell;
mod container;
mod create;
mod description;
mod errors;
mod exec;
mod exit;
mod oom;
mod process;
mod registry;
mod service;
mod state;
mod stats;

use std::time::SystemTime;

use containerd_shim_protos::protobuf::{MessageField, well_known_types::timestamp::Timestamp};

pub use self::{
    description::Description,
    errors::TaskError,
    service::TaskService,
    state::{Refusal, StateName},
};

fn timestamp(at: SystemTime) -> MessageField<Timestamp> {
    MessageField::some(Timestamp::from(at))
}
