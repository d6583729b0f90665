//! Name and version, as every answer gives them.

/// The shim's name: containerd's runtime name.
pub const NAME: &str = "io.containerd.ballast.v2";
/// The version of this build.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The commit of this build, when the build was told.
pub const REVISION: &str = match option_env!("BALLAST_REVISION") {
    Some(revision) => revision,
    None => "",
};

/// The text for `-v`.
pub fn text() -> String {
    let revision = if REVISION.is_empty() { "unknown" } else { REVISION };
    format!("containerd-shim-ballast-v2:\n  Version:  {VERSION}\n  Revision: {revision}\n")
}
