//! Lines of key and number: the flat keyed files of cgroup v2, `/proc/vmstat`, and with a colon `/proc/meminfo`.

/// The numbers of one such file, by key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keyed<'a>(Vec<(&'a str, u64)>);

impl<'a> Keyed<'a> {
    /// Reads `key number` and `key: number unit` lines; any other line is passed over.
    #[must_use]
    pub fn parse(content: &'a str) -> Self {
        let mut pairs: Vec<_> = content.lines().filter_map(pair).collect();
        pairs.sort_unstable_by_key(|(key, _)| *key);
        Self(pairs)
    }

    /// The number of a key; 0 when the kernel has no such key.
    #[must_use]
    pub fn get(&self, key: &str) -> u64 {
        self.find(key).unwrap_or_default()
    }

    /// The number of a key, if it is there.
    #[must_use]
    pub fn find(&self, key: &str) -> Option<u64> {
        let position = self.0.binary_search_by_key(&key, |(key, _)| *key).ok()?;
        self.0.get(position).map(|(_, value)| *value)
    }

    /// The sum of several keys.
    #[must_use]
    pub fn sum(&self, keys: &[&str]) -> u64 {
        keys.iter().fold(0, |sum, key| sum.saturating_add(self.get(key)))
    }
}

fn pair(line: &str) -> Option<(&str, u64)> {
    let (key, rest) = line.split_once([':', ' '])?;
    Some((key, rest.split_ascii_whitespace().next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read_and_other_lines_passed_over() {
        let keyed = Keyed::parse("anon 4096\nMemTotal:        12 kB\n\nstrange\nx y\nActive(anon): 3 kB\n");
        assert_eq!(keyed.get("anon"), 4096);
        assert_eq!(keyed.get("MemTotal"), 12);
        assert_eq!(keyed.get("Active(anon)"), 3);
        assert_eq!(keyed.find("x"), None);
        assert_eq!(keyed.get("missing"), 0);
        assert_eq!(keyed.sum(&["anon", "MemTotal", "missing"]), 4108);
    }
}
