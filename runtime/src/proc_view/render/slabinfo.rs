//! `/proc/slabinfo`: a cgroup has no caches of its own to tell of.

use super::text::Text;

/// Writes the head of the table and nothing else.
pub fn slabinfo(out: &mut Vec<u8>) {
    Text(out).word(
        "slabinfo - version: 2.1\n# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : \
         tunables <limit> <batchcount> <sharedfactor> : slabdata <active_slabs> <num_slabs> <sharedavail>\n",
    );
}
