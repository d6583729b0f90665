use super::*;

fn any(type_url: &str, message: &impl Message) -> Any {
    Any { type_url: type_url.into(), value: message.write_to_bytes().unwrap(), ..Any::default() }
}

#[test]
fn every_supported_runc_option_is_kept() {
    let options = oci::Options {
        no_new_keyring: true,
        shim_cgroup: "/pods".into(),
        io_uid: 1,
        io_gid: 2,
        systemd_cgroup: true,
        task_api_version: 3,
        ..oci::Options::default()
    };
    let expected = RuntimeOptions {
        no_new_keyring: true,
        shim_cgroup: Some("/pods".into()),
        io_uid: 1,
        io_gid: 2,
        systemd_cgroup: true,
        ..RuntimeOptions::default()
    };
    assert_eq!(RuntimeOptions::decode(&any(RUNC, &options)).unwrap(), expected);
    assert_eq!(
        RuntimeOptions::decode(&any(&format!("type.googleapis.com/{RUNC}"), &options)).unwrap(),
        expected
    );
}

#[test]
fn an_unsupported_runc_option_is_refused_by_name() {
    let none = oci::Options::default();
    let text = || "/x".to_owned();
    for (field, options) in [
        ("binary_name", oci::Options { binary_name: text(), ..none.clone() }),
        ("root", oci::Options { root: text(), ..none.clone() }),
        ("no_pivot_root", oci::Options { no_pivot_root: true, ..none.clone() }),
        ("criu_image_path", oci::Options { criu_image_path: text(), ..none.clone() }),
        ("criu_work_path", oci::Options { criu_work_path: text(), ..none.clone() }),
    ] {
        let error = RuntimeOptions::decode(&any(RUNC, &options)).unwrap_err();
        assert!(error.to_string().contains(field), "{error}");
    }
}

#[test]
fn generic_options_name_text_before_a_file() {
    let mut options = runtimeoptions::Options { config_path: "/etc/b.toml".into(), ..Default::default() };
    let config = |options: &runtimeoptions::Options| {
        RuntimeOptions::decode(&any(GENERIC, options)).map(|options| options.config)
    };
    assert_eq!(config(&options).unwrap(), ConfigSource::File("/etc/b.toml".into()));
    options.config_body = b"a = 1".to_vec();
    assert_eq!(config(&options).unwrap(), ConfigSource::Text("a = 1".into()));
}

#[test]
fn a_relative_config_path_is_refused() {
    let options = ballast_options::Options { config_path: "b.toml".into(), ..Default::default() };
    assert!(matches!(RuntimeOptions::decode(&any(OWN, &options)), Err(OptionsError::RelativePath(_))));
}

#[test]
fn an_unknown_type_is_refused_and_no_type_is_no_options() {
    let unknown = Any { type_url: "microsoft.Options".into(), ..Any::default() };
    assert!(matches!(RuntimeOptions::decode(&unknown), Err(OptionsError::UnknownType(_))));
    assert_eq!(RuntimeOptions::decode(&Any::default()).unwrap(), RuntimeOptions::default());
}

#[test]
fn fields_of_a_newer_containerd_are_reported() {
    let mut options = oci::Options::default();
    options.special_fields.mut_unknown_fields().add_varint(99, 1);
    assert_eq!(RuntimeOptions::decode(&any(RUNC, &options)).unwrap().unknown_fields, [99]);
}
