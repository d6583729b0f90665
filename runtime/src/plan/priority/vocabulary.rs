//! What other systems' annotations mean on our scale. One table, which `docs/priorities.md` repeats.
//!
//! Only annotations: labels of a pod do not reach a runtime, so Koordinator's have to be copied to annotations of the same
//! names. Crane keeps its priorities in objects of the cluster (`PodQOS`), of which nothing is on the pod.

use crate::plan::{Annotations, PlanError};
use ballast_cgroups::priority::Level;
use std::fmt;
use std::str::FromStr;

/// A system that marks its pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vocabulary {
    /// Koordinator's QoS and priority classes.
    Koordinator,
    /// Volcano's QoS levels, and preemptable pods, which openEuler's rubik knows as well.
    Volcano,
    /// Caelus' offline pods.
    Caelus,
}

/// No system of this name is known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnknownVocabulary {
    /// A name that nobody has.
    #[error("is none of koordinator, volcano and caelus")]
    Unknown,
    /// Crane's priorities are not on its pods.
    #[error(
        "has its priorities in PodQOS objects, which no runtime sees; ballast.dev/priority has the same scale as its cpuPriority"
    )]
    Crane,
}

impl FromStr for Vocabulary {
    type Err = UnknownVocabulary;

    fn from_str(name: &str) -> Result<Self, UnknownVocabulary> {
        match name {
            "koordinator" => Ok(Self::Koordinator),
            "volcano" => Ok(Self::Volcano),
            "caelus" => Ok(Self::Caelus),
            "crane" => Err(UnknownVocabulary::Crane),
            _ => Err(UnknownVocabulary::Unknown),
        }
    }
}

impl fmt::Display for Vocabulary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Koordinator => "koordinator",
            Self::Volcano => "volcano",
            Self::Caelus => "caelus",
        })
    }
}

/// An annotation and what its values stand for; `None` asks for nothing.
struct Word {
    annotation: &'static str,
    values: &'static [(&'static str, Option<u8>)],
}

/// Of each system, the first annotation that asks for something counts.
const fn words(vocabulary: Vocabulary) -> &'static [Word] {
    match vocabulary {
        Vocabulary::Koordinator => &[
            Word {
                annotation: "koordinator.sh/qosClass",
                values: &[
                    ("LSE", Some(0)),
                    ("LSR", Some(0)),
                    ("LS", Some(0)),
                    ("BE", Some(7)),
                    ("SYSTEM", None),
                    ("", None),
                ],
            },
            Word {
                annotation: "koordinator.sh/priority-class",
                values: &[
                    ("koord-prod", Some(0)),
                    ("koord-mid", Some(4)),
                    ("koord-batch", Some(7)),
                    ("koord-free", Some(7)),
                    ("", None),
                ],
            },
        ],
        Vocabulary::Volcano => &[
            Word {
                annotation: "volcano.sh/qos-level",
                values: &[("LC", Some(0)), ("HLS", Some(0)), ("LS", Some(1)), ("BE", Some(7)), ("", None)],
            },
            Word { annotation: "volcano.sh/preemptable", values: &[("true", Some(7)), ("false", None)] },
        ],
        Vocabulary::Caelus => {
            &[Word { annotation: "mixer.kubernetes.io/app-class", values: &[("greedy", Some(7))] }]
        }
    }
}

/// What a pod asks for in other systems' words, and by which annotation. The systems are asked in this order.
pub(super) fn level(
    annotations: &Annotations<'_>,
    vocabularies: &[Vocabulary],
) -> Result<Option<(Level, &'static str)>, PlanError> {
    let mut found = None;
    for word in vocabularies.iter().flat_map(|&vocabulary| words(vocabulary)) {
        let Some(value) = annotations.get(word.annotation) else { continue };
        let Some((_, number)) = word.values.iter().find(|(known, _)| *known == value) else {
            let known: Vec<&str> =
                word.values.iter().map(|(known, _)| *known).filter(|known| !known.is_empty()).collect();
            return Err(PlanError::Invalid {
                field: word.annotation.to_owned(),
                value: value.to_owned(),
                reason: format!("is not known: there are {}", known.join(", ")).into(),
            });
        };
        let level = number.and_then(|number| Level::new(number).ok());
        found = found.or(level.map(|level| (level, word.annotation)));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::annotations::tests::spec_with;

    const EVERYBODY: [Vocabulary; 3] = [Vocabulary::Koordinator, Vocabulary::Volcano, Vocabulary::Caelus];

    fn read(
        annotations: &[(&str, &str)],
        honoured: &[Vocabulary],
    ) -> Result<Option<(u8, &'static str)>, String> {
        let spec = spec_with(annotations);
        level(&Annotations::of(&spec).unwrap(), honoured)
            .map(|found| found.map(|(level, name)| (level.number(), name)))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn every_word_has_its_place_on_the_scale() {
        for (name, value, expected) in [
            ("koordinator.sh/qosClass", "LSE", Some(0)),
            ("koordinator.sh/qosClass", "LSR", Some(0)),
            ("koordinator.sh/qosClass", "LS", Some(0)),
            ("koordinator.sh/qosClass", "BE", Some(7)),
            ("koordinator.sh/qosClass", "SYSTEM", None),
            ("koordinator.sh/priority-class", "koord-prod", Some(0)),
            ("koordinator.sh/priority-class", "koord-mid", Some(4)),
            ("koordinator.sh/priority-class", "koord-batch", Some(7)),
            ("koordinator.sh/priority-class", "koord-free", Some(7)),
            ("volcano.sh/qos-level", "LC", Some(0)),
            ("volcano.sh/qos-level", "HLS", Some(0)),
            ("volcano.sh/qos-level", "LS", Some(1)),
            ("volcano.sh/qos-level", "BE", Some(7)),
            ("volcano.sh/preemptable", "true", Some(7)),
            ("volcano.sh/preemptable", "false", None),
            ("mixer.kubernetes.io/app-class", "greedy", Some(7)),
        ] {
            assert_eq!(
                read(&[(name, value)], &EVERYBODY),
                Ok(expected.map(|level| (level, name))),
                "{name} {value}"
            );
            assert_eq!(read(&[(name, value)], &[]), Ok(None), "{name} is nobody's");
        }
    }

    #[test]
    fn the_first_that_asks_for_something_counts() {
        let both = [("koordinator.sh/qosClass", "LS"), ("koordinator.sh/priority-class", "koord-batch")];
        assert_eq!(read(&both, &EVERYBODY), Ok(Some((0, "koordinator.sh/qosClass"))));
        let system = [("koordinator.sh/qosClass", "SYSTEM"), ("volcano.sh/preemptable", "true")];
        assert_eq!(read(&system, &EVERYBODY), Ok(Some((7, "volcano.sh/preemptable"))));
    }

    #[test]
    fn a_word_that_its_system_does_not_have_is_refused() {
        let error = read(&[("volcano.sh/qos-level", "-1")], &EVERYBODY).unwrap_err();
        assert_eq!(error, r#"volcano.sh/qos-level: "-1" is not known: there are LC, HLS, LS, BE"#);
    }

    #[test]
    fn names_of_systems() {
        for vocabulary in EVERYBODY {
            assert_eq!(vocabulary.to_string().parse(), Ok(vocabulary));
        }
        assert_eq!("crane".parse::<Vocabulary>(), Err(UnknownVocabulary::Crane));
        assert_eq!("Volcano".parse::<Vocabulary>(), Err(UnknownVocabulary::Unknown));
    }
}
