//! `/proc/loadavg`: three averages, running and all tasks, the last pid.

use super::text::Text;

/// Writes the averages (in hundredths) and numbers of tasks. The kernel ends with the last pid of the reader's pid namespace,
/// which a cgroup does not know; the number of tasks stands for it.
pub fn loadavg(out: &mut Vec<u8>, averages: [u64; 3], running: u64, tasks: u64) {
    let mut text = Text(out);
    for average in averages {
        text.hundredths(average).word(" ");
    }
    let tasks = tasks.clamp(1, u64::from(u32::MAX));
    text.number(running.clamp(1, tasks)).word("/").number(tasks).word(" ").number(tasks).word("\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reader_itself_runs() {
        let mut out = Vec::new();
        loadavg(&mut out, [5, 126, 20_000], 0, 0);
        assert_eq!(out, b"0.05 1.26 200.00 1/1 1\n");
        out.clear();
        loadavg(&mut out, [0, 0, 0], 2, 17);
        assert_eq!(out, b"0.00 0.00 0.00 2/17 17\n");
    }
}
