//! Why a container's files hold what they hold: an extended attribute of its cgroup, written with the values and gone
//! with the cgroup. It cannot be computed later: the configuration may have changed, and with it the answer.

use std::os::fd::AsFd;

use super::class::QosClass;
use super::decision::{Decision, Request};
use super::policy::Mode;
use super::setting::{Knob, RequestSource, Setting, Source};
use crate::attribute::{read_attribute, remove_attribute, write_attribute};
use crate::cgroup::Cgroup;
use crate::error::{Error, Result};
use crate::limits::parse_size;

const NAME: &str = "trusted.ballast.memory_qos";

impl Cgroup {
    pub(super) fn write_note(&self, decision: &Decision) -> Result<()> {
        write_attribute(self.directory.as_fd(), self.directory_path(), NAME, &spell(decision))
    }

    pub(super) fn read_note(&self) -> Result<Option<Decision>> {
        let path = self.directory_path();
        let Some(text) = read_attribute(self.directory.as_fd(), path, NAME)? else { return Ok(None) };
        parse(&text).map(Some).ok_or_else(|| Error::format(path, "note of Ballast", &text))
    }

    pub(super) fn remove_note(&self) -> Result<()> {
        remove_attribute(self.directory.as_fd(), self.directory_path(), NAME)
    }
}

/// `policy=tiered class=burstable request=1048576+4096/estimate memory.low=1048576/policy memory.high=off/annotation`
fn spell(decision: &Decision) -> String {
    let mut words = vec![format!("policy={}", decision.mode)];
    words.extend(decision.class.map(|class| format!("class={class}")));
    words.extend(
        decision
            .request
            .map(|request| format!("request={}+{}/{}", request.bytes, request.slack, request.source)),
    );
    words.extend(decision.settings.iter().map(|set| format!("{}={}/{}", set.knob, set.value, set.source)));
    words.extend(decision.withheld.iter().map(|(knob, source)| format!("{knob}=off/{source}")));
    words.join(" ")
}

fn parse(text: &str) -> Option<Decision> {
    let mut decision = Decision::default();
    for word in text.split(' ') {
        let (key, value) = word.split_once('=')?;
        match key {
            "policy" => decision.mode = mode(value)?,
            "class" => decision.class = Some(QosClass::parse(value)?),
            "request" => {
                let (bytes, source) = value.split_once('/')?;
                let (bytes, slack) = bytes.split_once('+')?;
                let source =
                    RequestSource::ALL.into_iter().find(|candidate| candidate.to_string() == source)?;
                decision.request =
                    Some(Request { bytes: bytes.parse().ok()?, slack: slack.parse().ok()?, source });
            }
            file => {
                let knob = Knob::ALL.into_iter().find(|knob| knob.file() == file)?;
                let (value, source) = value.split_once('/')?;
                let source = Source::ALL.into_iter().find(|candidate| candidate.to_string() == source)?;
                match value {
                    "off" => decision.withheld.push((knob, source)),
                    value => decision.settings.push(Setting { knob, value: parse_size(value)?, source }),
                }
            }
        }
    }
    Some(decision)
}

fn mode(text: &str) -> Option<Mode> {
    [Mode::Kubelet, Mode::Tiered, Mode::Off].into_iter().find(|mode| mode.to_string() == text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limit;

    #[test]
    fn a_decision_survives_its_text() {
        let decision = Decision {
            mode: Mode::Tiered,
            class: Some(QosClass::Burstable),
            request: Some(Request { bytes: 1 << 20, slack: 4096, source: RequestSource::Estimate }),
            settings: vec![
                Setting { knob: Knob::Low, value: Limit::At(1 << 20), source: Source::Policy },
                Setting { knob: Knob::High, value: Limit::Unlimited, source: Source::Annotation },
            ],
            withheld: vec![(Knob::Min, Source::Kubelet)],
            notices: Vec::new(),
        };
        let text = spell(&decision);
        assert_eq!(
            text,
            "policy=tiered class=burstable request=1048576+4096/estimate memory.low=1048576/policy \
             memory.high=max/annotation memory.min=off/kubelet"
        );
        assert_eq!(parse(&text), Some(decision));
        assert_eq!(parse(&spell(&Decision::default())), Some(Decision::default()));
    }

    #[test]
    fn a_text_that_is_no_note_is_not_taken_for_one() {
        for text in ["", "policy=magic", "memory.low=5", "memory.low=x/policy", "memory.size=1/policy"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
