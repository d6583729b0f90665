//! Which CPUs a container gets when it is to have fewer than it may run on. Pure: the same node gives the same answer.

use std::collections::BTreeMap;

use super::CpuTopology;
use crate::cpu_list::CpuList;

/// How often each CPU is taken already.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Taken(BTreeMap<u32, u32>);

impl Taken {
    /// Counts one more container that runs on these alone.
    pub(super) fn add(&mut self, cpus: &CpuList) {
        for cpu in cpus.iter() {
            *self.0.entry(cpu).or_default() += 1;
        }
    }

    fn of(&self, cpu: u32) -> u32 {
        self.0.get(&cpu).copied().unwrap_or_default()
    }
}

/// Chooses `count` of the `allowed` CPUs, all of them if there are no more.
///
/// One after the other, each time the one that the fewest containers are on; among equals one that the container has
/// already (`current`), so that an update moves as little as possible; then the one whose core, shared with other CPUs, has the
/// fewest, so that two busy containers do not share a core while another is idle; then the lowest number.
pub(super) fn choose(
    allowed: &CpuList,
    count: u32,
    current: &CpuList,
    taken: &Taken,
    topology: &CpuTopology,
) -> CpuList {
    let mut on_core: BTreeMap<u32, u32> = BTreeMap::new();
    for (cpu, count) in &taken.0 {
        *on_core.entry(topology.core(*cpu)).or_default() += count;
    }
    let mut left: Vec<u32> = allowed.iter().collect();
    let mut chosen = Vec::new();
    for _ in 0..count {
        let cost = |cpu: u32| {
            let core = on_core.get(&topology.core(cpu)).copied().unwrap_or_default();
            (taken.of(cpu), !current.contains(cpu), core, cpu)
        };
        let Some(position) = (0..left.len()).min_by_key(|position| left.get(*position).map(|cpu| cost(*cpu)))
        else {
            break;
        };
        let cpu = left.swap_remove(position);
        *on_core.entry(topology.core(cpu)).or_default() += 1;
        chosen.push(cpu);
    }
    chosen.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn list(text: &str) -> CpuList {
        CpuList::parse(text).unwrap_or_default()
    }

    fn taken(lists: &[&str]) -> Taken {
        let mut taken = Taken::default();
        lists.iter().for_each(|cpus| taken.add(&list(cpus)));
        taken
    }

    fn chosen(allowed: &str, count: u32, current: &str, others: &[&str]) -> String {
        let flat = CpuTopology::default();
        choose(&list(allowed), count, &list(current), &taken(others), &flat).to_string()
    }

    #[test]
    fn containers_spread_and_then_share() {
        assert_eq!(chosen("0-3", 2, "", &[]), "0-1");
        assert_eq!(chosen("0-3", 2, "", &["0-1"]), "2-3");
        assert_eq!(chosen("0-3", 2, "", &["0-1", "2-3"]), "0-1");
        assert_eq!(chosen("0-3", 3, "", &["0-1"]), "0,2-3");
        assert_eq!(chosen("2-3", 1, "", &["2"]), "3", "only what is allowed");
    }

    #[test]
    fn an_update_keeps_what_it_can() {
        assert_eq!(chosen("0-3", 3, "2-3", &["0-1"]), "0,2-3", "one more");
        assert_eq!(chosen("0-3", 1, "2-3", &["0-1"]), "2", "one fewer");
        assert_eq!(chosen("0-7", 2, "4-5", &[]), "4-5", "no better place");
        assert_eq!(chosen("0-3", 2, "0-1", &["0-1"]), "2-3", "a better place");
        assert_eq!(chosen("0-1", 2, "4-5", &[]), "0-1", "the old place is not allowed any more");
    }

    #[test]
    fn cores_are_shared_last() {
        // CPUs n and n + 4 are two threads of one core.
        let siblings = CpuTopology::new((0..8).map(|cpu| (cpu, cpu % 4)));
        let choose = |count, others: &[&str]| {
            choose(&list("0-7"), count, &CpuList::default(), &taken(others), &siblings).to_string()
        };
        assert_eq!(choose(4, &[]), "0-3");
        assert_eq!(choose(5, &[]), "0-4");
        assert_eq!(choose(2, &["0-1"]), "2-3");
        assert_eq!(choose(4, &["0-1"]), "2-5", "the free cores, then the free threads");
    }

    #[test]
    fn more_than_there_are_is_all_of_them() {
        assert_eq!(chosen("0-3", 9, "", &[]), "0-3");
        assert_eq!(chosen("", 2, "", &[]), "");
    }

    fn cpus() -> impl Strategy<Value = CpuList> {
        prop::collection::vec(0u32..64, 0..40).prop_map(|cpus| cpus.into_iter().collect())
    }

    proptest! {
        #[test]
        fn as_many_as_asked_for_of_those_allowed(
            allowed in cpus(), current in cpus(), others in prop::collection::vec(cpus(), 0..6), count in 0u32..70,
            threads in 1u32..4,
        ) {
            let topology = CpuTopology::new((0..64).map(|cpu| (cpu, cpu / threads)));
            let mut taken = Taken::default();
            others.iter().for_each(|cpus| taken.add(cpus));
            let chosen = choose(&allowed, count, &current, &taken, &topology);
            prop_assert_eq!(chosen.len(), count.min(allowed.len()));
            prop_assert_eq!(chosen.common(&allowed), chosen.len());
            // No CPU that was left has fewer containers than one that was chosen.
            let most = chosen.iter().map(|cpu| taken.of(cpu)).max();
            let least = allowed.iter().filter(|cpu| !chosen.contains(*cpu)).map(|cpu| taken.of(cpu)).min();
            prop_assert!(most.zip(least).is_none_or(|(most, least)| most <= least));
            // Choosing again changes nothing.
            prop_assert_eq!(choose(&allowed, count, &chosen, &taken, &topology), chosen);
        }

        #[test]
        fn one_after_the_other_they_are_as_even_as_can_be(
            counts in prop::collection::vec(1u32..9, 1..20), total in 1u32..17
        ) {
            let allowed = CpuList::first(total);
            let mut taken = Taken::default();
            for count in counts {
                taken.add(&choose(&allowed, count, &CpuList::default(), &taken, &CpuTopology::default()));
            }
            let loads: Vec<u32> = allowed.iter().map(|cpu| taken.of(cpu)).collect();
            let (most, least) = (loads.iter().max().unwrap(), loads.iter().min().unwrap());
            prop_assert!(most - least <= 1, "{:?}", loads);
        }
    }
}
