//! Create: from the request to a container whose first process is parked. Must not know what comes after.

use std::{collections::HashMap, path::PathBuf, sync::Arc};

use ballast_runtime::{self as runtime, CreateOptions, CreateRequest, RootfsMount};
use containerd_shim_protos::{
    api::{CreateTaskRequest, Mount},
    events::task::{TaskCreate, TaskIO},
    protobuf::MessageField,
};

use super::{
    cell::Cell,
    container::Container,
    errors::TaskError,
    exit,
    oom::OomWatch,
    process::{StreamsOfProcess, Watched, connect, destroy, watch},
    state::ContainerState,
};
use crate::{
    config::Configuration,
    io::{LoggerIdentity, Stdio},
    launch::options::RuntimeOptions,
    server::Context,
};

const OPERATION: &str = "create container";

/// Creates the container and announces it. On failure nothing of it is left.
pub(super) async fn create(
    context: &Context,
    request: CreateTaskRequest,
) -> Result<Arc<Container>, TaskError> {
    if !request.checkpoint.is_empty() {
        return Err(TaskError::Unsupported("restoring a task from a checkpoint"));
    }
    let options = create_options(&request)?;
    let streams = Arc::new(StreamsOfProcess::new(Stdio {
        terminal: request.terminal,
        stdin: request.stdin.clone(),
        stdout: request.stdout.clone(),
        stderr: request.stderr.clone(),
    }));

    // Until the new process is registered; the runtime waits for its hooks meanwhile.
    let _spawning = context.reaper.spawning();
    let (new_container, process, opened) = spawn(context, &request, options, &streams).await?;
    let watched = watch(&process, &context.reaper)
        .and_then(|exit| connect(&process, opened, &exit).map(|connected| (exit, connected)));
    let exit = match watched {
        Ok((exit, connected)) => {
            streams.opened(connected);
            exit
        }
        Err(error) => {
            undo(new_container, process).await;
            return Err(error);
        }
    };

    let container = Arc::new(Container {
        id: request.id.clone(),
        bundle: request.bundle.clone(),
        context: context.clone(),
        runtime: Arc::new(new_container),
        init: Watched { process: Arc::new(process), exit },
        streams,
        state: Cell::new(ContainerState::created()),
        operation: tokio::sync::Mutex::new(()),
        execs: std::sync::Mutex::new(HashMap::new()),
    });
    container.tell_notices();
    // Before anything of it runs: the first allocation may be one too many.
    let oom = watch_memory(&container);
    context.publisher.publish(created_event(request, container.pid()));
    exit::announce_init_exit(Arc::clone(&container), container.init.exit.clone(), oom);
    Ok(container)
}

fn create_options(request: &CreateTaskRequest) -> Result<CreateOptions, TaskError> {
    let options = match request.options.as_ref() {
        Some(options) => RuntimeOptions::decode(options)?,
        None => RuntimeOptions::default(),
    };
    let configuration = Configuration::load(&options.config)?;
    if !options.unknown_fields.is_empty() {
        tracing::warn!(id = request.id, fields = ?options.unknown_fields, "runtime options have unknown fields");
    }
    Ok(CreateOptions {
        no_new_keyring: options.no_new_keyring || configuration.no_new_keyring,
        memory_qos: configuration.memory_qos,
        priority: configuration.priority,
        proc_view: configuration.proc_view,
    })
}

async fn spawn(
    context: &Context,
    request: &CreateTaskRequest,
    options: CreateOptions,
    streams: &Arc<StreamsOfProcess>,
) -> Result<(runtime::Container, runtime::Process, crate::io::Opened), TaskError> {
    let identity = LoggerIdentity { id: request.id.clone(), namespace: context.namespace.clone() };
    let (runtime, reaper, streams) =
        (Arc::clone(&context.runtime), context.reaper.clone(), Arc::clone(streams));
    let (namespace, shim) = (context.namespace.clone(), context.id.clone());
    let (id, bundle) = (request.id.clone(), PathBuf::from(&request.bundle));
    let rootfs = request.rootfs.iter().map(rootfs_mount).collect();
    let create = move || {
        let (io, opened) = streams.open(&identity, &reaper)?;
        let request = CreateRequest { namespace, shim, id, bundle, rootfs, io, options };
        let (container, process) = runtime::Container::create(&runtime, request)
            .map_err(|source| TaskError::Runtime { operation: OPERATION, source })?;
        Ok((container, process, opened))
    };
    tokio::task::spawn_blocking(create)
        .await
        .map_err(|source| TaskError::Lost { operation: OPERATION, source })?
}

fn rootfs_mount(mount: &Mount) -> RootfsMount {
    RootfsMount {
        kind: mount.type_.clone(),
        source: mount.source.clone(),
        target: mount.target.clone(),
        options: mount.options.clone(),
    }
}

async fn undo(container: runtime::Container, process: runtime::Process) {
    let undo = move || {
        destroy(&process);
        container.delete()
    };
    match tokio::task::spawn_blocking(undo).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(error = runtime::report(&error), "undo a failed create"),
        Err(error) => tracing::error!(%error, "undo a failed create"),
    }
}

fn watch_memory(container: &Container) -> Option<OomWatch> {
    let file = match container.runtime.memory_events() {
        Ok(file) => file,
        Err(error) => {
            tracing::warn!(
                id = container.id,
                error = runtime::report(&error),
                "memory kills will not be told"
            );
            return None;
        }
    };
    OomWatch::start(&container.id, file, &container.context.publisher)
        .inspect_err(|error| tracing::warn!(id = container.id, %error, "memory kills will not be told"))
        .ok()
}

fn created_event(request: CreateTaskRequest, pid: u32) -> TaskCreate {
    TaskCreate {
        container_id: request.id,
        bundle: request.bundle,
        rootfs: request.rootfs,
        io: MessageField::some(TaskIO {
            stdin: request.stdin,
            stdout: request.stdout,
            stderr: request.stderr,
            terminal: request.terminal,
            ..TaskIO::default()
        }),
        checkpoint: request.checkpoint,
        pid,
        ..TaskCreate::default()
    }
}
