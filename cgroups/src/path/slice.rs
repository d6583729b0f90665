//! Names of systemd units and where a slice is in the hierarchy: systemd.unit(5), systemd.slice(5).

const SLICE_SUFFIX: &str = ".slice";
/// `UNIT_NAME_MAX` of systemd less the final NUL, in bytes.
const UNIT_NAME_BYTES_MAX: usize = 255;

/// `a-b.slice` is in `a.slice/a-b.slice`; `-.slice` is the root, an empty path. `None` when it is not a slice.
pub(super) fn expand_slice(slice: &str) -> Option<String> {
    let stem = slice.strip_suffix(SLICE_SUFFIX)?;
    if stem == "-" {
        return Some(String::new());
    }
    if !is_unit_name(slice) || slice.starts_with(['.', '_']) {
        return None;
    }
    let mut path = String::new();
    for (end, _) in stem.match_indices('-').chain([(stem.len(), "")]) {
        let name = stem.get(..end)?;
        if name.is_empty() || name.ends_with('-') {
            return None;
        }
        if !path.is_empty() {
            path.push('/');
        }
        path.push_str(name);
        path.push_str(SLICE_SUFFIX);
    }
    Some(path)
}

/// Whether systemd accepts the name: letters, digits, `:-_.@` and backslash.
pub(super) fn is_unit_name(name: &str) -> bool {
    (1..=UNIT_NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":-_.@\\".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_dash_is_one_level() {
        assert_eq!(expand_slice("a.slice").as_deref(), Some("a.slice"));
        assert_eq!(expand_slice("a-b-c.slice").as_deref(), Some("a.slice/a-b.slice/a-b-c.slice"));
        assert_eq!(expand_slice("-.slice").as_deref(), Some(""));
    }

    #[test]
    fn empty_levels_and_other_units_are_not_slices() {
        for name in ["", ".slice", "a-.slice", "-a.slice", "a--b.slice", "a.scope", "a/b.slice", "..slice"] {
            assert_eq!(expand_slice(name), None, "{name:?}");
        }
    }
}
