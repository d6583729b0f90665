use super::*;

#[test]
fn the_reply_claims_what_containerds_cri_asks_for() {
    let info = RuntimeInfo::parse_from_bytes(&reply().unwrap()).unwrap();
    assert_eq!(info.name, "io.containerd.ballast.v2");
    assert_eq!(info.features.type_url, FEATURES_TYPE);
    let features: serde_json::Value = serde_json::from_slice(&info.features.value).unwrap();
    let contains =
        |list: &serde_json::Value, text: &str| list.as_array().unwrap().iter().any(|item| item == text);
    assert!(contains(&features["mountOptions"], "rro"));
    assert!(contains(&features["linux"]["namespaces"], "user"));
    assert_eq!(features["linux"]["mountExtensions"]["idmap"]["enabled"], true);
}
